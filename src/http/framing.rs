//! Where a message ends: what its method, status, version and fields allow (RFC 9112, 6.3).

use super::{Error, HeaderMap, Marks, Method, StatusCode, Version, body::Length, header};

/// Why nobody can say where a message ends, or two readers would say two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// `Content-Length` beside `Transfer-Encoding`.
    #[error("both Content-Length and Transfer-Encoding")]
    Both,
    /// `Content-Length` is not one decimal number.
    #[error("malformed Content-Length")]
    Length,
    /// `Transfer-Encoding` with anything but a single `chunked`.
    #[error("unknown Transfer-Encoding")]
    Coding,
    /// `Transfer-Encoding` in a message of HTTP/1.0.
    #[error("Transfer-Encoding in HTTP/1.0")]
    OldVersion,
}

impl FramingError {
    /// The same, in words that need no buffer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both Content-Length and Transfer-Encoding",
            Self::Length => "malformed Content-Length",
            Self::Coding => "unknown Transfer-Encoding",
            Self::OldVersion => "Transfer-Encoding in HTTP/1.0",
        }
    }
}

/// A client may frame its request in one way only.
impl From<FramingError> for Error {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::Coding => Self::Coding,
            FramingError::Both | FramingError::Length | FramingError::OldVersion => {
                Self::Malformed { what: error.as_str() }
            }
        }
    }
}

/// Where a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// There is no content, whatever the fields say; with what a GET would have brought, if they do.
    None(Option<u64>),
    /// After so many bytes.
    Length(u64),
    /// After the last chunk. With `and_close` the connection must not be used again (RFC 9112, 6.3, item 3).
    Chunked {
        /// It had a `Content-Length`, too.
        and_close: bool,
    },
    /// Where the connection ends.
    UntilClose,
}

/// Where a request ends. Strict: whatever could be read two ways is refused (RFC 9112, 6.3 and 11.2).
pub fn request_length(headers: &HeaderMap, marks: Marks, version: Version) -> Result<Length, FramingError> {
    match (marks.has(Marks::TRANSFER_ENCODING), marks.has(Marks::CONTENT_LENGTH)) {
        (false, false) => Ok(Length::None),
        (true, true) => Err(FramingError::Both),
        (false, true) => single_length(headers).map(Length::Exact),
        (true, false) if version < Version::HTTP_11 => Err(FramingError::OldVersion),
        (true, false) if is_chunked_alone(headers) => Ok(Length::Chunked),
        (true, false) => Err(FramingError::Coding),
    }
}

/// The client waits for leave to send its body (RFC 9110, 10.1.1).
///
/// # Errors
/// It expects something else, too.
pub fn expects_continue(headers: &HeaderMap, marks: Marks) -> Result<bool, Error> {
    if !marks.has(Marks::EXPECT) {
        return Ok(false);
    }
    let mut expects = false;
    for value in headers.get_all(header::EXPECT) {
        if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            return Err(Error::Expectation);
        }
        expects = true;
    }
    Ok(expects)
}

/// Where the answer to a request with this method ends.
pub fn response_framing(
    method: &Method,
    status: StatusCode,
    version: Version,
    headers: &HeaderMap,
    marks: Marks,
) -> Result<ResponseFraming, FramingError> {
    let (coded, sized) = (marks.has(Marks::TRANSFER_ENCODING), marks.has(Marks::CONTENT_LENGTH));
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Ok(ResponseFraming::None(None));
    }
    if *method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        let announced = if coded || !sized { None } else { Some(repeated_length(headers)?) };
        return Ok(ResponseFraming::None(announced));
    }
    if coded {
        if version < Version::HTTP_11 {
            return Err(FramingError::OldVersion);
        }
        return if is_chunked_alone(headers) {
            Ok(ResponseFraming::Chunked { and_close: sized })
        } else {
            Err(FramingError::Coding)
        };
    }
    if sized {
        return repeated_length(headers).map(ResponseFraming::Length);
    }
    Ok(ResponseFraming::UntilClose)
}

fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TRANSFER_ENCODING);
    let first = values.next().is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    first && values.next().is_none()
}

fn single_length(headers: &HeaderMap) -> Result<u64, FramingError> {
    let mut values = headers.get_all(header::CONTENT_LENGTH);
    let length = values.next().and_then(|value| decimal(value.as_bytes()));
    match (length, values.next()) {
        (Some(length), None) => Ok(length),
        _ => Err(FramingError::Length),
    }
}

/// A response may repeat its length if it is the same each time (RFC 9110, 8.6).
fn repeated_length(headers: &HeaderMap) -> Result<u64, FramingError> {
    let mut known = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        if let (Some(length), None) = (decimal(value.as_bytes()), known) {
            known = Some(length);
            continue;
        }
        for member in value.as_bytes().split(|byte| *byte == b',') {
            let length = decimal(member.trim_ascii()).ok_or(FramingError::Length)?;
            if *known.get_or_insert(length) != length {
                return Err(FramingError::Length);
            }
        }
    }
    known.ok_or(FramingError::Length)
}

/// Digits and nothing else; too many to count are wrong as well.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderName, HeaderValue};

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_request_ends_in_one_way_or_is_refused() {
        let te = "transfer-encoding";
        let cl = "content-length";
        for (lines, expected) in [
            (&[][..], Ok(Length::None)),
            (&[(cl, "5")], Ok(Length::Exact(5))),
            (&[(te, "Chunked")], Ok(Length::Chunked)),
            (&[(cl, "5"), (te, "chunked")], Err(FramingError::Both)),
            (&[(cl, "5"), (cl, "5")], Err(FramingError::Length)),
            (&[(cl, "5, 5")], Err(FramingError::Length)),
            (&[(cl, "+5")], Err(FramingError::Length)),
            (&[(cl, "")], Err(FramingError::Length)),
            (&[(cl, "99999999999999999999")], Err(FramingError::Length)),
            (&[(te, "gzip, chunked")], Err(FramingError::Coding)),
            (&[(te, "chunked"), (te, "chunked")], Err(FramingError::Coding)),
            (&[(te, "identity")], Err(FramingError::Coding)),
        ] {
            let fields = fields(lines);
            assert_eq!(request_length(&fields, Marks::of(&fields), Version::HTTP_11), expected, "{lines:?}");
        }
        let coded = request_length(&fields(&[(te, "chunked")]), Marks::TRANSFER_ENCODING, Version::HTTP_10);
        assert_eq!(coded, Err(FramingError::OldVersion));
    }

    #[test]
    fn a_response_ends_as_its_request_status_and_fields_say() {
        use ResponseFraming::*;
        let te = ("transfer-encoding", "chunked");
        let cl = ("content-length", "5");
        for (method, status, version, lines, expected) in [
            (Method::GET, 200, Version::HTTP_11, &[cl][..], Ok(Length(5))),
            (Method::GET, 200, Version::HTTP_11, &[cl, cl], Ok(Length(5))),
            (Method::GET, 200, Version::HTTP_11, &[cl, ("content-length", "6")], Err(FramingError::Length)),
            (Method::GET, 200, Version::HTTP_11, &[te], Ok(Chunked { and_close: false })),
            (Method::GET, 200, Version::HTTP_11, &[te, cl], Ok(Chunked { and_close: true })),
            (Method::GET, 200, Version::HTTP_11, &[("transfer-encoding", "gzip, chunked")], Err(FramingError::Coding)),
            (Method::GET, 200, Version::HTTP_10, &[te], Err(FramingError::OldVersion)),
            (Method::GET, 200, Version::HTTP_11, &[], Ok(UntilClose)),
            (Method::GET, 200, Version::HTTP_10, &[], Ok(UntilClose)),
            (Method::HEAD, 200, Version::HTTP_11, &[cl], Ok(None(Some(5)))),
            (Method::HEAD, 200, Version::HTTP_11, &[te], Ok(None(Option::None))),
            (Method::GET, 304, Version::HTTP_11, &[cl], Ok(None(Some(5)))),
            (Method::GET, 204, Version::HTTP_11, &[te], Ok(None(Option::None))),
            (Method::GET, 103, Version::HTTP_11, &[cl], Ok(None(Option::None))),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let fields = fields(lines);
            let framing = response_framing(&method, status, version, &fields, Marks::of(&fields));
            assert_eq!(framing, expected, "{method} {status} {lines:?}");
        }
    }
}
