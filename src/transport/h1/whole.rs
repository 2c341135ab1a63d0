//! A whole answer out of bytes, without a socket: what fuzzing and comparisons with other clients look at.

use bytes::{Bytes, BytesMut};

use super::{
    body::{Ending, Next},
    head::{Head, HeadReader},
};
use crate::{
    http::{
        Frame, HeaderMap, Method, StatusCode,
        chunked::ChunkedDecoder,
        framing::{ResponseFraming, response_framing},
    },
    transport::Cause,
};

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Whole {
    /// The status of the final head.
    pub status: StatusCode,
    /// All of its fields, hop-by-hop ones included.
    pub headers: HeaderMap,
    /// The content, without its framing.
    pub content: Vec<u8>,
    /// The trailers, if there were any.
    pub trailers: Option<HeaderMap>,
    /// What came behind.
    pub rest: Bytes,
}

/// Reads one answer out of all the bytes a connection brought before it ended, as an exchange would.
///
/// # Errors
/// What an exchange would have failed with; [`Cause::Closed`] for an answer that was cut.
pub fn read_all(method: &Method, bytes: &[u8]) -> Result<Whole, Cause> {
    let mut buffer = BytesMut::from(bytes);
    let head = final_head(&mut buffer)?;
    let framing = response_framing(method, head.status, head.version, &head.headers, head.marks)
        .map_err(|error| Cause::Malformed(error.as_str()))?;
    let mut ending = match framing {
        ResponseFraming::None(_) => Ending::Length(0),
        ResponseFraming::Length(length) => Ending::Length(length),
        ResponseFraming::Chunked { .. } => Ending::Chunked(ChunkedDecoder::new()),
        ResponseFraming::UntilClose => Ending::Close,
    };
    let mut content = Vec::new();
    let trailers = loop {
        match ending.next(&mut buffer).map_err(|_| Cause::Malformed("a malformed body"))? {
            Some(Next::Frame(Frame::Data(data))) => content.extend_from_slice(&data),
            Some(Next::Frame(Frame::Trailers(trailers))) => break Some(trailers),
            Some(Next::End(trailers)) => break trailers,
            None if matches!(ending, Ending::Close) => break None,
            None => return Err(Cause::Closed),
        }
    };
    Ok(Whole { status: head.status, headers: head.headers, content, trailers, rest: buffer.freeze() })
}

fn final_head(buffer: &mut BytesMut) -> Result<Head, Cause> {
    let mut reader = HeadReader::default();
    loop {
        match reader.read(buffer)? {
            None => return Err(Cause::Closed),
            Some(head) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                return Err(Cause::Malformed("101 without having been asked"));
            }
            Some(head) if head.status.is_informational() => {}
            Some(head) => return Ok(head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                      3\r\nabc\r\n0\r\nx: y\r\n\r\nHTTP";

        let whole = read_all(&Method::GET, bytes).expect("well formed");

        assert_eq!((whole.status, whole.content.as_slice()), (StatusCode::OK, &b"abc"[..]));
        assert!(whole.trailers.expect("trailers").contains_key("x"));
        assert_eq!(whole.rest, "HTTP");
    }

    #[test]
    fn a_cut_is_not_an_end() {
        for bytes in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "",
        ] {
            assert!(matches!(read_all(&Method::GET, bytes.as_bytes()), Err(Cause::Closed)), "{bytes:?}");
        }
        assert_eq!(read_all(&Method::GET, b"HTTP/1.1 200 OK\r\n\r\nab").expect("until close").content, b"ab");
        assert!(read_all(&Method::HEAD, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n").is_ok());
    }
}
