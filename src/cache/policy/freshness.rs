//! How old an answer is, and how long it is fresh (RFC 9111, 4.2), in milliseconds.

use std::time::{Duration, SystemTime};

use super::{Rules, Times, directives::Directives, store::is_heuristically_stored};
use crate::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// On which terms an answer may be used again: plain numbers, worked out when it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// When its head had come, since 1970.
    pub(super) answered: u64,
    /// How old it was then.
    pub(super) initial_age: u64,
    /// How old it may become.
    pub(super) lifetime: u64,
    /// It was stale once, whatever a clock that is set back says of it.
    pub(super) is_expired: bool,
    /// How long after that it may be used while a newer one is asked for.
    pub(super) while_revalidating: u64,
    /// How long after that it may stand in for errors.
    pub(super) if_error: u64,
    /// When it says that it was made, and modified, since 1970.
    pub(super) dated: u64,
    pub(super) modified: Option<u64>,
    pub(super) stale: Staleness,
    /// It is not used before the endpoint was asked about it.
    pub(super) is_always_validated: bool,
    /// It does not change while it is fresh (RFC 8246).
    pub(super) is_immutable: bool,
    /// It may be given to others than who has asked for it (RFC 9111, 3.5).
    pub(super) is_for_all: bool,
}

/// Who may have it used although it is stale (RFC 9111, 4.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staleness {
    /// Whoever is asked.
    Open,
    /// The answer itself alone, not a client, and not the operator.
    AsItSays,
    /// Nobody.
    Forbidden,
}

/// Back by no more than this is how clocks are kept in step.
const JITTER: u64 = 1_000;

/// The longest time that means something: 68 years.
const LONGEST: u64 = (1 << 31) * 1_000;

impl Terms {
    /// Those of an answer; how long it is fresh is `None` if nothing says it.
    pub(super) fn of(
        directives: &Directives,
        status: StatusCode,
        headers: &HeaderMap,
        times: Times,
        rules: &Rules,
    ) -> (Self, Option<Lifetime>) {
        let answered = since_1970(times.answered);
        let dated = date(headers, &header::DATE).unwrap_or(answered);
        let modified = date(headers, &header::LAST_MODIFIED);
        let lifetime = Lifetime::of(directives, status, headers, [dated, modified.unwrap_or(dated)], rules);
        let longest = rules.max_ttl.map_or(LONGEST, millis);
        let stale = if directives.must_revalidate || directives.proxy_revalidate || directives.no_cache {
            Staleness::Forbidden
        } else if directives.s_maxage.is_some() {
            // RFC 9111, 5.2.2.10: as `proxy-revalidate`; what the same field says beside it is meant to count.
            Staleness::AsItSays
        } else {
            Staleness::Open
        };
        let allowed = |said: Option<u32>, rule: Duration| match stale {
            Staleness::Open => said.map_or_else(|| millis(rule), from_seconds),
            Staleness::AsItSays => said.map_or(0, from_seconds),
            Staleness::Forbidden => 0,
        };
        let terms = Self {
            answered,
            initial_age: initial_age(headers, dated, since_1970(times.asked), answered),
            lifetime: lifetime.map_or(0, Lifetime::millis).min(longest),
            is_expired: false,
            while_revalidating: allowed(directives.stale_while_revalidate, rules.stale_while_revalidate),
            if_error: allowed(directives.stale_if_error, rules.stale_if_error),
            dated,
            modified,
            stale,
            is_always_validated: directives.no_cache,
            is_immutable: directives.immutable,
            is_for_all: directives.is_for_all(),
        };
        (terms, lifetime)
    }

    /// How old it is; `None` if a clock was set back since it came, and nobody can tell.
    pub(super) fn age(&self, now: SystemTime) -> Option<u64> {
        let now = since_1970(now);
        let resident = now.saturating_sub(self.answered);
        (now + JITTER >= self.answered).then(|| self.initial_age.saturating_add(resident))
    }

    /// How long something of this age is fresh yet.
    pub(super) fn left(&self, age: u64) -> u64 {
        if self.is_expired { 0 } else { self.lifetime.saturating_sub(age) }
    }

    /// It is of use at some time after it was stored, though there were nothing to validate it by.
    pub(super) fn is_of_use(&self) -> bool {
        let end = self.lifetime + self.while_revalidating.max(self.if_error);
        end > self.initial_age && !self.is_always_validated
    }
}

/// How long an answer is fresh, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// The answer.
    Said(u64),
    /// The operator, of this status.
    Ruled(u64),
    /// The operator, of any, or a guess.
    Guessed(u64),
}

impl Lifetime {
    fn of(
        directives: &Directives,
        status: StatusCode,
        headers: &HeaderMap,
        [dated, modified]: [u64; 2],
        rules: &Rules,
    ) -> Option<Self> {
        if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
            return Some(Self::Said(from_seconds(seconds)));
        }
        if headers.contains_key(header::EXPIRES) && !directives.targeted {
            let ends = headers.get_all(header::EXPIRES).map(|line| http_date(line).unwrap_or(0)).min();
            return Some(Self::Said(ends.unwrap_or(0).saturating_sub(dated)));
        }
        if let Some((_, ttl)) = rules.status_ttl.iter().find(|(other, _)| *other == status) {
            return Some(Self::Ruled(millis(*ttl)));
        }
        if !is_heuristically_stored(status) && !directives.public {
            return None;
        }
        if let Some(ttl) = rules.default_ttl {
            return Some(Self::Guessed(millis(ttl)));
        }
        // RFC 9111, 4.2.2.
        let unchanged = dated.saturating_sub(modified);
        (unchanged > 0).then(|| Self::Guessed((unchanged / 10).min(millis(rules.longest_guess))))
    }

    fn millis(self) -> u64 {
        let (Self::Said(millis) | Self::Ruled(millis) | Self::Guessed(millis)) = self;
        millis.min(LONGEST)
    }
}

/// RFC 9111, 4.2.3.
fn initial_age(headers: &HeaderMap, dated: u64, asked: u64, answered: u64) -> u64 {
    // A date has no milliseconds.
    let apparent = (answered / 1_000 * 1_000).saturating_sub(dated);
    let delay = answered.saturating_sub(asked);
    apparent.max(age_field(headers).saturating_add(delay))
}

/// The first of its members; what is no number is not there (RFC 9111, 5.1).
fn age_field(headers: &HeaderMap) -> u64 {
    let first = headers.get(header::AGE).and_then(|line| line.as_bytes().split(|byte| *byte == b',').next());
    first.and_then(|age| super::directives::seconds(age.trim_ascii())).map_or(0, from_seconds)
}

/// What a field says that is a date; the first of several.
pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name).and_then(http_date)
}

pub(super) fn http_date(value: &HeaderValue) -> Option<u64> {
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok().map(since_1970)
}

pub(super) fn since_1970(time: SystemTime) -> u64 {
    millis(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn millis(time: Duration) -> u64 {
    // That no sum of a few overflows.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 16)
}

pub(super) fn from_seconds(seconds: u32) -> u64 {
    u64::from(seconds) * 1_000
}
