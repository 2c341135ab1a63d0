//! An answer as the edge sends it, whoever has made it.

use std::cell::RefCell;

use actix_http::{
    Response,
    body::{BodySize, BoxBody, MessageBody},
};

use crate::{
    http::{self, HeaderMap, ResponseBody, StatusCode, Takeover, scratch},
    proxy::mount::Carried,
};

/// A head, and a body in actix's terms.
pub struct Answer {
    /// What is said of it besides its body.
    pub head: AnswerHead,
    /// What is still to come.
    pub body: BoxBody,
    /// What runs on the connection afterwards, if it switches protocols.
    pub takeover: Option<Takeover>,
}

/// What is said of an answer.
pub struct AnswerHead {
    /// The status.
    pub status: StatusCode,
    /// What HTTP/1.1 says behind it, if not the usual.
    pub reason: Option<&'static str>,
    /// Its fields; framing and what belongs to one connection is written by whoever sends it.
    pub headers: HeaderMap,
}

impl Answer {
    /// What an `App` has answered.
    pub fn of_app(response: Response<BoxBody>) -> Self {
        let (mut response, body) = response.into_parts();
        let mut headers = scratch::map();
        headers.take_from(response.headers_mut());
        let status = response.status();
        let takeover = if status.is_informational() {
            response.extensions_mut().remove::<RefCell<Option<Takeover>>>().and_then(RefCell::into_inner)
        } else {
            None
        };
        Self { head: AnswerHead { status, reason: response.head().reason, headers }, body, takeover }
    }

    /// What this server itself says no with.
    pub fn of_refusal(refusal: http::Response) -> Self {
        let http::Response { status, headers, body, .. } = refusal;
        let body = match body {
            ResponseBody::Bytes(bytes) => BoxBody::new(bytes),
            _ => BoxBody::new(()),
        };
        Self { head: AnswerHead { status, reason: None, headers }, body, takeover: None }
    }

    /// How long the body says it is.
    pub fn size(&self) -> BodySize {
        self.body.size()
    }
}

impl From<Carried> for Answer {
    fn from(carried: Carried) -> Self {
        let Carried { status, headers, body, size: _, takeover } = carried;
        Self { head: AnswerHead { status, reason: None, headers }, body, takeover }
    }
}
