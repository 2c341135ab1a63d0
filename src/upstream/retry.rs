//! Whether a failed attempt may be followed by another one.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    chance,
    http::{HeaderMap, Method, StatusCode, header},
    transport::{Cause, Phase, TransportError},
};

/// When to send a request again.
#[derive(Debug)]
pub struct Retry {
    /// How many endpoints to try in all.
    pub attempts: u32,
    /// After what.
    pub on: On,
    /// Whatever the method, not only where twice is the same as once.
    pub any_method: bool,
    /// So many bytes of a body are kept while it is sent, so that it can be sent once more.
    pub kept_body: usize,
    /// How many retries there may be.
    pub budget: Budget,
    /// The most to wait before the second retry, and before any.
    pub backoff: (Duration, Duration),
}

/// After what to send a request again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct On {
    /// No connection could be made.
    pub connect: bool,
    /// The connection broke before anything of an answer came.
    pub reset: bool,
    /// No answer came in time.
    pub timeout: bool,
    /// An answer of such a status.
    pub statuses: Vec<StatusCode>,
}

impl Retry {
    /// Nobody but one is asked.
    pub fn never() -> Self {
        let (budget, backoff) = (Budget::new(0.0, 0), (Duration::ZERO, Duration::ZERO));
        Self { attempts: 1, on: On::default(), any_method: false, kept_body: 0, budget, backoff }
    }

    /// A request of this method may be sent again though an endpoint may have looked at it.
    pub fn is_harmless(&self, method: &Method) -> bool {
        self.any_method || is_idempotent(method)
    }

    /// May the request be sent again, to whomever?
    ///
    /// Yes if nothing of it can have been processed: it never left us. Yes, too, if a connection used before turned out to
    /// be closed before anything of an answer came, and the method is harmless. If it was no such connection, as the
    /// settings say. Never once a byte of the body is gone that cannot be had again, nor of an answer has come.
    pub fn may_send_again(&self, error: &TransportError, method: &Method) -> bool {
        if error.body_consumed || error.response_started {
            return false;
        }
        match error.phase {
            Phase::Queue => false,
            Phase::Resolve | Phase::Connect | Phase::Handshake => self.on.connect,
            Phase::Send | Phase::Head => match error.cause {
                Cause::Closed | Cause::Io(_) | Cause::Refused if !error.request_started => true,
                Cause::Closed | Cause::Io(_) | Cause::Refused => {
                    (error.reused || self.on.reset) && self.is_harmless(method)
                }
                Cause::Reset(_) => self.on.reset && self.is_harmless(method),
                Cause::Timeout(_) => self.on.timeout && self.is_harmless(method),
                Cause::Stalled(_)
                | Cause::Total(_)
                | Cause::Full
                | Cause::Malformed(_)
                | Cause::Upgrade(_)
                | Cause::Unsayable(_)
                | Cause::TooLarge
                | Cause::RequestBody(_) => false,
            },
        }
    }

    /// May another endpoint be asked instead of passing this answer on? Not if it says when to come back: then all are
    /// likely to have more to do than they can (RFC 9110, 10.2.3).
    pub fn may_ask_elsewhere(&self, status: StatusCode, headers: &HeaderMap, method: &Method) -> bool {
        self.on.statuses.contains(&status) && self.is_harmless(method) && !headers.contains_key(header::RETRY_AFTER)
    }

    /// How long to wait before the retry of this number, counted from 1.
    pub fn pause(&self, number: u32) -> Duration {
        let (base, most) = self.backoff;
        match number.checked_sub(2) {
            None => Duration::ZERO,
            Some(doubled) => base.saturating_mul(1 << doubled.min(20)).min(most).mul_f64(chance::part()),
        }
    }
}

/// Retries are a part of what is asked: an upstream of which nobody is well is not asked twice as often for it.
#[derive(Debug)]
pub struct Budget {
    /// In thousandths of a retry.
    left: AtomicU64,
    most: u64,
    per_request: u64,
}

const RETRY: u64 = 1000;

impl Budget {
    /// So many retries for each request, and so many at once.
    pub fn new(share: f64, burst: u32) -> Self {
        let most = u64::from(burst) * RETRY;
        Self { left: AtomicU64::new(most), most, per_request: (share * RETRY as f64) as u64 }
    }

    /// A request has come. As long as nobody retries nothing is written: cores do not wait for each other.
    pub fn earn(&self) {
        if self.left.load(Ordering::Relaxed) < self.most {
            self.left.fetch_add(self.per_request, Ordering::Relaxed);
        }
    }

    /// There is one left.
    pub fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed) >= RETRY
    }

    /// Takes one retry, if there is one.
    pub fn spend(&self) -> bool {
        let left = |left: u64| left.checked_sub(RETRY);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }
}

/// Sending it twice is the same as once (RFC 9110, 9.2.2; QUERY by RFC 10008).
pub fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE)
        || method.as_str() == "QUERY"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_send_again(error: &TransportError, method: &Method) -> bool {
        Retry { on: On { connect: true, ..On::default() }, ..Retry::never() }.may_send_again(error, method)
    }

    fn error(phase: Phase, cause: Cause) -> TransportError {
        TransportError {
            phase,
            cause,
            reused: false,
            response_started: false,
            body_consumed: false,
            request_started: phase >= Phase::Send,
        }
    }

    #[test]
    fn what_never_left_us_may_go_again_whatever_the_method() {
        assert!(may_send_again(&error(Phase::Connect, Cause::Closed), &Method::POST));
        assert!(may_send_again(&error(Phase::Resolve, Cause::Closed), &Method::PATCH));
        assert!(may_send_again(&error(Phase::Handshake, Cause::Closed), &Method::POST));
    }

    #[test]
    fn what_an_endpoint_has_not_looked_at_may_go_again_unless_its_body_is_gone() {
        let refused = || TransportError { request_started: false, ..error(Phase::Head, Cause::Refused) };
        assert!(may_send_again(&refused(), &Method::POST));
        assert!(!may_send_again(&TransportError { body_consumed: true, ..refused() }, &Method::POST));
        let reset = Cause::Reset(h2::Reason::INTERNAL_ERROR);
        assert!(!may_send_again(&TransportError { reused: true, ..error(Phase::Head, reset) }, &Method::GET));
    }

    #[test]
    fn a_post_is_never_sent_twice_once_any_of_it_may_have_been_processed() {
        let stale = TransportError { reused: true, ..error(Phase::Head, Cause::Closed) };
        assert!(may_send_again(&stale, &Method::GET));
        assert!(!may_send_again(&stale, &Method::POST));
    }

    #[test]
    fn a_fresh_connection_that_dies_after_the_request_is_an_answer_of_its_own() {
        assert!(!may_send_again(&error(Phase::Head, Cause::Closed), &Method::GET));
    }

    #[test]
    fn nothing_is_repeated_after_a_timeout_a_consumed_body_or_half_an_answer() {
        let limit = std::time::Duration::from_secs(1);
        let stale = || TransportError { reused: true, ..error(Phase::Head, Cause::Closed) };
        for error in [
            TransportError { cause: Cause::Timeout(limit), ..stale() },
            TransportError { body_consumed: true, ..stale() },
            TransportError { response_started: true, ..stale() },
            TransportError { body_consumed: true, ..error(Phase::Connect, Cause::Closed) },
        ] {
            assert!(!may_send_again(&error, &Method::GET), "{error:?}");
        }
    }

    #[test]
    fn the_settings_decide_about_what_may_have_been_looked_at() {
        let limit = Duration::from_secs(1);
        let all = On { connect: true, reset: true, timeout: true, statuses: Vec::new() };
        for (any_method, method, expected) in
            [(false, Method::GET, true), (false, Method::POST, false), (true, Method::POST, true)]
        {
            let retry = Retry { on: all.clone(), any_method, ..Retry::never() };
            for cause in [Cause::Closed, Cause::Reset(h2::Reason::INTERNAL_ERROR), Cause::Timeout(limit)] {
                let error = error(Phase::Head, cause);
                assert_eq!(retry.may_send_again(&error, &method), expected, "{method} after {error}");
            }
            assert!(!retry.may_send_again(&error(Phase::Head, Cause::TooLarge), &method));
        }
    }

    #[test]
    fn who_says_when_to_come_back_is_believed() {
        let on = On { statuses: vec![StatusCode::SERVICE_UNAVAILABLE], ..On::default() };
        let retry = Retry { on, ..Retry::never() };
        let mut headers = HeaderMap::new();
        assert!(retry.may_ask_elsewhere(StatusCode::SERVICE_UNAVAILABLE, &headers, &Method::GET));
        assert!(!retry.may_ask_elsewhere(StatusCode::SERVICE_UNAVAILABLE, &headers, &Method::POST));
        assert!(!retry.may_ask_elsewhere(StatusCode::BAD_GATEWAY, &headers, &Method::GET));

        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("7"));

        assert!(!retry.may_ask_elsewhere(StatusCode::SERVICE_UNAVAILABLE, &headers, &Method::GET));
    }

    #[test]
    fn the_first_retry_goes_at_once_and_later_ones_wait_longer_and_longer() {
        let retry = Retry { backoff: (Duration::from_millis(25), Duration::from_millis(60)), ..Retry::never() };
        for (number, most) in [(1, 0), (2, 25), (3, 50), (4, 60), (99, 60)] {
            let longest = (0..200).map(|_| retry.pause(number)).max().expect("some");
            assert!(longest <= Duration::from_millis(most), "{number}: {longest:?}");
            assert!(longest >= Duration::from_millis(most) / 2, "{number}: {longest:?}");
        }
    }

    #[test]
    fn a_budget_is_a_burst_and_a_part_of_what_is_asked() {
        let budget = Budget::new(0.25, 2);
        assert!(budget.spend() && budget.spend() && !budget.spend());

        for _ in 0..4 {
            budget.earn();
        }

        assert!(budget.spend() && !budget.spend());
    }
}
