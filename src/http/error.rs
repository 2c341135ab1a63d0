//! What can go wrong with one request: status, RFC 9209 token, whose fault, may it be tried again.

use std::{borrow::Cow, fmt, io, time::Duration};

use super::{BodyError, Refusal, StatusCode};

/// Why this proxy, and not an endpoint, ended a request.
///
/// One `match` per question and no wildcard arm: a new variant must answer all of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // -- the client's -------------------------------------------------------------------------------------------
    /// The request is not HTTP as RFC 9112 has it, or says two things at once.
    #[error("malformed request: {what}")]
    Malformed {
        /// Which rule it broke.
        what: &'static str,
    },
    /// The path is one no route may see.
    #[error("refused path: {what}")]
    Path {
        /// Which rule it broke.
        what: &'static str,
    },
    /// The name asked for is not one of those that this connection was made for (RFC 9110, 15.5.20).
    #[error("no certificate here covers the host asked for")]
    Misdirected,
    /// A method the settings do not list.
    #[error("method not allowed here")]
    Method,
    /// A method nobody here has heard of.
    #[error("unknown method")]
    UnknownMethod,
    /// A version of HTTP that is not spoken here.
    #[error("HTTP version not supported")]
    Version,
    /// `Transfer-Encoding` with anything but `chunked`.
    #[error("unknown transfer coding")]
    Coding,
    /// `Expect` with something other than `100-continue`.
    #[error("unknown expectation")]
    Expectation,
    /// The request target is longer than the limit.
    #[error("request target longer than {limit} bytes")]
    UriTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The head is larger, or has more fields, than the limits allow.
    #[error("request head too large: {what}")]
    HeadTooLarge {
        /// Which limit.
        what: &'static str,
    },
    /// The body is larger than the limit.
    #[error("request body larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The head or the body did not arrive in time.
    #[error("the client was too slow: {what}")]
    ClientTimeout {
        /// What we waited for.
        what: &'static str,
    },
    /// The client left, or its body broke off, before the answer.
    #[error("the client went away")]
    ClientGone(#[source] Option<io::Error>),
    /// This request has passed here before (`Via`).
    #[error("the request loops through this proxy")]
    Loop,
    /// No route takes it.
    #[error("no route matches")]
    NoRoute,
    /// A filter said no.
    #[error("{0}")]
    Refused(Box<Refusal>),

    // -- the upstream's -----------------------------------------------------------------------------------------
    /// Nobody is there to take the request.
    #[error("no endpoint of the upstream is available")]
    NoEndpoint,
    /// No connection became free in time, or the queue for one is full.
    #[error("no connection to the endpoint became free")]
    PoolExhausted,
    /// The upstream carries as many requests as it may.
    #[error("the upstream has as many requests as it may: {0}")]
    Overloaded(Overload),
    /// Too many requests to the upstream failed, and it is not asked for a while.
    #[error("the upstream is not asked for now: too many requests failed")]
    CircuitOpen {
        /// How long it will not be.
        retry_after: Duration,
    },
    /// The endpoint's name does not resolve.
    #[error("the endpoint's name could not be resolved")]
    Resolve(#[source] io::Error),
    /// No address for the endpoint's name within the limit.
    #[error("the endpoint's name was not resolved within {limit:?}")]
    ResolveTimeout {
        /// The limit.
        limit: Duration,
    },
    /// No connection within the limit.
    #[error("no connection to the endpoint within {limit:?}")]
    ConnectTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The endpoint refused the connection, or the network did.
    #[error("the endpoint could not be connected to")]
    Connect(#[source] io::Error),
    /// The endpoint is not who it must be, or TLS failed with it.
    #[error("TLS with the endpoint failed: {fault}")]
    Tls {
        /// In which way.
        fault: TlsFault,
        /// What was wrong.
        #[source]
        source: io::Error,
    },
    /// The endpoint did not begin to answer in time.
    #[error("no answer from the endpoint within {limit:?}")]
    FirstByteTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The whole exchange took longer than its limit.
    #[error("the exchange took longer than {limit:?}")]
    TotalTimeout {
        /// The limit.
        limit: Duration,
    },
    /// Nothing moved on the connection to the endpoint for too long while the request was sent.
    #[error("the endpoint stalled for {limit:?}")]
    EndpointStalled {
        /// The limit.
        limit: Duration,
    },
    /// The endpoint closed the connection before it answered.
    #[error("the endpoint closed the connection without an answer")]
    EndpointClosed(#[source] Option<io::Error>),
    /// The endpoint's answer is not HTTP.
    #[error("the endpoint's answer is malformed: {what}")]
    BadAnswer {
        /// Which rule it broke.
        what: &'static str,
    },
    /// The endpoint's response head is over the limit.
    #[error("the endpoint's response head is too large")]
    AnswerTooLarge,
    /// A filter does not let the endpoint's answer out.
    #[error("{refusal}")]
    AnswerRefused {
        /// Why.
        refusal: Box<Refusal>,
        /// What `Proxy-Status` calls it.
        token: &'static str,
    },
    /// The endpoint answered an upgrade in a way that cannot be relayed.
    #[error("the upgrade failed: {what}")]
    Upgrade {
        /// What was wrong.
        what: &'static str,
    },

    // -- ours ---------------------------------------------------------------------------------------------------
    /// The server is closing.
    #[error("the proxy is shutting down")]
    Draining,
    /// There is nothing left to make connections with.
    #[error("this proxy can make no more connections now")]
    Scarcity(#[source] io::Error),
    /// Something here is wrong that cannot be.
    #[error("internal error: {what}")]
    Internal {
        /// What.
        what: &'static str,
    },
}

/// What became of a request that an upstream had no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// As many waited as may.
    QueueFull,
    /// It got no place in time.
    QueueTimeout {
        /// The limit.
        limit: Duration,
    },
    /// It gave way to one of a higher class.
    Shed,
}

/// In which way TLS failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// Its certificate is not one that is believed, or not for its name.
    Certificate,
    /// It told us that something of ours is not to its liking.
    Alert,
    /// Anything else: no common version, what is no TLS, an end in the middle.
    Protocol,
}

/// Whose fault an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client's: it may mend its request.
    Client,
    /// An endpoint's, or the way to it.
    Upstream,
    /// Ours.
    Proxy,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull => f.write_str("as many wait as may"),
            Self::QueueTimeout { limit } => write!(f, "no place became free within {limit:?}"),
            Self::Shed => f.write_str("it gave way to one of a higher class"),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "its certificate is not believed",
            Self::Alert => "it sent an alert",
            Self::Protocol => "no agreement",
        })
    }
}

impl Error {
    /// The status a client gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } | Self::Path { .. } => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::UnknownMethod => StatusCode::NOT_IMPLEMENTED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::UriTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            // Nobody reads what is sent to a client that has left; 408 is what logs of others show, too.
            Self::ClientTimeout { .. } | Self::ClientGone(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Refused(refusal) | Self::AnswerRefused { refusal, .. } => refusal.status,
            Self::NoEndpoint
            | Self::PoolExhausted
            | Self::Overloaded(_)
            | Self::CircuitOpen { .. }
            | Self::Scarcity(_)
            | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::ResolveTimeout { .. }
            | Self::ConnectTimeout { .. }
            | Self::FirstByteTimeout { .. }
            | Self::TotalTimeout { .. }
            | Self::EndpointStalled { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Resolve(_)
            | Self::Connect(_)
            | Self::Tls { .. }
            | Self::EndpointClosed(_)
            | Self::BadAnswer { .. }
            | Self::AnswerTooLarge
            | Self::Upgrade { .. } => StatusCode::BAD_GATEWAY,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The registered error type of `Proxy-Status` (RFC 9209, 2.3); logs and metrics use the same word.
    pub fn token(&self) -> &'static str {
        match self {
            Self::Malformed { .. }
            | Self::Path { .. }
            | Self::Misdirected
            | Self::UnknownMethod
            | Self::Method
            | Self::Expectation
            | Self::UriTooLong { .. }
            | Self::HeadTooLarge { .. }
            | Self::BodyTooLarge { .. }
            | Self::ClientTimeout { .. }
            | Self::ClientGone(_)
            | Self::Version
            | Self::Coding => "http_request_error",
            Self::Refused(_) => "http_request_denied",
            Self::AnswerRefused { token, .. } => token,
            Self::Loop => "proxy_loop_detected",
            Self::NoRoute => "destination_not_found",
            Self::NoEndpoint | Self::CircuitOpen { .. } => "destination_unavailable",
            Self::PoolExhausted | Self::Overloaded(_) => "connection_limit_reached",
            Self::Resolve(_) => "dns_error",
            Self::ResolveTimeout { .. } => "dns_timeout",
            Self::ConnectTimeout { .. } => "connection_timeout",
            Self::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "destination_ip_unroutable",
                _ => "destination_unavailable",
            },
            Self::Tls { fault: TlsFault::Certificate, .. } => "tls_certificate_error",
            Self::Tls { fault: TlsFault::Alert, .. } => "tls_alert_received",
            Self::Tls { fault: TlsFault::Protocol, .. } => "tls_protocol_error",
            Self::FirstByteTimeout { .. } | Self::TotalTimeout { .. } => "http_response_timeout",
            Self::EndpointStalled { .. } => "connection_write_timeout",
            Self::EndpointClosed(_) => "connection_terminated",
            Self::BadAnswer { .. } => "http_protocol_error",
            Self::AnswerTooLarge => "http_response_header_section_size",
            Self::Upgrade { .. } => "http_upgrade_failed",
            Self::Draining | Self::Scarcity(_) | Self::Internal { .. } => "proxy_internal_error",
        }
    }

    /// Which of the errors with the same [token](Self::token) it is (`details`, RFC 9209, 2.1.5).
    pub fn details(&self) -> Option<Cow<'static, str>> {
        let details = match self {
            Self::Refused(refusal) | Self::AnswerRefused { refusal, .. } => return Some(refusal.details().into()),
            Self::PoolExhausted => "no free connection",
            Self::Overloaded(Overload::QueueFull) => "queue full",
            Self::Overloaded(Overload::QueueTimeout { .. }) => "queue timeout",
            Self::Overloaded(Overload::Shed) => "shed",
            Self::CircuitOpen { .. } => "circuit open",
            Self::FirstByteTimeout { .. } => "first byte",
            Self::TotalTimeout { .. } => "total",
            _ => return None,
        };
        Some(details.into())
    }

    /// After how long it makes sense to come back: for a 503, a second where nobody knows better.
    pub fn retry_after(&self) -> Option<Duration> {
        const SOON: Duration = Duration::from_secs(1);
        match self {
            Self::CircuitOpen { retry_after } => Some(SOON.max(*retry_after)),
            Self::Refused(refusal) if refusal.retry_after.is_some() => refusal.retry_after,
            _ => (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON),
        }
    }

    /// What a filter has said no with, if one has.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::AnswerRefused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Malformed { .. }
            | Self::Path { .. }
            | Self::Misdirected
            | Self::UnknownMethod
            | Self::Method
            | Self::Expectation
            | Self::UriTooLong { .. }
            | Self::HeadTooLarge { .. }
            | Self::BodyTooLarge { .. }
            | Self::ClientTimeout { .. }
            | Self::ClientGone(_)
            | Self::Version
            | Self::Coding
            | Self::Loop
            | Self::NoRoute
            | Self::Refused(_) => Fault::Client,
            Self::NoEndpoint
            | Self::PoolExhausted
            | Self::Overloaded(_)
            | Self::CircuitOpen { .. }
            | Self::Resolve(_)
            | Self::ResolveTimeout { .. }
            | Self::ConnectTimeout { .. }
            | Self::Connect(_)
            | Self::Tls { .. }
            | Self::FirstByteTimeout { .. }
            | Self::TotalTimeout { .. }
            | Self::EndpointStalled { .. }
            | Self::EndpointClosed(_)
            | Self::BadAnswer { .. }
            | Self::AnswerTooLarge
            | Self::AnswerRefused { .. }
            | Self::Upgrade { .. } => Fault::Upstream,
            Self::Draining | Self::Scarcity(_) | Self::Internal { .. } => Fault::Proxy,
        }
    }
}

/// The body of a request did not come as it should.
impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::BodyTooLarge { limit },
            BodyError::Malformed => Self::Malformed { what: "malformed chunked body" },
            BodyError::Stalled => Self::ClientTimeout { what: "the body" },
            BodyError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::ClientTimeout { what: "the body" },
            BodyError::Incomplete => Self::ClientGone(None),
            BodyError::Io(error) => Self::ClientGone(Some(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_failed_has_the_token_of_its_reason() {
        for (kind, token) in [
            (io::ErrorKind::ConnectionRefused, "connection_refused"),
            (io::ErrorKind::NetworkUnreachable, "destination_ip_unroutable"),
            (io::ErrorKind::HostUnreachable, "destination_ip_unroutable"),
            // A unix socket that is not there, or not ours to use.
            (io::ErrorKind::NotFound, "destination_unavailable"),
            (io::ErrorKind::PermissionDenied, "destination_unavailable"),
            (io::ErrorKind::ConnectionAborted, "destination_unavailable"),
        ] {
            assert_eq!(Error::Connect(kind.into()).token(), token, "{kind}");
        }
    }
}
