//! However a response head is cut into segments, it reads the same; what was read is a head, and httparse reads it the same
//! way.

use aqueduct::{
    http::Version,
    transport::h1::head::{Head, HeadReader},
};
use bytes::BytesMut;

use super::request_head::same_fields;

pub fn check(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let whole = read(bytes, bytes.len().max(1));
    let pieces = read(bytes, usize::from(*size % 16) + 1);
    match (whole, pieces) {
        (Ok(Some((whole, left))), Ok(Some((pieces, _)))) => {
            assert!(left <= bytes.len());
            assert_eq!(
                (whole.status, whole.version, whole.headers.len()),
                (pieces.status, pieces.version, pieces.headers.len())
            );
            assert!((100..600).contains(&whole.status.as_u16()));
            agree(&whole, &bytes[..bytes.len() - left]);
        }
        (Ok(None), Ok(None)) | (Err(()), Err(())) => {}
        // A reader that sees less at once may know of nonsense sooner, never of a head.
        (Err(()), Ok(None)) | (Ok(None), Err(())) => {}
        (whole, pieces) => panic!("whole {:?}, in pieces {:?}", whole.map(|_| ()), pieces.map(|_| ())),
    }
}

fn read(bytes: &[u8], size: usize) -> Result<Option<(Head, usize)>, ()> {
    let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::new());
    let mut left = bytes.len();
    for segment in bytes.chunks(size) {
        buffer.extend_from_slice(segment);
        left -= segment.len();
        if let Some(head) = reader.read(&mut buffer).map_err(|_| ())? {
            return Ok(Some((head, left + buffer.len())));
        }
    }
    Ok(None)
}

fn agree(head: &Head, bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut other = httparse::Response::new(&mut fields);
    assert_eq!(other.parse(bytes), Ok(httparse::Status::Complete(bytes.len())), "{}", bytes.escape_ascii());
    assert_eq!(other.code, Some(head.status.as_u16()));
    assert_eq!(other.version, Some(u8::from(head.version == Version::HTTP_11)));
    same_fields(&head.headers, other.headers);
}
