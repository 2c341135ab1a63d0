//! However a request head is cut into segments, it reads the same; what was read is a head within the limits, and httparse
//! reads it the same way.

use aqueduct::{
    edge::{
        h1::head::{Head, HeadReader},
        limits::Limits,
    },
    http::{HeaderMap, Method, StatusCode, Underscores, Version},
    settings::ServerSettings,
};
use bytes::BytesMut;

pub fn check(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    // The other reader knows nothing of what is left out.
    let limits = Limits { underscores: Underscores::Pass, ..Limits::of(&ServerSettings::default(), "fuzz") };
    let whole = read(bytes, bytes.len().max(1), &limits);
    let pieces = read(bytes, usize::from(*size % 16) + 1, &limits);
    match (whole, pieces) {
        (Ok(Some((whole, left))), Ok(Some((pieces, also_left)))) => {
            assert_eq!(left, also_left);
            assert_eq!((&whole.method, &whole.uri, whole.version), (&pieces.method, &pieces.uri, pieces.version));
            assert_eq!((whole.length, whole.keeps_alive), (pieces.length, pieces.keeps_alive));
            assert_eq!(whole.headers.len(), pieces.headers.len());
            assert!(whole.headers.len() <= limits.max_headers && whole.method != Method::CONNECT);
            agree(&whole, &bytes[..bytes.len() - left]);
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

fn agree(head: &Head, bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Request::new(&mut fields);
    // It forgives any number of empty lines before a request, we one.
    assert_eq!(other.parse(bytes), Ok(httparse::Status::Complete(bytes.len())), "{}", bytes.escape_ascii());
    assert_eq!(other.method, Some(head.method.as_str()));
    assert_eq!(other.version, Some(u8::from(head.version == Version::HTTP_11)));
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    assert!(other.path.is_some_and(|path| path.ends_with(target.trim_start_matches('/'))), "{:?} {target}", other.path);
    same_fields(&head.headers, other.headers);
}

pub fn same_fields(ours: &HeaderMap, others: &[httparse::Header<'_>]) {
    assert_eq!(ours.len(), others.len());
    for name in ours.keys() {
        let values: Vec<&[u8]> = ours.get_all(name).map(|value| value.as_bytes()).collect();
        let named = others.iter().filter(|other| other.name.eq_ignore_ascii_case(name.as_str()));
        assert_eq!(values, named.map(|other| other.value).collect::<Vec<_>>(), "{name}");
    }
}
