//! Whether a failed attempt may be followed by another one.

use crate::{
    http::Method,
    transport::{Cause, Phase, TransportError},
};

/// A body of so many bytes is kept while it is sent, so that it can be sent once more.
pub const KEPT_BODY: usize = 16 * 1024;

/// May the request be sent again, to whomever?
///
/// Yes if nothing of it can have been processed: it never left us. Yes, too, if a connection used before turned out to
/// be closed before anything of an answer came, and the method is idempotent (RFC 9110, 9.2.2). Never once a byte of
/// the body is gone that cannot be had again, and never because of a timeout after it was sent: the endpoint may be
/// at work on it.
pub fn may_send_again(error: &TransportError, method: &Method) -> bool {
    if error.body_consumed || error.response_started {
        return false;
    }
    match error.phase {
        Phase::Queue => false,
        Phase::Resolve | Phase::Connect | Phase::Handshake => true,
        Phase::Send | Phase::Head => {
            let closed = matches!(error.cause, Cause::Closed | Cause::Io(_) | Cause::Refused);
            let untouched = !error.request_started;
            closed && (untouched || (error.reused && is_idempotent(method)))
        }
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
}
