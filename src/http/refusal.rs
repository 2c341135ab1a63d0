//! What a filter says no with.

use std::{borrow::Cow, fmt, time::Duration};

use super::{Error, HeaderName, HeaderValue, Response, StatusCode};

/// Why a filter does not let a request pass. It becomes a [`Response`] that names only this; the rest of the house makes
/// of it what the client can read, logs it and counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The filter, as settings name it.
    pub by: &'static str,
    /// The status.
    pub status: StatusCode,
    /// Why, in words that a client may read.
    pub reason: &'static str,
    /// After how long it makes sense to come back.
    pub retry_after: Option<Duration>,
    /// What else the status asks for, such as `WWW-Authenticate`.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Its type (RFC 9457, 3.1.1), where there is a registered one.
    pub kind: Option<&'static str>,
    /// What that type has beside the members of all problems (RFC 9457, 3.2).
    pub members: Vec<(&'static str, serde_json::Value)>,
}

/// The member of a problem that says where.
const PLACE: &str = "at";

impl Refusal {
    /// Without more than that.
    pub fn new(by: &'static str, status: StatusCode, reason: &'static str) -> Self {
        Self { by, status, reason, retry_after: None, fields: Vec::new(), kind: None, members: Vec::new() }
    }

    /// With a field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// With the place in what the client has sent, in words that are fit to be read: for it and the log, not for fields.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        self.with_member(PLACE, place.into())
    }

    /// With a time to come back after.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// With a registered type.
    #[must_use]
    pub fn of_kind(mut self, kind: &'static str) -> Self {
        self.kind = Some(kind);
        self
    }

    /// With a member of that type.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// In place of an answer that an endpoint has given: what is known of that goes with it. `token` is what `Proxy-Status` calls
    /// it (RFC 9209, 2.3).
    pub fn of_answer(self, token: &'static str) -> Response {
        Response { cause: Some(Error::AnswerRefused { refusal: Box::new(self), token }), ..Response::default() }
    }

    /// The `type` of the problem (RFC 9457, 3.1.1).
    pub fn problem_type(&self) -> Cow<'static, str> {
        self.kind.map_or_else(|| format!("urn:aqueduct:refused:{}", self.by).into(), Cow::Borrowed)
    }

    /// The `details` of `Proxy-Status` (RFC 9209, 2.1.5).
    pub fn details(&self) -> String {
        format!("{}: {}", self.by, self.reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.reason)?;
        let place = self.members.iter().find_map(|(name, value)| value.as_str().filter(|_| *name == PLACE));
        place.map_or(Ok(()), |place| write!(f, " at {place}"))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// What is to be made readable yet.
impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Self { cause: Some(refusal.into()), ..Self::default() }
    }
}
