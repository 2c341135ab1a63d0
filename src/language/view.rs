//! Parts of a request as conditions see them: in one spelling, whichever the client chose.

use std::borrow::Cow;

pub(super) use crate::http::query::values as query;
use crate::http::query::{decoded, form_text};

/// Texts of clients need not be UTF-8.
pub type Bytes<'e> = Cow<'e, [u8]>;

/// A normalised path with what is encoded decoded, but for slashes, backslashes and percent signs, which would mean
/// something else; several slashes in a row are one.
pub fn path(path: &str) -> Bytes<'_> {
    let path = path.as_bytes();
    if !path.contains(&b'%') && !path.windows(2).any(|pair| pair == b"//") {
        return Cow::Borrowed(path);
    }
    let mut seen: Vec<u8> = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        match decoded(path, at) {
            Some(meant) if !b"/\\%".contains(&meant) => {
                seen.push(meant);
                at += 3;
                continue;
            }
            None if *byte == b'/' && seen.last() == Some(&b'/') => {}
            _ => seen.push(*byte),
        }
        at += 1;
    }
    Cow::Owned(seen)
}

/// The names in a query, whether `&` or `;` stands between them: endpoints differ in that.
pub fn query_names(query: &str) -> impl Iterator<Item = Bytes<'_>> {
    let pairs = query.strip_prefix('?').unwrap_or_default().as_bytes().split(|byte| b"&;".contains(byte));
    let names = pairs.filter(|pair| !pair.is_empty());
    names.map(|pair| form_text(split_at(pair, b'=').map_or(pair, |(name, _)| name)))
}

/// The values of the cookies of a name, without the spaces around them.
pub(super) fn cookie<'e>(line: &'e [u8], name: &str) -> impl Iterator<Item = &'e [u8]> {
    line.split(|byte| *byte == b';').filter_map(move |pair| {
        let (key, value) = split_at(pair, b'=')?;
        (key.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    })
}

/// The media type of a `Content-Type`: lower case, no parameters.
pub fn media_type(value: &[u8]) -> Bytes<'_> {
    let value = split_at(value, b';').map_or(value, |(essence, _)| essence).trim_ascii();
    if value.iter().any(u8::is_ascii_uppercase) { Cow::Owned(value.to_ascii_lowercase()) } else { Cow::Borrowed(value) }
}

fn split_at(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|other| *other == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_in_one_spelling() {
        for (written, expected) in [
            ("/a/b", "/a/b"),
            ("/a%21%20b", "/a! b"),
            ("/caf%C3%A9", "/caf\u{e9}"),
            ("/a%2Fb%5Cc%252F", "/a%2Fb%5Cc%252F"),
            ("//a///b/", "/a/b/"),
            ("/a%2F/%2Fb", "/a%2F/%2Fb"),
            ("*", "*"),
        ] {
            assert_eq!(path(written), expected.as_bytes(), "{written}");
        }
        assert_eq!(&*path("/%FF"), b"/\xff");
    }

    #[test]
    fn cookies_are_found_with_spaces_around_and_a_media_type_without_its_parameters() {
        let line = b"a=1; x = 2 ;xx=3;x;x=\"4\"; X=5";

        assert_eq!(cookie(line, "x").collect::<Vec<_>>(), [&b"2"[..], b"\"4\""]);
        for (written, expected) in
            [("text/HTML ; charset=utf-8", "text/html"), ("application/json", "application/json"), (";", "")]
        {
            assert_eq!(media_type(written.as_bytes()), expected.as_bytes());
        }
    }
}
