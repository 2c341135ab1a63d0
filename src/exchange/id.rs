//! What a request is called.

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher, RandomState},
};

use uuid::{Builder, fmt::Hyphenated};

use crate::{clock, http::HeaderValue};

/// What of another's id is taken over; a longer one is replaced.
const MAX_GIVEN: usize = 128;

/// A request's name in logs and answers: a UUID of version 7, or what a trusted proxy called it.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Text);

#[derive(Clone, PartialEq, Eq)]
enum Text {
    Made([u8; Hyphenated::LENGTH]),
    Given(Box<str>),
}

impl RequestId {
    /// A new one: a UUID of version 7 (RFC 9562, 5.7), so that ids sort by time. It names a request, it protects
    /// nothing: whoever sees some of them may guess others.
    pub fn generate() -> Self {
        let milliseconds = u64::try_from(clock::unix_coarse().as_millis()).unwrap_or(u64::MAX);
        let (high, low) = (random(), random());
        let mut tail = [0; 10];
        tail[..8].copy_from_slice(&high.to_ne_bytes());
        tail[8..].copy_from_slice(&low.to_ne_bytes()[..2]);
        let mut text = [0; Hyphenated::LENGTH];
        Builder::from_unix_timestamp_millis(milliseconds, &tail).as_uuid().as_hyphenated().encode_lower(&mut text);
        Self(Text::Made(text))
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

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(()));
}

/// The next number of SplitMix64 on this thread.
fn random() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
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
            assert_eq!(uuid.get_version_num(), 7, "{id}");
        }
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
