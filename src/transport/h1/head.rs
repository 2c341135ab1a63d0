//! Heads: a request's is written, a response's is read.

use bytes::{Bytes, BytesMut};

use crate::{
    http::{
        HeaderMap, Marks, Method, StatusCode, Version,
        body::Length,
        fields::{self, LINE_END, LineEnds, SectionEnd},
        header,
    },
    transport::{Cause, Outgoing},
};

/// Bytes of a response head.
pub const MAX_HEAD: usize = 64 * 1024;
/// Fields of a response head.
pub const MAX_FIELDS: usize = 256;

/// The head of a response as it was sent.
#[derive(Debug)]
pub struct Head {
    /// The status, interim or final.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All its fields.
    pub headers: HeaderMap,
    /// Which of them decide about it.
    pub marks: Marks,
}

/// Reads one head after the other out of a buffer that is filled by someone else.
#[derive(Debug, Default)]
pub struct HeadReader {
    end: SectionEnd,
}

impl HeadReader {
    /// The head at the beginning of `buffer`, which is taken out of it; `None` when more bytes are needed.
    ///
    /// # Errors
    /// It is too large, or no head.
    pub fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<Head>, Cause> {
        let mut lines = LineEnds::new();
        let found = self.end.find(buffer, &mut lines).map_err(|_| Cause::Malformed("a line that ends in LF alone"))?;
        match found {
            Some(length) if length > MAX_HEAD => Err(Cause::TooLarge),
            None if buffer.len() > MAX_HEAD => Err(Cause::TooLarge),
            None if !may_become_head(buffer) => Err(Cause::Malformed("no status line of HTTP/1")),
            None => Ok(None),
            Some(length) => {
                self.end = SectionEnd::default();
                parse_section(&buffer.split_to(length).freeze(), &lines).map(Some)
            }
        }
    }
}

/// One head from the beginning of `buffer`, if it is all there.
///
/// # Errors
/// As [`HeadReader::read`].
pub fn parse(buffer: &mut BytesMut) -> Result<Option<Head>, Cause> {
    HeadReader::default().read(buffer)
}

/// Nonsense is known early: a peer may not make us wait for the rest of it.
fn may_become_head(buffer: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let length = buffer.len().min(START.len());
    buffer[..length] == START[..length]
}

fn parse_section(source: &Bytes, lines: &[u32]) -> Result<Head, Cause> {
    let Some((&end, lines)) = lines.split_first() else { return Err(Cause::Malformed("no status line")) };
    if lines.len() > MAX_FIELDS {
        return Err(Cause::TooLarge);
    }
    let end = end as usize;
    let (version, status) = status_line(&source[..end]).ok_or(Cause::Malformed("bad status line"))?;
    let fields = fields::collect(source, end + LINE_END, lines);
    let (headers, marks) = fields.map_err(|error| Cause::Malformed(error.as_str()))?;
    Ok(Head { status, version, headers, marks })
}

/// Version and status (RFC 9112, 4). Servers that leave the reason out, with its space, are many.
fn status_line(line: &[u8]) -> Option<(Version, StatusCode)> {
    let (version, rest) = line.split_at_checked(b"HTTP/1.1 ".len())?;
    let version = match version {
        b"HTTP/1.1 " => Version::HTTP_11,
        b"HTTP/1.0 " => Version::HTTP_10,
        _ => return None,
    };
    let (status, reason) = rest.split_at_checked(3)?;
    let is_reason = matches!(reason, [] | [b' ', ..]) && reason.iter().all(|byte| is_text(*byte));
    let status = StatusCode::from_bytes(status).ok()?;
    (is_reason && status.as_u16() < 600).then_some((version, status))
}

/// No control character but a tab (RFC 9112, 4).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Writes the head of a request with its framing and, if asked for, its upgrade. What `request.headers` may not hold
/// (framing, fields of one connection) is not looked for.
pub fn write(request: &Outgoing, out: &mut Vec<u8>) {
    let put = |out: &mut Vec<u8>, parts: [&[u8]; 4]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(out, [request.method.as_str().as_bytes(), b" ", request.target.as_bytes(), b" HTTP/1.1\r\n"]);
    if let Some(host) = request.headers.get(header::HOST) {
        put(out, [b"host: ", host.as_bytes(), b"\r\n", b""]);
    }
    for (name, value) in &request.headers {
        if *name != header::HOST {
            put(out, [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    out.extend_from_slice(&request.added);
    match request.body.length() {
        Length::Exact(length) => {
            put(out, [b"content-length: ", itoa::Buffer::new().format(length).as_bytes(), b"\r\n", b""]);
        }
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // Servers want to know that a method that has content as a rule has none here (RFC 9110, 8.6).
        Length::None if has_content_as_a_rule(&request.method) => out.extend_from_slice(b"content-length: 0\r\n"),
        Length::None => {}
    }
    if let Some(protocol) = &request.upgrade {
        put(out, [b"connection: upgrade\r\nupgrade: ", protocol.as_bytes(), b"\r\n", b""]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Servers expect content with it.
pub fn has_content_as_a_rule(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, Cause> {
        HeadReader::default().read(&mut BytesMut::from(text))
    }

    #[test]
    fn a_head_is_taken_out_and_what_follows_stays() {
        let mut buffer = BytesMut::from("HTTP/1.1 200 Fine\r\nA: 1\r\na:  2 \r\n\r\nrest");

        let head = HeadReader::default().read(&mut buffer).expect("a head").expect("all of it");

        assert_eq!((head.status, head.version), (StatusCode::OK, Version::HTTP_11));
        let values: Vec<_> = head.headers.get_all("a").map(|value| value.as_bytes().to_vec()).collect();
        assert_eq!(values, [b"1".to_vec(), b"2".to_vec()]);
        assert_eq!(&buffer[..], b"rest");
    }

    #[test]
    fn wherever_it_was_cut_it_reads_the_same() {
        let text = "HTTP/1.0 404 Not Found\r\nx: y\r\n\r\n";
        for cut in 0..text.len() {
            let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::from(&text[..cut]));
            assert!(reader.read(&mut buffer).expect("nothing wrong").is_none(), "cut at {cut}");
            buffer.extend_from_slice(&text.as_bytes()[cut..]);
            assert!(reader.read(&mut buffer).expect("nothing wrong").is_some(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_head_of_http_1_is_refused() {
        for text in [
            "SSH-2.0-x\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 600 x\r\n\r\n",
            "HTTP/1.1 2000 x\r\n\r\n",
            "HTTP/1.1  200 x\r\n\r\n",
            "HTTP/1.1 +20 x\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 a\rb\r\n\r\n",
            "HTTP/1.1 200 a\0b\r\n\r\n",
            "HTTP/1.1 200\tOK\r\n\r\n",
            "HTTP/1.1 099 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na : c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}: {:?}", read(text));
        }
    }

    #[test]
    fn a_head_has_limits_before_it_is_complete() {
        let line = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(MAX_HEAD));
        assert!(matches!(read(&line), Err(Cause::TooLarge)));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        assert!(matches!(read(&many), Err(Cause::TooLarge)));
    }
}
