//! A body that breaks off where it gets too long.

use std::task::{Context, Poll, ready};

use crate::{
    http::{Body, BodyError, BodySize, Frame, ResponseBody},
    telemetry::metrics::Event,
};

/// One of unknown length: nothing of it gets out once it is longer than it may be.
pub struct Bounded {
    body: ResponseBody,
    limit: u64,
    left: u64,
    cut_off: Event,
}

impl Bounded {
    /// From its beginning.
    pub fn new(body: ResponseBody, limit: u64, cut_off: Event) -> Self {
        Self { body, limit, left: limit, cut_off }
    }
}

impl Body for Bounded {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(self.body.poll_frame(cx));
        if let Some(Ok(Frame::Data(bytes))) = &next {
            match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => self.left = left,
                None => {
                    self.cut_off.happened();
                    // The endpoint need not send what nobody gets.
                    self.body = ResponseBody::Empty;
                    return Poll::Ready(Some(Err(BodyError::TooLarge { limit: self.limit })));
                }
            }
        }
        Poll::Ready(next)
    }

    fn size(&self) -> BodySize {
        BodySize::Stream
    }
}
