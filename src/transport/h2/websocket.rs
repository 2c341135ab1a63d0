//! WebSocket over HTTP/2 (RFC 8441): what is an upgrade to everybody else is an extended CONNECT to the endpoint.

use actix_http::ws;

use super::{exchange::Flow, head};
use crate::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, h2::Pipe, header},
    transport::{Incoming, IncomingHead, Outgoing, tunnel::TunnelKind},
};

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// A WebSocket is asked for, and not something else.
pub fn is_asked(request: &Outgoing) -> bool {
    request.upgrade.as_ref().is_some_and(|protocol| TunnelKind::of(protocol) == TunnelKind::WebSocket)
}

/// The request in HTTP/2. What its key would prove, the version proves.
pub fn request(request: &Outgoing, is_tls: bool) -> Option<::http::Request<()>> {
    let mut head = head::request(request, is_tls)?;
    *head.method_mut() = ::http::Method::CONNECT;
    head.headers_mut().remove(KEY.as_str());
    head.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    Some(head)
}

/// The endpoint agrees, in the words of HTTP/1.1: whoever has asked looks for the proof.
pub fn agreed(mut headers: HeaderMap, frames: h2::RecvStream, flow: Flow, request: &Outgoing) -> Incoming {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(ACCEPT);
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Some(key) = request.headers.get(KEY) {
        let proof = ws::hash_key(key.as_bytes().trim_ascii());
        headers.insert(ACCEPT, HeaderValue::from_bytes(&proof).expect("letters and digits are text"));
    }
    let (place, stream) = flow.into_parts();
    let head = IncomingHead { status: StatusCode::SWITCHING_PROTOCOLS, headers };
    Incoming::Upgraded { head, io: Box::new(Pipe::new(stream, frames, place)), early: bytes::Bytes::new() }
}
