//! The chunked transfer coding, decoded strictly (RFC 9112, 7.1), for requests and responses alike.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::{
    BodyError, HeaderMap, HeaderName,
    fields::{self, LineEnds, SectionEnd},
    forwarded, headers,
};

/// Chunk extensions and their padding, over a whole body: they carry nothing we want, so they may not cost much.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// One chunk-size line. A longer one is refused before it is complete.
const MAX_LINE: usize = 4 * 1024;
/// The trailer section.
const MAX_TRAILERS: usize = 16 * 1024;
const MAX_TRAILER_COUNT: usize = 128;
/// Sixteen digits are 2^64 - 1: more of them is an overflow or padding, and both are only used to confuse.
const MAX_DIGITS: usize = 16;

/// Fields that frame, route or authenticate a message: they mean nothing in trailers, where they come too late, and
/// are dropped there (RFC 9110, 6.5.1). So are those by which proxies tell what they know.
const NOT_IN_TRAILERS: [&str; 20] = [
    "transfer-encoding",
    "content-length",
    "host",
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "authorization",
    "proxy-authorization",
    "proxy-authenticate",
    "cookie",
    "set-cookie",
    "content-encoding",
    "content-type",
    "content-range",
    "expect",
    "via",
    "x-request-id",
];

/// It may stand in trailers.
pub fn may_trail(name: &HeaderName) -> bool {
    !NOT_IN_TRAILERS.contains(&name.as_str()) && !headers::is_hop_by_hop(name) && !forwarded::is_ours(name)
}

/// Decodes one chunked body out of a buffer that is filled by someone else.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    extensions: usize,
}

/// What a chunked body is made of.
#[derive(Debug)]
pub enum Piece {
    /// Content; never empty. It may be less than a chunk.
    Data(Bytes),
    /// The end, with the trailers if there were any. What is left in the buffer is not part of this body.
    End(Option<HeaderMap>),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    SizeLine,
    Data(u64),
    DataEnd,
    Trailers(SectionEnd),
    Done,
    Failed,
}

impl ChunkedDecoder {
    /// A body that begins with the next byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// The end was decoded.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The next piece in `buffer`, or `None` when more bytes are needed. Data is split off without copying. Never
    /// leaves more than a size line or a trailer section in the buffer, so the buffer need not grow.
    ///
    /// # Errors
    /// The body is malformed; it stays so, however often it is asked for.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, BodyError> {
        let piece = self.piece(buffer);
        if piece.is_err() {
            self.state = State::Failed;
        }
        piece
    }

    fn piece(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, BodyError> {
        loop {
            match &mut self.state {
                State::SizeLine => {
                    let Some(size) = self.size_line(buffer)? else { return Ok(None) };
                    self.state = match size {
                        0 => State::Trailers(SectionEnd::default()),
                        size => State::Data(size),
                    };
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(None);
                    }
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    *left -= length as u64;
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(Some(Piece::Data(buffer.split_to(length).freeze())));
                }
                State::DataEnd => {
                    if !b"\r\n".starts_with(&buffer[..buffer.len().min(2)]) {
                        return Err(BodyError::Malformed);
                    }
                    if buffer.len() < 2 {
                        return Ok(None);
                    }
                    buffer.advance(2);
                    self.state = State::SizeLine;
                }
                State::Trailers(end) => {
                    let mut lines = LineEnds::new();
                    let Some(length) = end.find(buffer, &mut lines).map_err(|_| BodyError::Malformed)? else {
                        return if buffer.len() > MAX_TRAILERS { Err(BodyError::Malformed) } else { Ok(None) };
                    };
                    let trailers = trailers(buffer, length, &lines)?;
                    self.state = State::Done;
                    return Ok(Some(Piece::End(trailers)));
                }
                State::Done => return Ok(Some(Piece::End(None))),
                State::Failed => return Err(BodyError::Malformed),
            }
        }
    }

    fn size_line(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, BodyError> {
        let Some(feed) = memchr(b'\n', &buffer[..buffer.len().min(MAX_LINE)]) else {
            // Known to be wrong is known soon: a peer may not make us wait for the rest of nonsense.
            return if buffer.len() >= MAX_LINE || !may_become_size_line(buffer) {
                Err(BodyError::Malformed)
            } else {
                Ok(None)
            };
        };
        let line = buffer[..feed].strip_suffix(b"\r").ok_or(BodyError::Malformed)?;
        let (size, extension) = parse_size_line(line).ok_or(BodyError::Malformed)?;
        self.extensions += extension;
        if self.extensions > MAX_EXTENSIONS {
            return Err(BodyError::Malformed);
        }
        buffer.advance(feed + 1);
        Ok(Some(size))
    }
}

/// The size, and how many bytes of extension came with it.
fn parse_size_line(line: &[u8]) -> Option<(u64, usize)> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > MAX_DIGITS {
        return None;
    }
    let (number, extension) = line.split_at(digits);
    let size = number.iter().fold(0, |size, digit| size << 4 | u64::from(hex_value(*digit)));
    is_extension(extension).then_some((size, extension.len()))
}

/// `*( BWS ";" ..)`: whitespace alone is none, and control bytes (a bare CR above all) are in none.
fn is_extension(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    bytes.is_empty()
        || (bytes.get(start) == Some(&b';')
            && bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff)))
}

fn may_become_size_line(start: &[u8]) -> bool {
    let start = start.strip_suffix(b"\r").unwrap_or(start);
    if start.is_empty() {
        return true;
    }
    let digits = start.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = &start[digits..];
    (1..=MAX_DIGITS).contains(&digits) && (rest.iter().all(|byte| matches!(byte, b' ' | b'\t')) || is_extension(rest))
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// Takes the trailer section of `length` bytes out of the buffer.
fn trailers(buffer: &mut BytesMut, length: usize, lines: &[u32]) -> Result<Option<HeaderMap>, BodyError> {
    if length > MAX_TRAILERS || lines.len() > MAX_TRAILER_COUNT {
        return Err(BodyError::Malformed);
    }
    if length == 2 {
        buffer.advance(2);
        return Ok(None);
    }
    let section = buffer.split_to(length).freeze();
    let (mut trailers, _) = fields::collect(&section, 0, lines).map_err(|_| BodyError::Malformed)?;
    trailers.retain(|name, _| may_trail(name));
    Ok((!trailers.is_empty()).then_some(trailers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Decoded {
        content: Vec<u8>,
        trailers: Vec<(String, String)>,
        left: Vec<u8>,
    }

    /// Decodes `input` given in pieces of `step` bytes; `None` when it is refused, a panic when it does not end.
    fn decode(input: &[u8], step: usize) -> Option<Decoded> {
        let mut decoder = ChunkedDecoder::new();
        let mut buffer = BytesMut::new();
        let mut content = Vec::new();
        for (at, piece) in input.chunks(step).enumerate() {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer) {
                    Err(_) => return None,
                    Ok(None) => break,
                    Ok(Some(Piece::Data(data))) => {
                        assert!(!data.is_empty());
                        content.extend_from_slice(&data);
                    }
                    Ok(Some(Piece::End(trailers))) => {
                        assert!(decoder.is_done());
                        let trailers = trailers.iter().flat_map(|map| map.iter());
                        let text = |(name, value): (&crate::http::HeaderName, &crate::http::HeaderValue)| {
                            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                        };
                        let mut left = buffer.to_vec();
                        left.extend_from_slice(&input[((at + 1) * step).min(input.len())..]);
                        return Some(Decoded { content, trailers: trailers.map(text).collect(), left });
                    }
                }
            }
        }
        panic!("{input:?} has no end");
    }

    fn refuses(input: &[u8]) -> bool {
        [1, 2, 7, input.len()].iter().all(|step| decode(input, *step).is_none())
    }

    #[test]
    fn content_trailers_and_what_follows_are_told_apart_however_the_bytes_arrive() {
        let input = b"4\r\nwiki\r\nA;name=\"v\" ; x\r\npedia in c\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\nHTTP/1.1";
        for step in 1..=input.len() {
            let decoded = decode(input, step).expect("well formed");
            assert_eq!(decoded.content, b"wikipedia in c");
            assert_eq!(decoded.trailers, [("x-sum".into(), "1".into()), ("x-sum".into(), "2".into())]);
            assert_eq!(decoded.left, b"HTTP/1.1", "step {step}");
        }
    }

    #[test]
    fn an_empty_body_is_one_line() {
        let decoded = decode(b"0\r\n\r\n", 1).expect("well formed");
        assert_eq!(decoded, Decoded { content: vec![], trailers: vec![], left: vec![] });
    }

    #[test]
    fn leading_zeros_and_either_case_are_numbers_too() {
        assert_eq!(decode(b"00a\r\n0123456789\r\n000\r\n\r\n", 3).expect("well formed").content, b"0123456789");
        assert_eq!(decode(b"A\r\n0123456789\r\n0\r\n\r\n", 3).expect("well formed").content, b"0123456789");
    }

    #[test]
    fn what_is_not_a_chunk_size_line_is_refused() {
        for line in [
            "\r\n",
            "\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "1\n",
            "1 \r\n",
            " 1\r\n",
            "1\r\r\n",
            "1,2\r\n",
            "1 2\r\n",
            "1;a\rb\r\n",
            "1;a\0\r\n",
            "1;\x7f\r\n",
            "10000000000000000\r\n",
            "00000000000000001\r\n",
        ] {
            let input = format!("{line}x\r\n0\r\n\r\n");
            assert!(refuses(input.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn a_chunk_must_end_where_it_said() {
        for body in ["1\r\nxx\r\n0\r\n\r\n", "1\r\nx\n0\r\n\r\n", "1\r\nx\r0\r\n\r\n", "2\r\nx\r\n0\r\n\r\n"] {
            assert!(refuses(body.as_bytes()), "{body:?}");
        }
    }

    #[test]
    fn malformed_trailers_are_refused() {
        for trailer in
            ["a : b\r\n", " a: b\r\n", "a: b\r\n folded\r\n", "a\r\n", "a: b\n", ": b\r\n", "a: \0\r\n", "a: b\rc\r\n"]
        {
            let input = format!("0\r\n{trailer}\r\n");
            assert!(refuses(input.as_bytes()), "{trailer:?}");
        }
    }

    #[test]
    fn what_was_malformed_once_stays_so() {
        for body in ["0\r\na b: c\r\n\r\n", "x\r\n", "1\r\nxx\r\n"] {
            let (mut decoder, mut buffer) = (ChunkedDecoder::new(), BytesMut::from(body));
            while matches!(decoder.decode(&mut buffer), Ok(Some(Piece::Data(_)))) {}

            buffer.extend_from_slice(b"0\r\n\r\n");

            assert!(decoder.decode(&mut buffer).is_err(), "{body:?}");
            buffer.clear();
            assert!(decoder.decode(&mut buffer).is_err(), "{body:?}");
        }
    }

    #[test]
    fn trailers_that_would_frame_or_route_are_dropped() {
        let input = b"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nhost: evil\r\nx-ok: 1\r\n\
            X-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nVia: x\r\nX-Request-Id: a\r\n\r\n";
        assert_eq!(decode(input, 9).expect("well formed").trailers, [("x-ok".into(), "1".into())]);
    }

    #[test]
    fn endless_lines_extensions_and_trailers_are_refused_before_they_end() {
        let line = format!("1;{}", "a".repeat(MAX_LINE));
        let extensions = format!("1;{}\r\nx\r\n", "a".repeat(2000)).repeat(9);
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(MAX_TRAILERS / 6 + 1));
        let count = format!("0\r\n{}\r\n", "a: b\r\n".repeat(MAX_TRAILER_COUNT + 1));
        for input in [line, extensions, trailers, count] {
            assert!(decode(input.as_bytes(), 1000).is_none(), "{}..", &input[..10]);
        }
    }

    #[test]
    fn the_largest_size_is_a_size() {
        let mut decoder = ChunkedDecoder::new();
        let mut buffer = BytesMut::from(&b"ffffffffffffffff\r\nx"[..]);
        assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Piece::Data(data))) if data == "x"));
        assert!(matches!(decoder.decode(&mut buffer), Ok(None)));
    }
}
