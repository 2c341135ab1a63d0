//! Who is answered at all.
//!
//! A browser on this machine could be made to ask by any page that it shows. So the host that is asked for must be an address
//! or `localhost`, which no page can have its own name resolve to; and what changes something must say that it sends JSON, which
//! a page of another site cannot without asking first. Whoever shows the token may call the host what he likes: no page knows it.

use std::net::IpAddr;

use actix_web::{HttpRequest, http::StatusCode};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::{
    http::{Method, headers},
    settings::AdminSettings,
};

/// Why somebody is not answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// What is told.
    pub why: &'static str,
}

/// Where everyone is answered who can connect.
const OPEN: [&str; 2] = ["/health", "/ready"];

/// Lets a request in, or says why not. Where it can come from other machines it needs the token in any case.
pub fn check(request: &HttpRequest, settings: &AdminSettings, is_remote: bool) -> Result<(), Refused> {
    let field = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let needs_token = !OPEN.contains(&request.path()) && (settings.token.is_some() || is_remote);
    let shown = field("authorization").split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let is_known = settings.token.as_ref().zip(shown).is_some_and(|(token, (_, shown))| {
        verify_slices_are_equal(token.expose().as_bytes(), shown.trim().as_bytes()).is_ok()
    });
    if needs_token && !is_known {
        return Err(Refused { status: StatusCode::UNAUTHORIZED, why: "show the token of admin.token" });
    }
    if !is_known && !is_this_machine(field("host")) {
        let why = "ask for localhost, or for an address";
        return Err(Refused { status: StatusCode::MISDIRECTED_REQUEST, why });
    }
    if *request.method() != Method::POST {
        return Ok(());
    }
    if matches!(field("sec-fetch-site"), "cross-site" | "same-site") || !field("origin").is_empty() {
        return Err(Refused { status: StatusCode::FORBIDDEN, why: "no page may ask for this" });
    }
    let is_json = field("content-type").split(';').next().is_some_and(|kind| kind.trim() == "application/json");
    if !is_json {
        let why = "say content-type: application/json";
        return Err(Refused { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, why });
    }
    Ok(())
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
