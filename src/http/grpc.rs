//! Our own refusals as a client of gRPC reads them: a status of gRPC's in a 200 without content ("trailers-only" in gRPC
//! over HTTP/2), because an HTTP error and a page tell such a client next to nothing.

pub use self::messages::Messages;
use super::{Error, HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

mod messages;

/// What became of a call: the number of a [`Code`].
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The codes of gRPC that a proxy has a use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The client has left.
    Cancelled = 1,
    /// An error that gRPC has no word for.
    Unknown = 2,
    /// It took too long, and may have been done.
    DeadlineExceeded = 4,
    /// Who asks may not.
    PermissionDenied = 7,
    /// Something is larger than a limit.
    ResourceExhausted = 8,
    /// Nobody here knows this method.
    Unimplemented = 12,
    /// A rule of HTTP is broken.
    Internal = 13,
    /// Nobody is there to do it: another try may succeed.
    Unavailable = 14,
    /// Nobody knows who asks.
    Unauthenticated = 16,
}

impl Code {
    /// What this proxy's error is in gRPC: where it knows no better, as gRPC maps the status of HTTP.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::ClientGone(_) => Self::Cancelled,
            Error::BodyTooLarge { .. }
            | Error::HeadTooLarge { .. }
            | Error::UriTooLong { .. }
            | Error::AnswerTooLarge => Self::ResourceExhausted,
            Error::NoRoute | Error::Misdirected | Error::Method | Error::UnknownMethod => Self::Unimplemented,
            Error::Malformed { .. }
            | Error::Path { .. }
            | Error::Version
            | Error::Coding
            | Error::Expectation
            | Error::Loop
            | Error::Upgrade { .. }
            | Error::Internal { .. } => Self::Internal,
            Error::Refused(refusal) | Error::AnswerRefused { refusal, .. } => Self::of_status(refusal.status),
            Error::ClientTimeout { .. }
            | Error::FirstByteTimeout { .. }
            | Error::TotalTimeout { .. }
            | Error::EndpointStalled { .. } => Self::DeadlineExceeded,
            // Of a call that took too long on the way no endpoint has heard: it may be made again.
            Error::ResolveTimeout { .. }
            | Error::ConnectTimeout { .. }
            | Error::NoEndpoint
            | Error::PoolExhausted
            | Error::Overloaded(_)
            | Error::CircuitOpen { .. }
            | Error::Resolve(_)
            | Error::Connect(_)
            | Error::Tls { .. }
            | Error::EndpointClosed(_)
            | Error::BadAnswer { .. }
            | Error::Scarcity(_)
            | Error::Draining => Self::Unavailable,
        }
    }

    /// As gRPC reads a status of HTTP that comes without one of its own ("HTTP to gRPC Status Code Mapping").
    fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            413 => Self::ResourceExhausted,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

/// It is a call of gRPC or the answer to one, whatever its messages are written in. gRPC-Web is another protocol.
pub fn is_called(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return false };
    let (name, rest) = kind.as_bytes().split_at(kind.len().min(NAME.len()));
    name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
}

const NAME: &[u8] = b"application/grpc";

/// The error in gRPC's terms.
pub fn refusal(error: &Error, message: &str) -> Response {
    let mut response = Response::new(StatusCode::OK);
    let fields = &mut response.headers;
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(STATUS, HeaderValue::from(Code::of(error) as u16));
    if let Ok(message) = HeaderValue::from_str(&encoded(message)) {
        fields.insert(MESSAGE, message);
    }
    response
}

/// The trailers of a call whose answer has broken off between two messages.
pub fn broken_off() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(Code::Unavailable as u16));
    trailers.insert(MESSAGE, HeaderValue::from_static("the server behind this one has broken off"));
    trailers
}

/// Printable ASCII but for the percent sign stays as it is ("Percent-Encoded" in gRPC over HTTP/2).
fn encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => encoded.push_str(&format!("%{byte:02X}")),
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::Refusal;

    #[test]
    fn a_call_is_known_by_its_content_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC+json; charset=utf-8", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grp", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_called(&headers), expected, "{kind}");
        }
        assert!(!is_called(&HeaderMap::new()));
    }

    #[test]
    fn each_error_has_the_code_a_client_can_act_on() {
        let limit = Duration::from_secs(1);
        let refused = |status| Error::from(Refusal::new("rules", status, "a rule"));
        for (error, expected) in [
            (Error::NoRoute, 12),
            (Error::NoEndpoint, 14),
            (Error::Connect(std::io::ErrorKind::ConnectionRefused.into()), 14),
            (Error::ConnectTimeout { limit }, 14),
            (Error::FirstByteTimeout { limit }, 4),
            (Error::TotalTimeout { limit }, 4),
            (Error::BodyTooLarge { limit: 1 }, 8),
            (Error::Malformed { what: "it" }, 13),
            (Error::ClientGone(None), 1),
            (refused(StatusCode::UNAUTHORIZED), 16),
            (refused(StatusCode::FORBIDDEN), 7),
            (refused(StatusCode::TOO_MANY_REQUESTS), 14),
            (refused(StatusCode::IM_A_TEAPOT), 2),
        ] {
            assert_eq!(Code::of(&error) as u16, expected, "{error}");
        }
    }

    #[test]
    fn a_message_is_percent_encoded_where_it_is_not_plain() {
        for (message, expected) in
            [("no route matches", "no route matches"), ("50%\n", "50%25%0A"), ("é~\u{7f}", "%C3%A9~%7F")]
        {
            assert_eq!(encoded(message), expected);
        }
    }
}
