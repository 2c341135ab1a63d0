//! The rules of a shared cache (RFC 9111): a request, what is stored, an answer and times go in, a decision comes out.
//!
//! ```text
//! request  --> Ask::of ------> lookup(ask, head, now) --> Use      of each answer that is stored under the key
//!                              answer(ask, head, length) --> Answer, and Answer::head is what is sent of it
//! endpoint <-- validate, or unconditional                          what a request for the store asks
//! response --> store(..) ----> Head, or WhyNot
//!              refresh(..) --> Refreshed                           of a 304, or of the answer to HEAD
//!              invalidates(..) --> Invalidated                     of the answer to an unsafe method
//! ```
//!
//! All that can be worked out once is worked out when an answer is stored: to look at a stored one costs no allocation.

use std::time::{Duration, SystemTime};

pub use self::{
    answer::{Answer, answer},
    ask::{Ask, WhyPass, Wishes},
    fields::Fields,
    freshness::Terms,
    head::Head,
    invalidate::{Invalidated, Place, invalidates},
    part::{Part, first_wanted, make_whole},
    reuse::{Use, WhyValidate, is_failure, lookup},
    store::{WhyNot, store},
    validate::{Refreshed, refresh, refresh_by_head, unconditional, validate},
    vary::Vary,
};
use crate::http::StatusCode;

mod answer;
mod ask;
mod directives;
mod fields;
mod freshness;
mod head;
mod invalidate;
mod part;
mod range;
mod record;
mod reuse;
mod store;
mod tags;
mod targeted;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod validate;
mod vary;

/// What the operator decides where the protocol leaves it open.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long answers are fresh that do not say it themselves; without it a tenth of the time since they were modified.
    pub default_ttl: Option<Duration>,
    /// The same for single statuses, before `default_ttl`: they are stored so even if the protocol would not.
    pub status_ttl: Vec<(StatusCode, Duration)>,
    /// The longest that is guessed from `Last-Modified`.
    pub longest_guess: Duration,
    /// Nothing is fresh for longer, whatever it says.
    pub max_ttl: Option<Duration>,
    /// How long after that an answer may be used while a newer one is asked for, where it does not say it itself (RFC 5861, 3).
    pub stale_while_revalidate: Duration,
    /// How long it may stand in for errors, where it does not say it itself (RFC 5861, 4).
    pub stale_if_error: Duration,
    /// What becomes of answers that set cookies.
    pub cookies: SetCookies,
    /// `no-cache`, `max-age`, `min-fresh`, `max-stale` and `stale-if-error` of clients count; `no-store` and `only-if-cached` do always.
    pub obeys_clients: bool,
    /// Answers to QUERY are stored; what it asks with is part of the key.
    pub stores_query: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            default_ttl: None,
            status_ttl: Vec::new(),
            longest_guess: Duration::from_hours(24),
            max_ttl: None,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            cookies: SetCookies::default(),
            obeys_clients: true,
            stores_query: false,
        }
    }
}

/// What becomes of answers that set cookies: most are for one client, though they do not say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SetCookies {
    /// They are not stored; those that say they are for all (`public`, `s-maxage`) are, without the field.
    #[default]
    Refused,
    /// They are stored without the field.
    Dropped,
    /// They are stored with it: all clients get the same cookie.
    Kept,
}

/// Between which times an answer came.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The endpoint was asked.
    pub asked: SystemTime,
    /// The head of its answer had come.
    pub answered: SystemTime,
}
