//! Bodies on their way through awc.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_http::{Payload, body::MessageBody, error::PayloadError};
use bytes::Bytes;
use futures_core::Stream;

use super::watched::Movement;
use crate::http::{Body, BodyError, BodySize, Frame, RequestBody, framing::ResponseFraming};

/// The request's body as awc takes it. It is shared, so that what is left of it after a failure is not lost.
pub struct Question {
    body: Rc<RefCell<RequestBody>>,
    movement: Rc<Movement>,
}

impl Question {
    /// `body`, not begun.
    pub fn new(body: Rc<RefCell<RequestBody>>, movement: Rc<Movement>) -> Self {
        movement.body_sent.set(body.borrow().is_empty());
        Self { body, movement }
    }
}

impl MessageBody for Question {
    type Error = BodyError;

    fn size(&self) -> BodySize {
        self.body.borrow().size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Poll::Ready(next) = self.body.borrow_mut().poll_frame(cx) else {
            self.movement.wait_for_client();
            return Poll::Pending;
        };
        self.movement.wait();
        match next {
            Some(Ok(Frame::Data(bytes))) => Poll::Ready(Some(Ok(bytes))),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            // awc has no way to send trailers.
            Some(Ok(Frame::Trailers(_))) | None => {
                self.movement.body_sent.set(true);
                Poll::Ready(None)
            }
        }
    }
}

/// The answer's body.
pub struct Answer {
    payload: Payload,
    framing: ResponseFraming,
    movement: Rc<Movement>,
    waiting: bool,
}

impl Answer {
    /// A body that ends as `framing` says.
    pub fn new(payload: Payload, framing: ResponseFraming, movement: Rc<Movement>) -> Self {
        Self { payload, framing, movement, waiting: false }
    }
}

impl Body for Answer {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Poll::Ready(next) = Pin::new(&mut self.payload).poll_next(cx) else {
            if !self.waiting {
                // What the reader took its time for is not the endpoint's.
                self.waiting = true;
                self.movement.wait();
            }
            return self.movement.poll_stalled(cx).map(|_| Some(Err(BodyError::Stalled)));
        };
        self.waiting = false;
        match next {
            Some(Ok(bytes)) => Poll::Ready(Some(Ok(Frame::Data(bytes)))),
            Some(Err(PayloadError::Io(error))) => Poll::Ready(Some(Err(error.into()))),
            Some(Err(PayloadError::Incomplete(_))) => Poll::Ready(Some(Err(BodyError::Incomplete))),
            Some(Err(_)) => Poll::Ready(Some(Err(BodyError::Malformed))),
            // awc takes the end of the connection for the end of any body: it read on and found nothing.
            None if self.movement.has_ended() && self.framing != ResponseFraming::UntilClose => {
                Poll::Ready(Some(Err(BodyError::Incomplete)))
            }
            None => Poll::Ready(None),
        }
    }

    fn size(&self) -> BodySize {
        match self.framing {
            ResponseFraming::Length(length) => BodySize::Sized(length),
            _ => BodySize::Stream,
        }
    }
}
