//! One range of bytes (RFC 9110, 14.1.2).

use crate::http::{HeaderMap, header};

/// What `Range` asks of a body of some length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// Nothing that is done: it is not there, cannot be read, or has several parts. All of it answers that, too.
    Ignored,
    /// From the first to the last byte, both included.
    Part { first: u64, last: u64 },
    /// Nothing that is there.
    Unsatisfiable,
}

impl Range {
    pub fn of(headers: &HeaderMap, length: u64) -> Self {
        let mut lines = headers.get_all(header::RANGE);
        let (Some(line), None) = (lines.next(), lines.next()) else { return Self::Ignored };
        // Of nothing no part can be had; that there is nothing is an answer.
        if length == 0 {
            return Self::Ignored;
        }
        Self::parse(line.as_bytes(), length).unwrap_or(Self::Ignored)
    }

    fn parse(text: &[u8], length: u64) -> Option<Self> {
        let at = text.iter().position(|byte| *byte == b'=')?;
        if !text[..at].eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let range = text[at + 1..].trim_ascii();
        let dash = range.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (&range[..dash], &range[dash + 1..]);
        if first.is_empty() {
            let count = number(last)?.min(length);
            let part = Self::Part { first: length - count, last: length - 1 };
            return Some(if count == 0 { Self::Unsatisfiable } else { part });
        }
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX } else { number(last)? };
        if last < first {
            return None;
        }
        Some(if first < length { Self::Part { first, last: last.min(length - 1) } } else { Self::Unsatisfiable })
    }
}

/// The first byte that a client asks for, if it asks for one range and says where that begins.
pub(super) fn first_asked_for(headers: &HeaderMap) -> Option<u64> {
    // Whatever begins there would be the last byte of this.
    match Range::of(headers, u64::MAX) {
        Range::Part { first, .. } if !is_suffix(headers) => Some(first),
        _ => None,
    }
}

fn is_suffix(headers: &HeaderMap) -> bool {
    headers.get(header::RANGE).is_some_and(|line| {
        let range = line.as_bytes().splitn(2, |byte| *byte == b'=').nth(1).unwrap_or_default();
        range.trim_ascii().starts_with(b"-")
    })
}

/// Digits; more than there can be is the most.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderValue;

    #[test]
    fn a_range_is_of_bytes_that_are_there() {
        let part = |first, last| Range::Part { first, last };
        for (text, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-5", part(2, 5)),
            ("Bytes=2-", part(2, 9)),
            ("bytes= 2-99 ", part(2, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=9-99999999999999999999999", part(9, 9)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=99999999999999999999999-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=5-2", Range::Ignored),
            ("bytes=0-1,3-4", Range::Ignored),
            ("bytes=1", Range::Ignored),
            ("bytes=-", Range::Ignored),
            ("bytes=a-b", Range::Ignored),
            ("bytes=+1-2", Range::Ignored),
            ("bytes 1-2", Range::Ignored),
            ("pages=1-2", Range::Ignored),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(text));
            assert_eq!(Range::of(&headers, 10), expected, "{text}");
            assert_eq!(Range::of(&headers, 0), Range::Ignored, "{text}");
        }
    }

    #[test]
    fn no_range_and_two_of_them_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(Range::of(&headers, 10), Range::Ignored);
        headers.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.append(header::RANGE, HeaderValue::from_static("bytes=2-3"));
        assert_eq!(Range::of(&headers, 10), Range::Ignored);
    }
}
