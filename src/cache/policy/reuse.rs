//! Whether a stored answer may be used for a request (RFC 9111, 4).

use std::time::SystemTime;

use super::{
    Ask, Head, Terms, Wishes,
    freshness::{Staleness, from_seconds},
};
use crate::http::StatusCode;

/// How a stored answer may be used for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// As it is.
    Fresh,
    /// As it is, though it is stale: the client has said that it may be (`max-stale`).
    Stale,
    /// As it is, and a newer one is to be asked for meanwhile (RFC 5861, 3).
    WhileRevalidating,
    /// After the endpoint was asked about it, or for another one if there is nothing to ask with ([`super::validate`]). With
    /// `only-if-cached` not at all.
    Validate {
        /// What for.
        why: WhyValidate,
        /// It may be used as it is if the endpoint cannot be asked, or answers with a failure ([`is_failure`]; RFC 5861, 4).
        stands_in: bool,
    },
    /// Not at all: it is for requests with other fields.
    OtherVariant,
    /// Not at all: it is one for strangers, and this client is known.
    Impersonal,
}

/// Why an answer is not used without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyValidate {
    /// It is stale, or says that it always wants to be asked about.
    Stale,
    /// The client wishes so.
    Request,
}

/// How this stored answer may be used for this request at this time.
pub fn lookup(ask: &Ask<'_>, head: &Head, now: SystemTime) -> Use {
    if !head.vary.matches(ask.headers) {
        return Use::OtherVariant;
    }
    if ask.is_personal && !head.terms.is_for_all {
        return Use::Impersonal;
    }
    head.terms.judge(&ask.wishes, now)
}

/// An answer that a stored one may stand in for (RFC 5861, 4).
pub fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

impl Terms {
    fn judge(&self, wishes: &Wishes, now: SystemTime) -> Use {
        let Some(age) = self.age(now) else {
            return Use::Validate { why: WhyValidate::Stale, stands_in: false };
        };
        let stale_for = age.saturating_sub(self.lifetime);
        let validate = |why| Use::Validate { why, stands_in: self.stands_in(stale_for, wishes) };
        if self.is_always_validated {
            return validate(WhyValidate::Stale);
        }
        let is_too_old = wishes.max_age.is_some_and(|most| age > from_seconds(most));
        let left = self.left(age);
        if left > 0 {
            let ends_too_soon = wishes.min_fresh.is_some_and(|least| left < from_seconds(least));
            // RFC 8246, 2: a reload does not ask for what cannot have changed, unless it insists.
            let is_refused = wishes.no_cache || (!self.is_immutable && (is_too_old || ends_too_soon));
            return if is_refused { validate(WhyValidate::Request) } else { Use::Fresh };
        }
        if wishes.no_cache || is_too_old || wishes.min_fresh.is_some() {
            return validate(WhyValidate::Stale);
        }
        if self.stale == Staleness::Open && wishes.max_stale.is_some_and(|most| stale_for <= from_seconds(most)) {
            return Use::Stale;
        }
        if stale_for < self.while_revalidating { Use::WhileRevalidating } else { validate(WhyValidate::Stale) }
    }

    fn stands_in(&self, stale_for: u64, wishes: &Wishes) -> bool {
        let wished = wishes.stale_if_error.filter(|_| self.stale == Staleness::Open).map_or(0, from_seconds);
        stale_for < self.if_error.max(wished) && !self.is_always_validated
    }
}
