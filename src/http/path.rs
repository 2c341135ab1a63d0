//! Paths that can be read in one way only.

use std::borrow::Cow;

/// What to do with paths that can be read two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Resolve `.` and `..` (RFC 3986, 5.2.4), also percent-encoded ones; else refuse them.
    pub resolve_dots: bool,
    /// Leave `%2F` and `%5C` alone; else refuse them.
    pub keep_encoded_slash: bool,
    /// What to do with `//`.
    pub empty_segments: EmptySegments,
}

/// What to do with `//`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptySegments {
    /// Let them be.
    Keep,
    /// One slash for many.
    Merge,
    /// Refuse the path.
    Reject,
}

impl Default for Policy {
    fn default() -> Self {
        Self { resolve_dots: true, keep_encoded_slash: false, empty_segments: EmptySegments::Keep }
    }
}

/// The path as routes see it and endpoints get it: dots resolved, unreserved characters decoded, encodings in upper
/// case (RFC 3986, 6.2.2), and what browsers send though a path may not hold it (`|`, `[`, `^` and so on) encoded;
/// still percent-encoded otherwise. Borrowed when nothing had to change.
///
/// # Errors
/// Which rule the path broke.
pub fn normalize<'p>(path: &'p str, policy: &Policy) -> Result<Cow<'p, str>, &'static str> {
    if !path.starts_with('/') {
        return Err("it does not start with a slash");
    }
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode_unreserved(path, policy)?;
    let settled = settle_segments(&decoded, policy)?;
    Ok(if settled == path { Cow::Borrowed(path) } else { Cow::Owned(settled) })
}

/// The query as endpoints get it: what RFC 3986 does not allow there is encoded, all else is as it was written. Borrowed
/// when nothing had to change.
///
/// # Errors
/// It cannot be read: a percent sign that encodes nothing, or a byte that is no visible character.
pub fn settle_query(query: &str) -> Result<Cow<'_, str>, &'static str> {
    if query.bytes().all(|byte| IS_PLAIN[usize::from(byte)] || byte == b'?') {
        return Ok(Cow::Borrowed(query));
    }
    let mut settled = String::with_capacity(query.len() + 8);
    let mut left = query.bytes();
    while let Some(byte) = left.next() {
        match byte {
            b'%' => {
                let mut digits = left.clone();
                if digits.next().and_then(hex).is_none() || digits.next().and_then(hex).is_none() {
                    return Err("an incomplete percent-encoding in the query");
                }
                settled.push('%');
            }
            b'?' => settled.push('?'),
            _ => put(byte, &mut settled)?,
        }
    }
    Ok(if settled == query { Cow::Borrowed(query) } else { Cow::Owned(settled) })
}

/// What a path and a query may hold as it is (RFC 3986, 3.3 and 3.4); `?`, which only a query may, aside.
const IS_PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        plain[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+')
            || matches!(byte, b',' | b';' | b'=' | b':' | b'@' | b'/');
        byte += 1;
    }
    plain
};

/// A visible character, encoded if it must be.
fn put(byte: u8, to: &mut String) -> Result<(), &'static str> {
    if IS_PLAIN[usize::from(byte)] {
        to.push(char::from(byte));
    } else if byte.is_ascii_graphic() {
        to.push('%');
        to.push(DIGITS[usize::from(byte >> 4)]);
        to.push(DIGITS[usize::from(byte & 15)]);
    } else {
        return Err("a character that must be encoded");
    }
    Ok(())
}

/// Nothing but what a path may hold as it is, no percent sign, no segment that is empty or starts with a dot: by far the
/// most paths, told in one pass.
fn is_plain(path: &str) -> bool {
    let mut before = b' ';
    path.bytes().all(|byte| {
        let suspicious = before == b'/' && (byte == b'.' || byte == b'/');
        before = byte;
        !suspicious && IS_PLAIN[usize::from(byte)]
    })
}

fn decode_unreserved(path: &str, policy: &Policy) -> Result<String, &'static str> {
    let mut decoded = String::with_capacity(path.len());
    let mut left = path.bytes();
    while let Some(byte) = left.next() {
        match byte {
            b'\\' => return Err("a backslash"),
            b'%' => {
                let (high, low) = (left.next().and_then(hex), left.next().and_then(hex));
                let (Some(high), Some(low)) = (high, low) else { return Err("an incomplete percent-encoding") };
                let meant = high << 4 | low;
                match meant {
                    b'/' | b'\\' if !policy.keep_encoded_slash => return Err("an encoded slash"),
                    0..0x20 | 0x7f => return Err("an encoded control character"),
                    _ if meant.is_ascii_alphanumeric() || b"-._~".contains(&meant) => decoded.push(char::from(meant)),
                    _ => {
                        decoded.push('%');
                        decoded.push(DIGITS[usize::from(high)]);
                        decoded.push(DIGITS[usize::from(low)]);
                    }
                }
            }
            _ => put(byte, &mut decoded)?,
        }
    }
    Ok(decoded)
}

const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn settle_segments(path: &str, policy: &Policy) -> Result<String, &'static str> {
    let mut segments: Vec<&str> = Vec::new();
    let mut left = path[1..].split('/').peekable();
    while let Some(segment) = left.next() {
        let last = left.peek().is_none();
        match (segment, last) {
            ("." | "..", _) if !policy.resolve_dots => return Err("a dot segment"),
            (".", false) => {}
            (".", true) => segments.push(""),
            ("..", _) => {
                segments.pop().ok_or("it climbs above the root")?;
                if last {
                    segments.push("");
                }
            }
            ("", false) => match policy.empty_segments {
                EmptySegments::Keep => segments.push(""),
                EmptySegments::Merge => {}
                EmptySegments::Reject => return Err("an empty segment"),
            },
            _ => segments.push(segment),
        }
    }
    let mut settled = String::with_capacity(path.len());
    for segment in &segments {
        settled.push('/');
        settled.push_str(segment);
    }
    if settled.is_empty() {
        settled.push('/');
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_becomes_what_every_reader_takes_it_for() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/%2e%2E/", "error"),
            ("/a/%2e%2e/b", "/b"),
            ("/%61%7e%2d", "/a~-"),
            ("/%c3%a4", "/%C3%A4"),
            ("/a//b", "/a//b"),
            ("/a|b/[c]^", "/a%7Cb/%5Bc%5D%5E"),
            ("/{a}\"<b>`", "/%7Ba%7D%22%3Cb%3E%60"),
            ("/a%7cb", "/a%7Cb"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/.hidden/..x", "/.hidden/..x"),
            ("/..", "error"),
            ("/a%2fb", "error"),
            ("/a%5cb", "error"),
            ("/a\\b", "error"),
            ("/a%00", "error"),
            ("/a%0d%0a", "error"),
            ("/a%", "error"),
            ("/a%g0", "error"),
            ("/a b", "error"),
            ("/ä", "error"),
            ("a", "error"),
            ("", "error"),
        ] {
            assert_eq!(normalize(path, &Policy::default()).unwrap_or("error".into()), expected, "{path}");
        }
    }

    #[test]
    fn a_query_holds_what_every_reader_takes_for_one() {
        for (query, expected) in [
            ("", ""),
            ("?", "?"),
            ("?a=/?:@!$&'()*+,;=-._~", "?a=/?:@!$&'()*+,;=-._~"),
            ("?a=%c3%A4&b=%41%00", "?a=%c3%A4&b=%41%00"),
            ("?a[]=|^{}`\\<>\"", "?a%5B%5D=%7C%5E%7B%7D%60%5C%3C%3E%22"),
            ("?a=[%7c]", "?a=%5B%7c%5D"),
            ("?a=%zz", "error"),
            ("?a=100%", "error"),
            ("?a=%4", "error"),
            ("?a b", "error"),
            ("?\u{e4}", "error"),
        ] {
            assert_eq!(settle_query(query).unwrap_or("error".into()), expected, "{query}");
        }
    }

    #[test]
    fn the_policy_decides_on_dots_slashes_and_empty_segments() {
        let strict = Policy { resolve_dots: false, keep_encoded_slash: true, empty_segments: EmptySegments::Reject };
        assert!(normalize("/a/../b", &strict).is_err());
        assert!(normalize("/a//b", &strict).is_err());
        assert_eq!(normalize("/a%2fb", &strict).expect("kept"), "/a%2Fb");
        let merging = Policy { empty_segments: EmptySegments::Merge, ..Policy::default() };
        assert_eq!(normalize("//a///b//", &merging).expect("merged"), "/a/b/");
    }

    proptest! {
        #[test]
        fn doing_it_twice_is_doing_it_once(path in "/([a-zA-Z.%/0-9;~|\\[\"^]|%2[eEfF]|%[0-9a-f]{2}){0,24}") {
            if let Ok(once) = normalize(&path, &Policy::default()) {
                let twice = normalize(&once, &Policy::default());
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
            }
        }

        #[test]
        fn no_dot_segment_is_left(path in "/([a.%/]|%2[eE]){0,24}") {
            if let Ok(settled) = normalize(&path, &Policy::default()) {
                prop_assert!(!settled.split('/').any(|segment| matches!(segment, "." | "..")), "{settled}");
            }
        }
    }
}
