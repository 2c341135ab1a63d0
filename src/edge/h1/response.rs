//! Responses on their way out: a head with its framing, a body in actix's terms, trailers.

use std::{
    cell::RefCell,
    io::Write,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use actix_http::body::{BodySize, BoxBody, MessageBody};

use super::wire::Wire;
use crate::{
    clock,
    edge::answer::AnswerHead,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, headers, scratch},
};

/// What the request decides about its answer.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Its version.
    pub version: Version,
    /// The client and the server want to go on with the connection.
    pub keeps_alive: bool,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// Where the connection ends.
    Close,
}

/// Writes the final head. Framing and connection fields are ours, whatever the App has set.
pub fn write_head(head: &AnswerHead, size: BodySize, asked: &mut Asked, out: &mut Vec<u8>) -> Ending {
    let ending = ending(head.status, size, asked);
    if ending == Ending::Close {
        asked.keeps_alive = false;
    }
    write_status(head.status, head.reason, out);
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    // A client that must upgrade is told to what (RFC 9110, 15.5.22), if whoever answers says it.
    let demands = head.status == StatusCode::UPGRADE_REQUIRED && asked.version >= Version::HTTP_11;
    let upgrades = switches || (demands && head.headers.contains_key(header::UPGRADE));
    let mut is_dated = false;
    for (name, value) in &head.headers {
        if !is_ours(name, upgrades) {
            is_dated |= *name == header::DATE;
            write_field(name, value, out);
        }
    }
    if let Some(length) = announced(head, size, ending, asked) {
        out.extend_from_slice(b"content-length: ");
        scratch::write_decimal(length, out);
        out.extend_from_slice(b"\r\n");
    }
    if ending == Ending::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    let connection: &[u8] = match (asked.keeps_alive || switches, upgrades) {
        (true, true) => b"connection: upgrade\r\n",
        (false, true) => b"connection: close, upgrade\r\n",
        (false, false) => b"connection: close\r\n",
        (true, false) if asked.version == Version::HTTP_10 => b"connection: keep-alive\r\n",
        (true, false) => b"",
    };
    out.extend_from_slice(connection);
    if !is_dated {
        DATE.with_borrow_mut(|date| date.write(out));
    }
    out.extend_from_slice(b"\r\n");
    ending
}

/// Writes an interim response.
pub fn write_interim(status: StatusCode, fields: &HeaderMap, out: &mut Vec<u8>) {
    write_status(status, None, out);
    for (name, value) in fields {
        if !is_ours(name, false) {
            write_field(name, value, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk, and the trailers behind it.
pub fn write_last_chunk(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if !is_ours(name, false) && !headers::is_hop_by_hop(name) {
            write_field(name, value, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_status(status: StatusCode, reason: Option<&'static str>, out: &mut Vec<u8>) {
    if status == StatusCode::OK && reason.is_none() {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    let reason = reason.or_else(|| status.canonical_reason()).unwrap_or(match status.as_u16() {
        103 => "Early Hints",
        _ => "",
    });
    for part in [b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn write_field(name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    out.reserve(name.len() + value.len() + 4);
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn is_ours(name: &HeaderName, upgrades: bool) -> bool {
    *name == header::CONTENT_LENGTH
        || *name == header::TRANSFER_ENCODING
        || *name == header::CONNECTION
        || (*name == header::UPGRADE && !upgrades)
        || name.as_str() == "keep-alive"
}

/// How the body ends that an answer has.
pub fn ending(status: StatusCode, size: BodySize, asked: &Asked) -> Ending {
    if asked.method == Method::HEAD || !has_content(status) {
        return Ending::None;
    }
    match size {
        BodySize::None | BodySize::Sized(0) => Ending::None,
        BodySize::Sized(length) => Ending::Length(length),
        BodySize::Stream if asked.version >= Version::HTTP_11 => Ending::Chunked,
        BodySize::Stream => Ending::Close,
    }
}

fn has_content(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// The length to announce; for HEAD and 304 that of the content there would be (RFC 9110, 8.6).
pub fn announced(head: &AnswerHead, size: BodySize, ending: Ending, asked: &Asked) -> Option<u64> {
    let said = || head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    let is_unmodified = head.status == StatusCode::NOT_MODIFIED;
    match (ending, size) {
        (Ending::Length(length), _) => Some(length),
        (Ending::Chunked | Ending::Close, _) => None,
        (Ending::None, _) if !is_unmodified && !has_content(head.status) => None,
        (Ending::None, BodySize::Sized(length @ 1..)) => Some(length),
        // That an App gives no content here does not say that there is none.
        (Ending::None, _) if is_unmodified => said(),
        (Ending::None, _) if asked.method == Method::HEAD => said().or((size == BodySize::Sized(0)).then_some(0)),
        (Ending::None, _) => Some(0),
    }
}

/// Shows the value of `Date`, now.
pub fn with_date<T>(show: impl FnOnce(&[u8]) -> T) -> T {
    DATE.with_borrow_mut(|date| {
        let value = date.now().strip_prefix(b"date: ").and_then(|line| line.strip_suffix(b"\r\n"));
        show(value.unwrap_or_default())
    })
}

thread_local! {
    static DATE: RefCell<Date> = const { RefCell::new(Date { line: Vec::new(), second: 0 }) };
}

/// The `Date` line, made anew once a second.
struct Date {
    line: Vec<u8>,
    second: u64,
}

impl Date {
    fn write(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.now());
    }

    /// The line as it is now.
    fn now(&mut self) -> &[u8] {
        let second = clock::unix_coarse().as_secs();
        if second != self.second || self.line.is_empty() {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            self.line = format!("date: {}\r\n", httpdate::fmt_http_date(now)).into_bytes();
            self.second = second;
        }
        &self.line
    }
}

/// What became of asking a body for more.
pub(super) enum More {
    /// There is something to write.
    Bytes,
    /// It has ended as it should.
    End,
    /// It broke off, or is not as long as was said: the client must see it.
    Broken,
}

/// A body that is written.
pub(super) struct Outgoing {
    pub body: BoxBody,
    pub ending: Ending,
    /// Nothing is said on the connection after it.
    pub is_last: bool,
}

impl Outgoing {
    /// All of it was asked for; a body without a length may be, and nobody knows.
    pub fn is_whole(&self) -> bool {
        matches!(self.ending, Ending::None | Ending::Length(0))
    }

    /// Asks for the next piece and puts it into the outbox, framed.
    pub fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut crate::transport::outbox::Outbox,
        wire: &Wire,
    ) -> Poll<More> {
        if self.is_whole() {
            return Poll::Ready(More::End);
        }
        let next = match Pin::new(&mut self.body).poll_next(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(next) => next,
        };
        let bytes = match (next, self.ending) {
            (Some(Ok(bytes)), _) => bytes,
            (Some(Err(_)), _) | (None, Ending::Length(_)) => return Poll::Ready(More::Broken),
            (None, Ending::Chunked) => {
                write_last_chunk(wire.take_response_trailers().as_ref(), &mut out.lines);
                self.ending = Ending::None;
                return Poll::Ready(More::End);
            }
            (None, Ending::Close | Ending::None) => return Poll::Ready(More::End),
        };
        match &mut self.ending {
            Ending::Length(left) => match left.checked_sub(bytes.len() as u64 + wire.shortcut.waiting()) {
                Some(rest) => {
                    *left = rest;
                    out.put(bytes, b"");
                }
                None => return Poll::Ready(More::Broken),
            },
            // An empty chunk would be the last one.
            Ending::Chunked if !bytes.is_empty() => {
                write!(out.lines, "{:x}\r\n", bytes.len()).expect("memory takes what is written");
                out.put(bytes, b"\r\n");
            }
            Ending::Close => out.put(bytes, b""),
            Ending::Chunked | Ending::None => {}
        }
        Poll::Ready(More::Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(
        status: u16,
        fields: &[(&'static str, &'static str)],
        size: BodySize,
        asked: &mut Asked,
    ) -> (String, Ending) {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let status = StatusCode::from_u16(status).expect("a status");
        let head = AnswerHead { status, reason: None, headers: fields.iter().map(field).collect() };
        let mut out = Vec::new();
        let ending = write_head(&head, size, asked, &mut out);
        (String::from_utf8(out).expect("text"), ending)
    }

    fn asked(method: Method, version: Version) -> Asked {
        Asked { method, version, keeps_alive: true }
    }

    #[test]
    fn a_head_is_framed_as_method_status_and_version_allow() {
        let (length, chunked) = ("content-length: 5\r\n", "transfer-encoding: chunked\r\n");
        let (get, head) = (Method::GET, Method::HEAD);
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        for (method, version, status, size, ending, has, has_not) in [
            (&get, new, 200, BodySize::Sized(5), Ending::Length(5), length, chunked),
            (&get, new, 200, BodySize::Stream, Ending::Chunked, chunked, "content-length"),
            (&get, old, 200, BodySize::Stream, Ending::Close, "connection: close\r\n", chunked),
            (&get, old, 200, BodySize::Sized(5), Ending::Length(5), "connection: keep-alive\r\n", chunked),
            (&get, new, 200, BodySize::None, Ending::None, "content-length: 0\r\n", chunked),
            (&get, new, 204, BodySize::Stream, Ending::None, "204 No Content", "content-length"),
            (&get, new, 204, BodySize::Sized(0), Ending::None, "204 No Content", "content-length"),
            (&get, new, 304, BodySize::None, Ending::None, "304", chunked),
            (&head, new, 200, BodySize::Sized(5), Ending::None, length, chunked),
            (&head, new, 200, BodySize::Stream, Ending::None, "200", "content-length"),
        ] {
            let (text, came) = written(status, &[], size, &mut asked(method.clone(), version));
            assert_eq!(came, ending, "{method} {version:?} {status} {size:?}");
            assert!(text.contains(has) && !text.contains(has_not), "{method} {version:?} {status} {size:?}: {text}");
        }
    }

    #[test]
    fn framing_and_connection_are_never_the_apps() {
        let fields = [
            ("content-length", "9"),
            ("transfer-encoding", "x"),
            ("connection", "x"),
            ("keep-alive", "x"),
            ("x-own", "1"),
        ];
        let (text, _) = written(200, &fields, BodySize::Sized(5), &mut asked(Method::GET, Version::HTTP_11));
        assert!(text.contains("x-own: 1\r\n") && text.contains("content-length: 5\r\n"), "{text}");
        assert!(!text.contains("content-length: 9") && !text.contains(": x"), "{text}");
    }

    #[test]
    fn a_304_says_the_length_there_would_be() {
        let fields = [("content-length", "9")];
        let (text, _) = written(304, &fields, BodySize::None, &mut asked(Method::GET, Version::HTTP_11));
        assert!(text.contains("content-length: 9\r\n"), "{text}");
    }

    #[test]
    fn a_switch_of_protocols_keeps_its_upgrade() {
        let (text, ending) = written(
            101,
            &[("upgrade", "x"), ("connection", "Upgrade")],
            BodySize::None,
            &mut asked(Method::GET, Version::HTTP_11),
        );
        assert!(text.contains("upgrade: x\r\n") && text.contains("connection: upgrade\r\n"), "{text}");
        assert_eq!(ending, Ending::None);
    }

    #[test]
    fn a_demand_to_upgrade_names_the_field_only_where_it_is() {
        let upgrade: &[_] = &[("upgrade", "x")];
        for (version, fields, told) in
            [(Version::HTTP_11, upgrade, true), (Version::HTTP_11, &[], false), (Version::HTTP_10, upgrade, false)]
        {
            let (text, _) = written(426, fields, BodySize::Sized(2), &mut asked(Method::GET, version));
            assert_eq!(text.contains("upgrade: x\r\n"), told, "{version:?}: {text}");
            assert_eq!(text.contains("connection: upgrade\r\n"), told, "{version:?}: {text}");
        }
    }
}
