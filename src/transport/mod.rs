//! One attempt to one endpoint: send a request, bring back an open answer. Facts only; whether to try again is
//! decided in `upstream/retry`.

use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use crate::http::{
    Downstream, HeaderMap, HeaderValue, Io, Method, RequestBody, ResponseBody, StatusCode, body::Length,
};

pub mod address;
pub mod awc;
pub mod batch;
pub mod dial;
pub mod h1;
pub mod h2;
pub mod low_water;
pub mod outbox;
pub mod own;
pub mod pool;
pub mod send;
pub mod spare;
pub mod splice;
pub mod tls;
pub mod tunnel;
pub mod url;
pub mod watch;

pub use self::address::{Address, Target};

/// Sends requests to endpoints. One per worker; nothing here is `Send`.
pub trait Transport {
    /// One attempt. On success the answer's head has been read and its body is open; whatever of the request body was
    /// not yet sent then goes on while the answer's body is read; if all of it was sent and kept, `request.body` has it
    /// once more. On failure `request.body` tells what is left of it.
    fn send<'a>(
        &'a self,
        to: &'a Target,
        request: &'a mut Outgoing,
    ) -> LocalBoxFuture<'a, Result<Incoming, TransportError>>;
}

/// A request as an endpoint will get it.
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Origin-form path and query, or `*`.
    pub target: String,
    /// End-to-end fields, `Host` included. No framing and no hop-by-hop fields: the transport writes those.
    pub headers: HeaderMap,
    /// Complete extra field lines, each ending in CRLF, that go after `headers`: what the proxy says of itself
    /// (`Via`, `Forwarded` and its kin), written once without a map.
    pub added: Vec<u8>,
    /// The body.
    pub body: RequestBody,
    /// The protocol to switch to, if the client asked for one: the value of `Upgrade`.
    pub upgrade: Option<HeaderValue>,
    /// What to wait for how long.
    pub timeouts: Timeouts,
    /// Only a connection will do that has carried nothing before.
    pub fresh: bool,
    /// Only a connection will do that began with this, for it says whose it is: a PROXY header.
    pub preamble: Option<Rc<[u8]>>,
    /// Where interim responses go (100 and 101 excepted), and where the request's trailers are had from once its body
    /// has ended.
    pub downstream: Option<Rc<dyn Downstream>>,
    /// Since when it had a connection, if one had to be made for it: the transport says so.
    pub connected: Option<Instant>,
}

impl Outgoing {
    /// The same request for another endpoint, without its body.
    #[must_use]
    pub fn copy(&self) -> Self {
        let body = if self.body.length() == Length::Exact(0) {
            RequestBody::buffered(Bytes::new())
        } else {
            RequestBody::empty()
        };
        Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            added: self.added.clone(),
            body,
            upgrade: None,
            timeouts: self.timeouts,
            fresh: false,
            preamble: None,
            downstream: None,
            connected: None,
        }
    }

    /// It has been answered and could be sent once more: it had no body, or has got it back.
    pub fn can_be_sent_again(&self, had_body: bool) -> bool {
        self.upgrade.is_none() && (!had_body || !self.body.is_empty())
    }
}

/// Limits of one attempt; `None` waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To get a connection, the wait in the pool's queue included.
    pub connect: Option<Duration>,
    /// From the request's last byte (or its last movement) to the answer's head.
    pub first_byte: Option<Duration>,
    /// Without a byte moving, while the endpoint is to take the request or has begun its answer.
    pub idle: Option<Duration>,
    /// From the attempt's start to the answer's last byte.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// How long it may take to get a connection.
    pub fn connecting(&self) -> Option<Duration> {
        [self.connect, self.total].into_iter().flatten().min()
    }
}

/// The head of an answer: end-to-end fields only, hop-by-hop ones are gone.
#[derive(Debug)]
pub struct IncomingHead {
    /// The status; never 1xx but 101.
    pub status: StatusCode,
    /// Its fields. `Content-Length` is gone too: `body.size()` is the truth.
    pub headers: HeaderMap,
}

/// What an endpoint answered.
pub enum Incoming {
    /// An answer, with its body open.
    Response {
        /// The head.
        head: IncomingHead,
        /// The body.
        body: ResponseBody,
        /// The connection had been used before.
        reused: bool,
    },
    /// `101 Switching Protocols`: from here on it is bytes.
    Upgraded {
        /// The head; `Upgrade` is kept.
        head: IncomingHead,
        /// The connection.
        io: Box<dyn Io>,
        /// What came behind the head.
        early: Bytes,
    },
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Waiting for a connection to become free.
    Queue,
    /// Looking up the name.
    Resolve,
    /// Connecting.
    Connect,
    /// Agreeing on keys, and finding out whether the endpoint is who it must be.
    Handshake,
    /// Sending the request.
    Send,
    /// Waiting for, or reading, the head of the answer.
    Head,
}

/// What happened.
#[derive(Debug)]
pub enum Cause {
    /// The phase's time was up.
    Timeout(Duration),
    /// `idle`: nothing moved for this long.
    Stalled(Duration),
    /// `total` was up.
    Total(Duration),
    /// The queue was full.
    Full,
    /// The connection failed, or the name did not resolve.
    Io(io::Error),
    /// The endpoint closed the connection.
    Closed,
    /// The endpoint has ended this one exchange (RST_STREAM).
    Reset(::h2::Reason),
    /// The endpoint says that it has not looked at the request, and will not (RFC 9113, 8.7).
    Refused,
    /// Why the endpoint cannot be asked to switch protocols.
    Upgrade(&'static str),
    /// What is to be asked cannot be said as this endpoint is spoken with.
    Unsayable(&'static str),
    /// The answer is not HTTP.
    Malformed(&'static str),
    /// The answer's head is over the limit.
    TooLarge,
    /// The client's body failed, not the endpoint.
    RequestBody(crate::http::BodyError),
}

/// Facts about an attempt that failed.
#[derive(Debug, thiserror::Error)]
#[error("attempt failed in {phase:?}: {cause:?}")]
pub struct TransportError {
    /// How far it came.
    pub phase: Phase,
    /// What happened.
    pub cause: Cause,
    /// The connection had carried an exchange before.
    pub reused: bool,
    /// At least one byte of an answer was read.
    pub response_started: bool,
    /// At least one byte of the request's body was taken from the client.
    pub body_consumed: bool,
    /// At least one byte of the request may have reached the endpoint.
    pub request_started: bool,
}

impl Cause {
    /// Nothing is left here to make connections with. It says nothing of who was to be asked.
    pub fn is_scarcity(&self) -> bool {
        matches!(self, Self::Io(error) if spare::is_scarcity(error))
    }
}

impl TransportError {
    /// Nothing left us.
    pub fn unsent(phase: Phase, cause: Cause, request: &Outgoing) -> Self {
        let Timeouts { connect, total, .. } = request.timeouts;
        let cause = match (cause, total) {
            (Cause::Timeout(_), Some(total)) if connect.is_none_or(|connect| total < connect) => Cause::Total(total),
            (cause, _) => cause,
        };
        Self {
            phase,
            cause,
            reused: false,
            response_started: false,
            body_consumed: request.body.is_consumed(),
            request_started: false,
        }
    }
}
