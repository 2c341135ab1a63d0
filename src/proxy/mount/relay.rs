//! A response's body in actix's terms.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

use super::passing::{Passing, Rest};
use crate::http::{Body, BodyError, Frame, ResponseBody, StatusCode};

/// Passes frames on as actix asks for them. Lives to the body's last byte, or until the client leaves.
pub struct Relay {
    body: ResponseBody,
    rest: Rest,
}

impl Relay {
    /// What is in memory needs no relay, unless a line is to be written of how it ended: it goes out at once.
    pub fn boxed(body: ResponseBody, status: StatusCode, passing: Passing) -> BoxBody {
        let is_head = passing.is_head();
        let keeps_empty = keeps_empty(status) && !is_head;
        let mut rest = passing.answered(status, body.size());
        match (body, &mut rest.tail) {
            (ResponseBody::Bytes(bytes), None) => BoxBody::new(bytes),
            (ResponseBody::Bytes(bytes), Some(tail)) if tail.is_only_counted() && !is_head => {
                tail.saw_whole(&bytes);
                BoxBody::new(bytes)
            }
            (ResponseBody::Empty, None) if keeps_empty => BoxBody::new(Bytes::new()),
            (ResponseBody::Empty, tail) => {
                // There is no more to come; who sends it need not ask.
                if let Some(tail) = tail {
                    tail.saw(&None);
                }
                if keeps_empty { BoxBody::new(Bytes::new()) } else { BoxBody::new(actix_web::body::None::new()) }
            }
            (body, _) => BoxBody::new(Self { body, rest }),
        }
    }
}

/// An answer that could have content and has none says so: `Content-Length: 0`. Not to HEAD: that nothing came then says
/// nothing of the content there would be (RFC 9110, 8.6).
fn keeps_empty(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && !status.is_informational()
}

impl MessageBody for Relay {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        loop {
            let next = ready!(self.body.poll_frame(cx));
            self.rest.saw(&next);
            match next {
                None => return Poll::Ready(None),
                Some(Ok(Frame::Data(bytes))) => return Poll::Ready(Some(Ok(bytes))),
                Some(Ok(Frame::Trailers(trailers))) => {
                    if let Some(downstream) = &self.rest.downstream {
                        downstream.response_trailers(trailers);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(told(error)))),
            }
        }
    }
}

fn told(error: BodyError) -> Box<dyn std::error::Error> {
    log::debug!("a response was cut short: {error}");
    Box::new(error)
}
