//! Requests that no App sees, as far as they can be told of.

use std::time::Instant;

use super::head::Head;
use crate::{
    edge::limits::Limits,
    exchange::{Client, Exchange},
    http::{
        self, Error, Frame, HeaderMap, Method, RequestBody, ResponseBody, Uri, Version, error_page, headers,
        request_line::MAX_METHOD,
    },
    telemetry::{refusals, tail::Tail},
};

/// One whose head was read.
pub fn read(head: Head, client: Client) -> Box<Exchange> {
    exchange(head.method, head.uri, head.version, head.headers, client)
}

/// One whose head is none, or not whole: the words of its first line, as far as they are ones.
pub fn unread(bytes: &[u8], limits: &Limits, client: Client) -> Box<Exchange> {
    let (method, rest) = word(bytes).unwrap_or_default();
    let (target, rest) = word(rest).unwrap_or_default();
    let is_method = method.len() <= MAX_METHOD && headers::is_token(method);
    let is_target = target.len() <= limits.max_uri && target.iter().all(u8::is_ascii_graphic);
    let method = Some(method).filter(|_| is_method).and_then(|method| Method::from_bytes(method).ok());
    let uri = Some(target).filter(|_| is_target).and_then(|target| Uri::try_from(target).ok());
    let version = if rest.starts_with(b"HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
    exchange(method.unwrap_or_else(unknown), uri.unwrap_or(Uri::from_static(NONE)), version, HeaderMap::new(), client)
}

/// Stands for what is not known, as in logs of old.
const NONE: &str = "-";

fn unknown() -> Method {
    Method::from_bytes(NONE.as_bytes()).unwrap_or_default()
}

/// A word of a line, which has ended, and what comes after it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n'))?;
    let rest = if line[end] == b' ' { &line[end + 1..] } else { &[][..] };
    Some((&line[..end], rest))
}

/// The answer to one, which is told of in the App's stead: its line in the access log is written, and it is counted, when
/// the tail is dropped.
pub fn turn_back(error: Error, mut exchange: Box<Exchange>, limits: &Limits) -> (http::Response, Option<Tail>) {
    let ears = limits.ears();
    let (id, method) = (exchange.id().clone(), exchange.method.clone());
    let path = exchange.uri.path_and_query().map_or("-", |target| target.path()).escape_default();
    refusals::tell(ears.log.as_ref(), &id, format_args!("{method} {path}"), &error);
    exchange.facts.error = Some(error.token());
    exchange.facts.detail = Some(error.to_string());
    exchange.facts.started = Instant::now();
    let refusal = error_page::respond(error, &exchange.headers, id.as_str(), &limits.style);
    let tail = (!ears.is_empty()).then(|| {
        if let Some(log) = &ears.log {
            log.begin(&mut exchange);
        }
        let (mut tail, _) = Tail::new(ears, exchange, refusal.outcome());
        if let (ResponseBody::Bytes(bytes), true) = (&refusal.body, method != Method::HEAD) {
            tail.saw(&Some(Ok(Frame::Data(bytes.clone()))));
        }
        tail
    });
    (refusal, tail)
}

fn exchange(method: Method, uri: Uri, version: Version, headers: HeaderMap, client: Client) -> Box<Exchange> {
    Box::new(Exchange::new(method, uri, version, headers, RequestBody::empty(), client))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::downstream::Peer, settings::ServerSettings};

    #[test]
    fn as_much_of_a_request_line_is_known_as_was_said() {
        let limits = Limits { max_uri: 20, ..Limits::of(&ServerSettings::default(), "test") };
        for (bytes, method, target, version) in [
            ("GET /a?b HTTP/1.1\r\na b: c\r\n\r\n", "GET", Some("/a?b"), Version::HTTP_11),
            ("GET /a HTTP/1.0\r\na b: c\r\n\r\n", "GET", Some("/a"), Version::HTTP_10),
            ("GET /a\n\n", "GET", Some("/a"), Version::HTTP_11),
            ("GET /a", "GET", None, Version::HTTP_11),
            ("GET /a-target-that-is-too-long HTTP/1.1\r\n", "GET", None, Version::HTTP_11),
            ("GET /\u{e4} HTTP/1.1\r\n", "GET", None, Version::HTTP_11),
            ("GET\r\n/a b", "GET", None, Version::HTTP_11),
            ("GET", "-", None, Version::HTTP_11),
            ("G\u{1}T /a HTTP/1.1\r\n", "-", Some("/a"), Version::HTTP_11),
            ("\u{16}\u{3}\u{1}", "-", None, Version::HTTP_11),
            ("", "-", None, Version::HTTP_11),
        ] {
            let exchange = unread(bytes.as_bytes(), &limits, Client::at(Peer::Unix, false));

            let known = exchange.uri.path_and_query().map(|target| target.as_str());
            assert_eq!((exchange.method.as_str(), known, exchange.version), (method, target, version), "{bytes:?}");
        }
    }
}
