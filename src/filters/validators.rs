//! What fields say of the bytes of an answer, when these become others.

use crate::http::{HeaderMap, HeaderName, HeaderValue, header, headers};

/// The tag of an answer as a weak one; `None` if it has none, or one that is weak.
pub fn weak(fields: &HeaderMap) -> Option<HeaderValue> {
    let tag = fields.get(header::ETAG)?.as_bytes();
    if tag.starts_with(b"W/") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", tag].concat()).ok()
}

/// The tag stands for the same content, not the same bytes (RFC 9110, 8.8.1).
pub fn weaken(fields: &mut HeaderMap) {
    if let Some(weak) = weak(fields) {
        fields.insert(header::ETAG, weak);
    }
}

/// Not modified is what the client has: if that has the weak tag, so has the answer (RFC 9110, 15.4.5).
pub fn stay_weak(asked: &HeaderMap, fields: &mut HeaderMap) -> bool {
    let known = |weak: &HeaderValue| headers::list(asked, &header::IF_NONE_MATCH).any(|tag| tag == weak.as_bytes());
    let Some(weak) = weak(fields).filter(known) else { return false };
    fields.insert(header::ETAG, weak);
    true
}

/// Forgets how many they were, which of them can be had alone, and what their digest was.
pub fn forget_bytes(fields: &mut HeaderMap) {
    for name in OF_BYTES {
        fields.remove(name);
    }
}

const OF_BYTES: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_weakened_once() {
        for (tag, expected) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\"")] {
            let mut fields = HeaderMap::new();
            fields.insert(header::ETAG, HeaderValue::from_static(tag));

            weaken(&mut fields);

            assert_eq!(fields.get(header::ETAG).expect("a tag"), expected);
        }
    }
}
