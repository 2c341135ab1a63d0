//! A response on its way out, before actix sees it.

use super::{Error, HeaderMap, ResponseBody, StatusCode, Takeover, grpc};

/// A response: an endpoint's, a filter's or our own. One made of an [`Error`] remembers why.
#[derive(Default)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// End-to-end fields only; framing fields are written by the edge from `body`.
    pub headers: HeaderMap,
    /// The content.
    pub body: ResponseBody,
    /// Present on `101`: what runs on the connection afterwards.
    pub takeover: Option<Takeover>,
    /// Present when this proxy, not an endpoint, failed the request.
    pub cause: Option<Error>,
    /// The cause was made into something that a client can read.
    pub(crate) is_shown: bool,
}

impl Response {
    /// An empty response.
    pub fn new(status: StatusCode) -> Self {
        Self { status, ..Self::default() }
    }

    /// It says no more than why, and is to be made into something that a client can read.
    pub(crate) fn is_bare(&self) -> bool {
        self.cause.is_some() && !self.is_shown
    }

    /// The status that logs know it by: a client of gRPC is told of every error with 200.
    pub fn outcome(&self) -> StatusCode {
        match &self.cause {
            Some(error) if self.headers.contains_key(grpc::STATUS) => error.status(),
            _ => self.status,
        }
    }
}
