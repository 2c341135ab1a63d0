//! Request heads, read strictly (RFC 9112, 2 and 3; RFC 9110, 5).

use std::{cell::RefCell, mem};

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    edge::limits::Limits,
    http::{
        Error, HeaderMap, Marks, Method, Uri, Version,
        body::Length,
        fields::{self, LINE_END, LineEnds, SectionEnd},
        framing, headers,
        request_line::{self, MAX_METHOD},
    },
};

/// A request's head, and what it says of its body and of the connection.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All its fields.
    pub headers: HeaderMap,
    /// What their names tell.
    pub marks: Marks,
    /// Where its body ends.
    pub length: Length,
    /// The client wants to go on with this connection.
    pub keeps_alive: bool,
    /// The client waits for leave to send its body.
    pub expects_continue: bool,
}

/// Reads one head after the other out of a buffer that is filled by someone else.
#[derive(Debug, Default)]
pub struct HeadReader {
    end: SectionEnd,
    started: bool,
    /// An empty line came first.
    forgave: bool,
}

impl HeadReader {
    /// The head at the beginning of `buffer`, which is taken out of it; `None` when more bytes are needed.
    ///
    /// # Errors
    /// Which rule or limit it breaks; nothing that follows on the connection can be trusted then.
    pub fn read(&mut self, buffer: &mut BytesMut, limits: &Limits) -> Result<Option<Head>, Error> {
        if !self.started {
            // One empty line before a request is forgiven (RFC 9112, 2.2).
            if !self.forgave && buffer.as_ref() == b"\r" {
                return Ok(None);
            }
            if !self.forgave && buffer.starts_with(b"\r\n") {
                buffer.advance(2);
                self.forgave = true;
            }
            self.started = !buffer.is_empty();
        }
        let malformed = |_| Error::Malformed { what: "a line that ends in LF alone" };
        let mut lines = LineEnds::new();
        match self.end.find(buffer, &mut lines).map_err(malformed)? {
            Some(length) if length <= limits.max_head => {
                *self = Self::default();
                take(buffer, length, &lines, limits).map(Some)
            }
            None if buffer.len() <= limits.max_head => check_start(buffer, limits).map(|()| None),
            _ => Err(too_large(buffer, limits)),
        }
    }
}

/// What is wrong from the start is known early: nobody makes us wait for the rest of it.
fn check_start(buffer: &[u8], limits: &Limits) -> Result<(), Error> {
    let end = buffer.iter().position(|byte| matches!(byte, b' ' | b'\r'));
    let method = &buffer[..end.unwrap_or(buffer.len())];
    if !method.is_empty() && !headers::is_token(method) || end == Some(0) || method.len() > MAX_METHOD {
        return Err(Error::Malformed { what: "no method" });
    }
    let target_to_be = buffer.len().saturating_sub(method.len() + 1);
    if memchr::memchr(b'\n', buffer).is_none() && target_to_be > limits.max_uri.saturating_add(VERSION_LENGTH) {
        return Err(Error::UriTooLong { limit: limits.max_uri });
    }
    Ok(())
}

/// ` HTTP/1.1` and the line's end.
const VERSION_LENGTH: usize = 11;

fn too_large(buffer: &[u8], limits: &Limits) -> Error {
    let line = memchr::memchr(b'\n', buffer).unwrap_or(buffer.len());
    if line > limits.max_uri.saturating_add(VERSION_LENGTH + MAX_METHOD) {
        return Error::UriTooLong { limit: limits.max_uri };
    }
    Error::HeadTooLarge { what: "too many bytes" }
}

fn take(buffer: &mut BytesMut, length: usize, lines: &[u32], limits: &Limits) -> Result<Head, Error> {
    let source = own(buffer, length);
    let head = parse(&source, lines, limits);
    if head.is_err() {
        // No more heads are read from here, but what it was is told, and it may be another protocol's beginning.
        let rest = mem::replace(buffer, BytesMut::from(source));
        buffer.extend_from_slice(&rest);
    }
    head
}

/// The head, in memory of its own if it is not large: while the request waits for its answer, a few hundred bytes wait
/// with it and not the whole buffer, which is the next connection's meanwhile.
fn own(buffer: &mut BytesMut, length: usize) -> Bytes {
    if length > LARGE_HEAD {
        return buffer.split_to(length).freeze();
    }
    let head = if length > SMALL_HEAD {
        Bytes::copy_from_slice(&buffer[..length])
    } else {
        SHEET.with_borrow_mut(|sheet| {
            if sheet.capacity() < length {
                *sheet = BytesMut::with_capacity(SHEET_SIZE);
            }
            sheet.extend_from_slice(&buffer[..length]);
            sheet.split().freeze()
        })
    };
    buffer.advance(length);
    head
}

thread_local! {
    /// What small heads are copied to, one behind the other: it goes with the last of them.
    static SHEET: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A head of more than this size is not copied.
const LARGE_HEAD: usize = 4096;
/// One of up to this size shares its memory with a few others.
const SMALL_HEAD: usize = 512;
/// What one that waits for long keeps from being freed, at most.
const SHEET_SIZE: usize = 2048;

fn parse(source: &Bytes, lines: &[u32], limits: &Limits) -> Result<Head, Error> {
    let Some((&end, lines)) = lines.split_first() else { return Err(Error::Malformed { what: "no request line" }) };
    if lines.len() > limits.max_headers {
        return Err(Error::HeadTooLarge { what: "too many fields" });
    }
    let end = end as usize;
    let (method, target, version) = request_line::split(&source[..end])?;
    let (method, begins) = (request_line::method(method)?, method.len() + 1);
    request_line::check_target(target, limits.max_uri)?;
    let uri = Uri::from_maybe_shared(source.slice(begins..begins + target.len()));
    let uri = uri.map_err(|_| Error::Malformed { what: "a target that is no URI" })?;
    let fields = fields::collect(source, end + LINE_END, lines);
    let (mut headers, marks) = fields.map_err(|error| Error::Malformed { what: error.as_str() })?;
    if marks.has(Marks::UNDERSCORE) {
        limits.underscores.settle(&mut headers)?;
    }
    understand(method, uri, version, headers, marks)
}

fn understand(method: Method, uri: Uri, version: Version, fields: HeaderMap, marks: Marks) -> Result<Head, Error> {
    let length = framing::request_length(&fields, marks, version)?;
    let waits = framing::expects_continue(&fields, marks)?;
    let expects_continue = waits && version >= Version::HTTP_11 && !matches!(length, Length::None | Length::Exact(0));
    let keeps_alive = headers::keeps_alive(&fields, marks, version);
    Ok(Head { method, uri, version, headers: fields, marks, length, keeps_alive, expects_continue })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ServerSettings;

    fn limits() -> Limits {
        Limits::of(&ServerSettings::default(), "test")
    }

    fn read(text: &str) -> Result<Option<Head>, Error> {
        HeadReader::default().read(&mut BytesMut::from(text), &limits())
    }

    #[test]
    fn a_head_is_taken_out_wherever_it_was_cut() {
        let text = "POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";
        for cut in 0..text.len() {
            let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::from(&text[..cut]));
            assert!(reader.read(&mut buffer, &limits()).expect("nothing wrong").is_none(), "cut at {cut}");
            buffer.extend_from_slice(&text.as_bytes()[cut..]);
            buffer.extend_from_slice(b"abc");
            let head = reader.read(&mut buffer, &limits()).expect("nothing wrong").expect("a head");
            assert_eq!((head.length, head.keeps_alive), (Length::Exact(3), true));
            assert_eq!(&buffer[..], b"abc");
        }
    }

    #[test]
    fn what_is_wrong_has_its_status() {
        for (text, expected) in [
            ("\x16\x03\x01\x02", 400),
            ("GET\x01", 400),
            (" GET / HTTP/1.1\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET / HTTP/1.1 \r\n\r\n", 400),
            ("GET / HTTPS/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.2\r\n\r\n", 505),
            ("PRI * HTTP/2.0\r\n\r\n", 505),
            ("GET /a#b HTTP/1.1\r\n\r\n", 400),
            ("GET /\u{e4} HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\na b: c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\na : c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n a: c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\na: c\r\n d\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\na: \0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            ("GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nExpect: tea\r\n\r\n", 417),
            ("GET / HTTP/1.1\r\nExpect: 100-continue\r\nExpect: tea\r\n\r\n", 417),
            ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 405),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", 400),
        ] {
            let status = read(text).map(|_| ()).expect_err(text).status();
            assert_eq!(status.as_u16(), expected, "{text:?}");
        }
    }

    #[test]
    fn limits_hold_before_a_head_is_complete() {
        let long = "x".repeat(9000);
        for (text, expected) in [
            (format!("GET /{long}"), 414),
            (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
            (format!("GET / HTTP/1.1\r\na: {}", "x".repeat(40_000)), 431),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(97)), 431),
            (format!("{} / HTTP/1.1\r\n\r\n", &long[..65]), 400),
            (long, 400),
        ] {
            let status = read(&text).map(|_| ()).expect_err("it is refused").status();
            assert_eq!(status.as_u16(), expected, "{}", &text[..20]);
        }
        assert!(read(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(96))).is_ok());
    }

    #[test]
    fn one_empty_line_before_a_request_is_forgiven() {
        assert!(read("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("nothing wrong").is_some());
    }
}
