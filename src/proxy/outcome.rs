//! What an attempt tells of its endpoint, and its client.

use std::{io, sync::Arc, time::Instant};

use super::hedge::Sent;
use crate::{
    clock,
    exchange::Awaited,
    http::{Error, ResponseBody, error::TlsFault},
    transport::{Cause, Incoming, Phase, TransportError, tls},
    upstream::{
        Members, Upstream,
        outlier::{self, Report},
        selection::Pick,
    },
};

/// What the next pick learns from an attempt, or will once the body has come whose head was good.
pub fn heed(
    (upstream, members): (&Arc<Upstream>, &Members),
    Pick { endpoint, trial }: Pick<'_>,
    sent: &Sent,
    began: Option<Instant>,
) -> Option<Awaited> {
    let report = report_of(sent);
    // How long it takes to fail says nothing about how long an answer takes.
    if let (Some(began), Report::Well) = (began, report) {
        endpoint.latency.observe(began.elapsed(), clock::coarse());
    }
    let awaited = match sent {
        Ok(Incoming::Response { body: ResponseBody::Stream(body), .. })
            if report == Report::Well && upstream.looks_at_bodies(members) =>
        {
            let (learner, endpoint) = (Arc::clone(upstream), Arc::clone(endpoint));
            Some(Awaited::new(learner, endpoint, trial.is_some(), body.size()))
        }
        _ => None,
    };
    // A trial ends with the head: a body may take hours, and nobody else is let through before.
    if awaited.is_none() || trial.is_some() {
        upstream.heed(members, endpoint, report, trial, clock::coarse);
    }
    awaited
}

/// The connection had ended, or was about to: nothing that is wrong with the endpoint.
pub fn was_closing(error: &TransportError) -> bool {
    matches!(error.cause, Cause::Refused) || error.reused && matches!(error.cause, Cause::Closed | Cause::Io(_))
}

/// A closed one happens once. Endpoints of HTTP/2 that close each connection after so many requests may do so several
/// times in a row when many come at once.
pub fn most_closings(error: &TransportError) -> u32 {
    if matches!(error.cause, Cause::Refused) { 8 } else { 1 }
}

/// Whose doing it was.
pub fn report_of(sent: &Sent) -> Report {
    match sent {
        Ok(Incoming::Response { head, .. }) if outlier::is_failure(head.status) => Report::Failed,
        Ok(_) => Report::Well,
        Err(error) if was_closing(error) || error.phase == Phase::Queue => Report::Nothing,
        Err(error) => match (&error.cause, error.phase) {
            // Our own limits, what a client did not send, and what nobody was asked.
            (Cause::RequestBody(_) | Cause::Full | Cause::Upgrade(_) | Cause::Unsayable(_), _) => Report::Nothing,
            (cause, Phase::Resolve | Phase::Connect) if cause.is_scarcity() => Report::Nothing,
            (Cause::Timeout(_) | Cause::Io(_) | Cause::Closed, Phase::Resolve | Phase::Connect) => Report::Unreached,
            (
                Cause::Timeout(_)
                | Cause::Stalled(_)
                | Cause::Total(_)
                | Cause::Io(_)
                | Cause::Closed
                | Cause::Reset(_)
                | Cause::Refused
                | Cause::Malformed(_)
                | Cause::TooLarge,
                _,
            ) => Report::Failed,
        },
    }
}

/// What a failed attempt means for the client.
pub fn told(error: TransportError) -> Error {
    let is_scarcity = error.cause.is_scarcity();
    match (error.cause, error.phase) {
        (Cause::Io(error), Phase::Resolve | Phase::Connect) if is_scarcity => Error::Scarcity(error),
        (Cause::Total(limit), _) => Error::TotalTimeout { limit },
        (Cause::Stalled(limit), _) => Error::EndpointStalled { limit },
        (Cause::RequestBody(error), _) => error.into(),
        (Cause::Full, _) | (_, Phase::Queue) => Error::PoolExhausted,
        (Cause::Timeout(limit), Phase::Resolve) => Error::ResolveTimeout { limit },
        (Cause::Timeout(limit), Phase::Connect | Phase::Handshake) => Error::ConnectTimeout { limit },
        (Cause::Timeout(limit), Phase::Send | Phase::Head) => Error::FirstByteTimeout { limit },
        (Cause::Io(error), Phase::Resolve) => Error::Resolve(error),
        (Cause::Io(error), Phase::Connect) => Error::Connect(error),
        (Cause::Io(source), Phase::Handshake) => {
            Error::Tls { fault: tls::fault(&source).unwrap_or(TlsFault::Protocol), source }
        }
        (Cause::Closed, Phase::Resolve | Phase::Connect | Phase::Handshake) => {
            Error::Connect(io::ErrorKind::ConnectionAborted.into())
        }
        // In TLS 1.3 an endpoint that does not like our certificate says so after the handshake.
        (Cause::Io(source), Phase::Send | Phase::Head) => match tls::fault(&source) {
            Some(fault) => Error::Tls { fault, source },
            None => Error::EndpointClosed(Some(source)),
        },
        (Cause::Closed, Phase::Send | Phase::Head) => Error::EndpointClosed(None),
        (Cause::Reset(reason), _) => {
            Error::EndpointClosed(Some(io::Error::other(format!("it has ended the exchange: {reason}"))))
        }
        (Cause::Refused, _) => Error::EndpointClosed(Some(io::Error::other("it takes no more requests here"))),
        (Cause::Upgrade(what), _) => Error::Upgrade { what },
        (Cause::Unsayable(what), _) => Error::Internal { what },
        (Cause::Malformed(what), _) => Error::BadAnswer { what },
        (Cause::TooLarge, _) => Error::AnswerTooLarge,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_timeout_is_told_by_what_it_waited_for() {
        for (phase, token, status) in [
            (Phase::Queue, "connection_limit_reached", 503),
            (Phase::Resolve, "dns_timeout", 504),
            (Phase::Connect, "connection_timeout", 504),
            (Phase::Handshake, "connection_timeout", 504),
            (Phase::Send, "http_response_timeout", 504),
            (Phase::Head, "http_response_timeout", 504),
        ] {
            let error = told(TransportError {
                phase,
                cause: Cause::Timeout(Duration::from_secs(1)),
                reused: false,
                response_started: false,
                body_consumed: false,
                request_started: false,
            });

            assert_eq!((error.token(), error.status().as_u16()), (token, status), "{phase:?}");
        }
    }
}
