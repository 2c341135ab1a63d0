//! However a request head is cut into segments, it reads the same; and what was read is a head within the limits.

use aqueduct::{
    edge::{
        h1::head::{Head, HeadReader},
        limits::Limits,
    },
    http::{Method, StatusCode},
    settings::ServerSettings,
};
use bytes::BytesMut;

pub fn check(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let limits = Limits::of(&ServerSettings::default(), "fuzz");
    let whole = read(bytes, bytes.len().max(1), &limits);
    let pieces = read(bytes, usize::from(*size % 16) + 1, &limits);
    match (whole, pieces) {
        (Ok(Some((whole, left))), Ok(Some((pieces, also_left)))) => {
            assert_eq!(left, also_left);
            assert_eq!((&whole.method, &whole.uri, whole.version), (&pieces.method, &pieces.uri, pieces.version));
            assert_eq!((whole.length, whole.keeps_alive), (pieces.length, pieces.keeps_alive));
            assert_eq!(whole.headers.len(), pieces.headers.len());
            assert!(whole.headers.len() <= limits.max_headers && whole.method != Method::CONNECT);
            for (name, value) in &whole.headers {
                assert!(!name.as_str().is_empty());
                assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
            }
        }
        // Which rule is found broken first may depend on how much is seen at once.
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("whole {:?}, in pieces {:?}", whole.map(|_| ()), pieces.map(|_| ())),
    }
}

fn read(bytes: &[u8], size: usize, limits: &Limits) -> Result<Option<(Head, usize)>, StatusCode> {
    let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::new());
    let mut left = bytes.len();
    for segment in bytes.chunks(size) {
        buffer.extend_from_slice(segment);
        left -= segment.len();
        if let Some(head) = reader.read(&mut buffer, limits).map_err(|error| error.status())? {
            return Ok(Some((head, left + buffer.len())));
        }
    }
    Ok(None)
}
