//! What a request is called.

use std::fmt;

use crate::{chance::roll, clock, http::HeaderValue};

/// What of another's id is taken over; a longer one is replaced.
const MAX_GIVEN: usize = 128;

/// Digits and hyphens of a UUID.
const UUID_LENGTH: usize = 36;

/// A request's name in logs and answers: a UUID of version 7, or what a trusted proxy called it.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Text);

#[derive(Clone, PartialEq, Eq)]
enum Text {
    Made([u8; UUID_LENGTH]),
    Given(Box<str>),
}

impl RequestId {
    /// A new one: a UUID of version 7 (RFC 9562, 5.7), so that ids sort by time. It names a request, it protects
    /// nothing: whoever sees some of them may guess others.
    pub fn generate() -> Self {
        let since = clock::unix_coarse();
        let milliseconds = since.as_secs() * 1000 + u64::from(since.subsec_millis());
        let high = milliseconds << 16 | 0x7000 | roll() & 0x0fff;
        let low = 0x8000_0000_0000_0000 | roll() >> 2;
        Self(Text::Made(hyphenated(high, low)))
    }

    /// Another's, if it is short and plain enough for logs and pages.
    pub fn given(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
        let fits = !text.is_empty() && text.len() <= MAX_GIVEN && text.bytes().all(plain);
        fits.then(|| Self(Text::Given(text.into())))
    }

    /// The id, as it is written into fields.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Made(text) => text,
            Text::Given(text) => text.as_bytes(),
        }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Made(text) => std::str::from_utf8(text).expect("hexadecimal digits are ASCII"),
            Text::Given(text) => text,
        }
    }
}

/// A UUID's two halves in its usual form (RFC 9562, 4).
fn hyphenated(high: u64, low: u64) -> [u8; UUID_LENGTH] {
    let (high, low) = (hexadecimal(high), hexadecimal(low));
    let mut text = [b'-'; UUID_LENGTH];
    text[..8].copy_from_slice(&high[..8]);
    text[9..13].copy_from_slice(&high[8..12]);
    text[14..18].copy_from_slice(&high[12..]);
    text[19..23].copy_from_slice(&low[..4]);
    text[24..].copy_from_slice(&low[4..]);
    text
}

/// Sixteen digits in lower case, eight at a time.
fn hexadecimal(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    text[..8].copy_from_slice(&digits((number >> 32) as u32));
    text[8..].copy_from_slice(&digits(number as u32));
    text
}

fn digits(number: u32) -> [u8; 8] {
    // One digit's value in each byte: halves, quarters and eighths are drawn apart.
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // A one in each byte that is a letter: ten and six more carry into the upper half.
    let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (spread + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7_and_differ() {
        let ids: HashSet<String> = (0..10_000).map(|_| RequestId::generate().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids.iter().take(10) {
            let uuid: uuid::Uuid = id.parse().expect("a UUID");
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122), "{id}");
            let (seconds, _) = uuid.get_timestamp().expect("version 7 tells the time").to_unix();
            assert!(seconds.abs_diff(clock::unix_coarse().as_secs()) < 60, "{id}");
        }
        let text = hyphenated(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        assert_eq!(text.as_slice(), b"01234567-89ab-cdef-fedc-ba9876543210");
    }

    #[test]
    fn another_s_id_is_taken_over_only_if_it_is_plain() {
        for (text, taken) in
            [("abc-123", true), ("", false), ("a b", false), ("<b>", false), (&*"x".repeat(129), false)]
        {
            let value = HeaderValue::from_str(text).expect("a value");
            assert_eq!(RequestId::given(&value).is_some(), taken, "{text}");
        }
    }
}
