//! Whatever a client claims, what an endpoint is told is well formed; an untrusted client's claim is not in it.

use std::net::{IpAddr, Ipv4Addr};

use aqueduct::http::{
    HeaderMap, HeaderName, HeaderValue,
    forwarded::{self, Hop},
};

const FIELDS: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"];

pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let mut headers = HeaderMap::new();
    for (index, value) in text.split(|byte| *byte == b'\n').enumerate().take(16) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(FIELDS[index % FIELDS.len()]), value);
        }
    }
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let claim = forwarded::believe(&headers, Some(peer), &|address| address == peer || choice & 1 == 0);
    let address = claim.and_then(|claim| claim.address);
    assert!(address.is_none_or(|address| !address.is_unspecified() || text.contains(&b'0') || text.contains(&b':')));

    let hop = Hop { peer: Some(peer), host: "host.example", secure: choice & 2 == 0, trusted: choice & 4 == 0 };
    let mut lines = Vec::new();
    forwarded::announce(&headers, &hop, choice & 8 == 0, choice & 16 == 0, &mut lines);
    check_lines(&lines);
    if !hop.trusted {
        let mut alone = Vec::new();
        forwarded::announce(&HeaderMap::new(), &hop, choice & 8 == 0, choice & 16 == 0, &mut alone);
        assert_eq!(lines, alone, "what an untrusted client says changes nothing");
    }
}

/// Complete field lines and nothing else.
fn check_lines(lines: &[u8]) {
    let head = [lines, b"\r\n"].concat();
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let parsed = httparse::parse_headers(&head, &mut fields);
    assert!(matches!(parsed, Ok(httparse::Status::Complete((length, _))) if length == head.len()), "{head:?}");
}
