//! What operators ask a running proxy, at an address of their own: `GET /status`.
//!
//! It is on this machine only. A browser on this machine could still be made to ask by any page that it shows; so the
//! host that is asked for must be an address or `localhost`, which no page can have its own name resolve to.

mod status;

use std::{
    fs::{self, Permissions},
    io,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
};

use actix_web::{App, HttpRequest, HttpResponse, guard, web};

pub use self::status::Status;
use crate::{
    edge::{EdgeServer, Running},
    plan::ListenAddress,
    settings::{ServerSettings, listener::Workers},
};

/// Operators at once; nobody has so many.
const MOST: usize = 64;

/// Answers there, on a thread of its own, as long as what is returned is awaited.
///
/// # Errors
/// The address cannot be listened on.
pub fn serve(address: &ListenAddress, status: &Status) -> io::Result<(Running, ListenAddress)> {
    let settings = ServerSettings { workers: Workers::Exactly(1), max_connections: MOST, ..ServerSettings::default() };
    let status = web::Data::new(status.clone());
    let server = EdgeServer::new(move || {
        App::new()
            .app_data(status.clone())
            .service(web::resource("/status").guard(guard::fn_guard(is_asked_directly)).route(web::get().to(tell)))
            .default_service(web::to(nothing_else))
    });
    let server = server.settings(&settings).signals(false).bind(address)?;
    if let ListenAddress::Unix(path) = address {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    let bound = server.addresses().remove(0);
    Ok((server.run(), bound))
}

fn is_asked_directly(context: &guard::GuardContext<'_>) -> bool {
    let host = context.head().headers().get("host").and_then(|host| host.to_str().ok());
    host.is_some_and(is_this_machine)
}

/// `localhost` or an address, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next(),
        None => host.split(':').next(),
    };
    name.is_some_and(|name| name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok())
}

async fn tell(status: web::Data<Status>) -> HttpResponse {
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(status.now())
}

async fn nothing_else(request: HttpRequest) -> HttpResponse {
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_this_machine(host) {
        return HttpResponse::NotFound().body("there is /status\n");
    }
    HttpResponse::MisdirectedRequest().body("ask for localhost, or for an address\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_no_page_can_have_are_answered() {
        for host in ["localhost", "LOCALHOST:9901", "127.0.0.1:9901", "[::1]:9901", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "rebound.example", "localhost.example:9901", "127.0.0.1.example", "[rebound.example]"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
