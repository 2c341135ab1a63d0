//! The head of an answer that is stored.

use std::time::{Duration, SystemTime};

use super::{Fields, Vary, freshness::Terms, tags, validate::OF_BODIES};
use crate::{
    cache::structured,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, headers},
};

/// The head of a stored answer, with all that its use depends on worked out.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its status.
    pub status: StatusCode,
    /// Its fields: those that go from end to end and may be stored, with a `Date`, without `Age` and `Content-Length`.
    pub fields: Fields,
    /// When it may be used.
    pub terms: Terms,
    /// For which requests.
    pub vary: Vary,
    /// With which others of its origin it is invalidated (RFC 9875).
    pub groups: Vec<Box<str>>,
    pub(super) tag: Option<HeaderValue>,
}

/// More groups than these, and longer ones, are not looked at; 32 and 32 have to be (RFC 9875, 2).
pub(super) const MOST_GROUPS: usize = 128;
pub(super) const LONGEST_GROUP: usize = 256;

/// Never stored: what is between us and the endpoint (RFC 9111, 3.1), and what is said anew with each answer.
const NOT_STORED: [HeaderName; 5] = [
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-authorization"),
    header::AGE,
    header::CONTENT_LENGTH,
];

impl Head {
    /// `withheld`: names of fields that it is stored without.
    pub(super) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        withheld: &[HeaderName],
        terms: Terms,
        vary: Vary,
    ) -> Self {
        let connection: Vec<_> = headers::list(headers, &header::CONNECTION).collect();
        let is_named = |name: &HeaderName| connection.iter().any(|named| named.eq_ignore_ascii_case(name.as_ref()));
        let goes = |name: &HeaderName| {
            headers::is_hop_by_hop(name) || NOT_STORED.contains(name) || withheld.contains(name) || is_named(name)
        };
        let has_date = super::freshness::date(headers, &header::DATE).is_some() && !goes(&header::DATE);
        let mut fields = Fields::of(headers, |name| !goes(name) && (has_date || *name != header::DATE));
        if !has_date {
            fields.add(header::DATE, date_of(terms.answered));
        }
        Self::of(status, fields, terms, vary)
    }

    pub(super) fn of(status: StatusCode, fields: Fields, terms: Terms, vary: Vary) -> Self {
        let groups = groups(fields.get_all(CACHE_GROUPS)).map(String::into_boxed_str).collect();
        let tag = fields.get(header::ETAG).cloned();
        Self { status, fields, terms, vary, groups, tag }
    }

    /// What the answer that it was made of had beside, and may not be stored: it was for who asked then (RFC 9111, 5.2.2.4 and 5.2.2.7).
    pub fn withheld(&self, answer: &HeaderMap) -> HeaderMap {
        let mut withheld = HeaderMap::new();
        let stays = |name: &HeaderName| {
            let is_told = NOT_STORED.contains(name) || OF_BODIES.contains(name);
            is_told || self.fields.has(name) || headers::is_hop_by_hop(name)
        };
        for (name, value) in answer.iter().filter(|(name, _)| !stays(name)) {
            withheld.append(name.clone(), value.clone());
        }
        withheld
    }

    /// How old it is (RFC 9111, 4.2.3); `Age` says whole seconds of it.
    pub fn age(&self, now: SystemTime) -> Duration {
        Duration::from_millis(self.terms.age(now).unwrap_or(self.terms.initial_age))
    }

    /// Whole seconds that it is fresh yet, or has been stale for, if negative (RFC 9211, 2.4).
    pub fn ttl(&self, now: SystemTime) -> i64 {
        let whole = |millis: u64| i64::try_from(millis / 1_000).unwrap_or(i64::MAX);
        let age = self.terms.age(now).unwrap_or(u64::MAX);
        let left = self.terms.left(age);
        if left > 0 { whole(left) } else { -whole(age.saturating_sub(self.terms.lifetime)) }
    }

    /// When it came, in milliseconds since 1970.
    pub fn came(&self) -> u64 {
        self.terms.answered
    }

    /// The endpoint can be asked whether it has changed.
    pub fn has_validator(&self) -> bool {
        self.tag.is_some() || self.terms.modified.is_some()
    }

    /// It is stale from now on, as if its time had come: a soft purge.
    pub fn expire(&mut self, now: SystemTime) {
        self.terms.lifetime = self.terms.lifetime.min(self.terms.age(now).unwrap_or(0));
        self.terms.is_expired = true;
    }

    /// About so many bytes of memory.
    pub fn weight(&self) -> usize {
        let groups: usize = self.groups.iter().map(|group| size_of::<Box<str>>() + group.len()).sum();
        size_of::<Self>() + self.fields.weight() + groups + self.vary.weight()
    }

    pub(super) fn has_tag(&self, tag: &[u8]) -> bool {
        self.tag.as_ref().is_some_and(|own| tags::is_weakly_same(own.as_bytes(), tag))
    }
}

/// Groups that an answer is in.
pub(super) const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// The groups that lines of a field name; none if they cannot be read.
pub(super) fn groups<'h>(lines: impl Iterator<Item = &'h HeaderValue>) -> impl Iterator<Item = String> {
    let named = structured::strings(lines);
    named.unwrap_or_default().into_iter().filter(|group| group.len() <= LONGEST_GROUP).take(MOST_GROUPS)
}

/// A `Date`.
pub(super) fn date_of(millis: u64) -> HeaderValue {
    // The last second that can be written is that of the year 9999.
    let seconds = (millis / 1_000).min(253_402_300_799);
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    HeaderValue::try_from(text).expect("a date is a value")
}
