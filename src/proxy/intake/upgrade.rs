//! Requests to switch protocols (RFC 9110, 7.8; RFC 6455, 4.1).

use crate::{
    exchange::Exchange,
    http::{Error, HeaderMap, HeaderName, HeaderValue, Marks, Method, Version, body::Length, framing, header, headers},
};

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");

/// The protocol to switch to, if there is one that can be carried. An upgrade is asked for properly or not at all: half
/// of one is how an endpoint comes to switch while we do not.
pub fn check(exchange: &Exchange) -> Result<Option<HeaderValue>, Error> {
    let fields = &exchange.headers;
    // HTTP/1.0 knows no upgrades: the field ends at us like any of its kind (RFC 9110, 7.8).
    if !exchange.marks.has(Marks::UPGRADE) || exchange.version < Version::HTTP_11 {
        return Ok(None);
    }
    let protocols: Vec<&[u8]> = headers::list(fields, &header::UPGRADE).collect();
    if protocols.is_empty() || !protocols.iter().all(|protocol| is_protocol(protocol)) {
        return Err(Error::Malformed { what: "an Upgrade that names no protocol" });
    }
    if protocols.iter().any(|protocol| is_named(protocol, b"websocket")) {
        if protocols.len() > 1 {
            return Err(Error::Malformed { what: "an upgrade to WebSocket or something else" });
        }
        check_websocket(exchange, fields).map_err(|what| Error::Malformed { what })?;
    }
    if !headers::has_token(fields, &header::CONNECTION, "upgrade") {
        return Ok(None);
    }
    // Cleartext HTTP/2 by upgrade is gone from the protocol (RFC 9113, 3.1), and ends at us like any hop's affair.
    let carried: Vec<&[u8]> = protocols.into_iter().filter(|protocol| !is_named(protocol, b"h2c")).collect();
    Ok(HeaderValue::from_bytes(&carried.join(&b", "[..])).ok().filter(|carried| !carried.is_empty()))
}

/// `name` or `name/version` (RFC 9110, 7.8).
fn is_protocol(text: &[u8]) -> bool {
    text.splitn(2, |byte| *byte == b'/').all(headers::is_token)
}

/// Whatever version it claims.
fn is_named(protocol: &[u8], name: &[u8]) -> bool {
    protocol.split(|byte| *byte == b'/').next().is_some_and(|own| own.eq_ignore_ascii_case(name))
}

fn check_websocket(exchange: &Exchange, fields: &HeaderMap) -> Result<(), &'static str> {
    let body = framing::request_length(fields, exchange.marks, exchange.version);
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
