//! Requests to switch protocols (RFC 9110, 7.8; RFC 6455, 4.1).

use crate::{
    exchange::Exchange,
    http::{Error, HeaderMap, HeaderName, HeaderValue, Method, Version, body::Length, framing, header, headers},
};

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");

/// The protocol to switch to, if there is one that can be carried. An upgrade is asked for properly or not at all: half
/// of one is how an endpoint comes to switch while we do not.
pub fn check(exchange: &Exchange) -> Result<Option<HeaderValue>, Error> {
    let fields = &exchange.headers;
    // HTTP/1.0 knows no upgrades: the field ends at us like any of its kind (RFC 9110, 7.8).
    if !fields.contains_key(header::UPGRADE) || exchange.version < Version::HTTP_11 {
        return Ok(None);
    }
    let mut protocols = headers::list(fields, &header::UPGRADE);
    let (Some(protocol), another) = (protocols.next(), protocols.next()) else {
        return Err(Error::Malformed { what: "an empty Upgrade" });
    };
    if protocol.eq_ignore_ascii_case(b"websocket") {
        if another.is_some() {
            return Err(Error::Malformed { what: "an upgrade to WebSocket or something else" });
        }
        check_websocket(exchange, fields).map_err(|what| Error::Malformed { what })?;
    }
    // Cleartext HTTP/2 by upgrade is gone from the protocol (RFC 9113, 3.1), and ends at us like any hop's affair.
    Ok(headers::upgrade(fields).filter(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c")))
}

fn check_websocket(exchange: &Exchange, fields: &HeaderMap) -> Result<(), &'static str> {
    let body = framing::request_length(fields, exchange.version);
    if exchange.method != Method::GET {
        return Err("an upgrade to WebSocket that is not a GET");
    }
    if !headers::has_token(fields, &header::CONNECTION, "upgrade") {
        return Err("an upgrade to WebSocket that Connection does not name");
    }
    if !matches!(body, Ok(Length::None | Length::Exact(0))) {
        return Err("an upgrade to WebSocket with a body");
    }
    let mut keys = fields.get_all(KEY);
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => {}
        _ => return Err("an upgrade to WebSocket without a proper Sec-WebSocket-Key"),
    }
    if fields.contains_key(VERSION) { Ok(()) } else { Err("an upgrade to WebSocket without its version") }
}

/// Sixteen bytes in base64 (RFC 6455, 4.1).
fn is_key(key: &[u8]) -> bool {
    let (digits, padding) = key.split_at(key.len().min(22));
    padding == b"==" && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
