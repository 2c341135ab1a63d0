//! Entity tags (RFC 9110, 8.8.3).

use crate::http::HeaderValue;

/// They stand for the same content (8.8.3.2).
pub(super) fn is_weakly_same(one: &[u8], other: &[u8]) -> bool {
    opaque(one) == opaque(other)
}

/// They stand for the same bytes (8.8.3.2).
pub(super) fn is_strongly_same(one: &[u8], other: &[u8]) -> bool {
    is_strong(one) && one == other
}

pub(super) fn is_strong(tag: &[u8]) -> bool {
    !tag.starts_with(b"W/")
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The tags of a list, over all its lines. A tag may hold commas; what has no quotes ends at one.
pub(super) fn listed<'h>(lines: impl Iterator<Item = &'h HeaderValue>) -> impl Iterator<Item = &'h [u8]> {
    lines.flat_map(|line| Tags { rest: line.as_bytes() })
}

struct Tags<'h> {
    rest: &'h [u8],
}

impl<'h> Iterator for Tags<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let start = self.rest.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        let rest = &self.rest[start..];
        let opening = opaque(rest).first() == Some(&b'"');
        let before = rest.len() - opaque(rest).len();
        let closing = opaque(rest).iter().skip(1).position(|byte| *byte == b'"').filter(|_| opening);
        let end = match closing {
            Some(at) => before + at + 2,
            None => rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len()),
        };
        let (tag, rest) = rest.split_at(end);
        self.rest = rest;
        Some(tag.trim_ascii_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_lists() {
        for (line, expected) in [
            (r#""a", W/"b""#, vec![r#""a""#, r#"W/"b""#]),
            (r#""a,b" ,,"c""#, vec![r#""a,b""#, r#""c""#]),
            ("*", vec!["*"]),
            ("abc, def ", vec!["abc", "def"]),
            (r#""open, W/"#, vec![r#""open"#, "W/"]),
            ("", vec![]),
        ] {
            let line = HeaderValue::from_static(line);
            let found: Vec<_> = listed([&line].into_iter()).collect();
            assert_eq!(found, expected.iter().map(|tag| tag.as_bytes()).collect::<Vec<_>>(), "{line:?}");
        }
    }

    #[test]
    fn weak_tags_are_weakly_the_same_and_never_strongly() {
        assert!(is_weakly_same(b"W/\"a\"", b"\"a\"") && is_strongly_same(b"\"a\"", b"\"a\""));
        assert!(!is_strongly_same(b"W/\"a\"", b"W/\"a\"") && !is_weakly_same(b"\"a\"", b"\"b\""));
    }
}
