//! However a chunked body is cut into segments, it reads the same; and it never yields more than it was given.

use aqueduct::http::chunked::{ChunkedDecoder, Piece};
use bytes::BytesMut;

/// What came of a body: its bytes, whether it ended, how many trailers it had, and what was left behind it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    data: Vec<u8>,
    trailers: Option<usize>,
    left: Vec<u8>,
    failed: bool,
}

pub fn check(data: &[u8]) {
    let Some((size, body)) = data.split_first() else { return };
    let whole = read(body, body.len().max(1));
    let pieces = read(body, usize::from(*size % 16) + 1);
    assert!(whole.data.len() <= body.len());
    if !whole.failed {
        assert_eq!(whole, pieces);
    }
    assert_eq!(whole.failed, pieces.failed);
}

fn read(body: &[u8], size: usize) -> Read {
    let mut read = Read { data: Vec::new(), trailers: None, left: Vec::new(), failed: false };
    let (mut decoder, mut buffer) = (ChunkedDecoder::new(), BytesMut::new());
    for segment in body.chunks(size) {
        buffer.extend_from_slice(segment);
        while !decoder.is_done() {
            match decoder.decode(&mut buffer) {
                Ok(Some(Piece::Data(bytes))) => read.data.extend_from_slice(&bytes),
                Ok(Some(Piece::End(trailers))) => read.trailers = Some(trailers.map_or(0, |trailers| trailers.len())),
                Ok(None) => break,
                Err(_) => {
                    read.failed = true;
                    assert!(decoder.decode(&mut buffer).is_err(), "what was malformed once stays so");
                    return read;
                }
            }
        }
    }
    read.left = buffer.to_vec();
    read
}
