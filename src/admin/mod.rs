//! What operators ask a running proxy, at an address of their own: `GET /status` and `GET /metrics`.
//!
//! It is on this machine only. A browser on this machine could still be made to ask by any page that it shows; so the
//! host that is asked for must be an address or `localhost`, which no page can have its own name resolve to.

mod metrics;
mod status;

use std::{io, net::IpAddr};

use actix_web::{App, HttpRequest, HttpResponse, web};

pub use self::status::Status;
use crate::{
    edge::{EdgeServer, Inherited, Running},
    http::{Method, headers},
    plan::ListenAddress,
    settings::{FileMode, ServerSettings, server::Workers},
};

/// Operators at once; nobody has so many.
const MOST: usize = 64;

/// An address that is listened on, and nobody is answered at yet.
pub struct Bound(EdgeServer<()>);

/// Listens there.
///
/// # Errors
/// The address cannot be listened on.
pub fn bind(address: &ListenAddress, inherited: &Inherited) -> io::Result<Bound> {
    let settings = ServerSettings { workers: Workers::Exactly(1), max_connections: MOST, ..ServerSettings::default() };
    let server = EdgeServer::new(()).settings(&settings).signals(false).inherits(&inherited.for_operators());
    server.socket_mode(Some(FileMode(0o600))).bind(address).map(Bound)
}

impl Bound {
    /// Answers there, on a thread of its own, as long as what is returned is awaited.
    pub fn serve(self, status: &Status) -> (Running, ListenAddress) {
        let status = web::Data::new(status.clone());
        let bound = self.0.addresses().remove(0);
        let server = self.0.hosting(move || App::new().app_data(status.clone()).default_service(web::to(answer)));
        (server.run(), bound)
    }
}

async fn answer(request: HttpRequest, status: web::Data<Status>) -> HttpResponse {
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    match (request.method(), request.path()) {
        _ if !is_this_machine(host) => {
            HttpResponse::MisdirectedRequest().body("ask for localhost, or for an address\n")
        }
        (&Method::GET, "/status") => HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(status.now()),
        (&Method::GET, "/metrics") => measured(&request, &status),
        (_, "/status" | "/metrics") => HttpResponse::MethodNotAllowed().insert_header(("allow", "GET")).finish(),
        _ => HttpResponse::NotFound().body("there are /status and /metrics\n"),
    }
}

fn measured(request: &HttpRequest, status: &Status) -> HttpResponse {
    let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = metrics::Format::asked_for(accept);
    match metrics::written(status, format) {
        Ok(text) => HttpResponse::Ok().content_type(format.content_type()).body(text),
        Err(error) => HttpResponse::InternalServerError().body(format!("{error}\n")),
    }
}

/// `localhost` or an address, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let name = headers::host_name(host);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
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
