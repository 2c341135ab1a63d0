//! The body of a request in the handler's hands. The client may send as much more as was taken.

use std::{
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_core::Stream;
use h2::RecvStream;

use super::stream::Channel;
use crate::clock::Deadline;

/// Content as frames bring it. Dropped, what still comes of it is thrown away by the h2 crate.
pub struct Payload {
    frames: RecvStream,
    channel: Rc<Channel>,
    /// Bytes that may still come.
    allowed: Option<u64>,
    waits_for_leave: bool,
    patience: Option<Duration>,
    /// Made when it is first waited for.
    stalled: Option<Deadline>,
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    Failed,
}

impl Payload {
    pub fn of(frames: RecvStream, channel: &Rc<Channel>, waits_for_leave: bool) -> Self {
        let limits = &channel.wire.limits;
        let (allowed, patience) = (limits.max_body, limits.request_body);
        let channel = Rc::clone(channel);
        Self { frames, channel, allowed, waits_for_leave, patience, stalled: None, end: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if mem::take(&mut self.waits_for_leave) {
            self.channel.give_leave();
        }
        while !self.frames.is_end_stream() {
            let Poll::Ready(next) = self.frames.poll_data(cx) else { return self.poll_stalled(cx) };
            self.wait_no_more();
            match next {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => return Poll::Ready(Some(self.take(bytes))),
                // Frames between content and trailers, or the client has reset the stream.
                Some(Err(error)) => return Poll::Ready(Some(Err(gone(error)))),
                None => break,
            }
        }
        let Poll::Ready(trailers) = self.frames.poll_trailers(cx) else { return self.poll_stalled(cx) };
        self.wait_no_more();
        match trailers {
            Ok(trailers) => {
                let told = self.channel.has_request_trailers(trailers);
                Poll::Ready(told.err().map(|_| Err(PayloadError::EncodingCorrupted)))
            }
            Err(error) => Poll::Ready(Some(Err(gone(error)))),
        }
    }

    /// Takes content: from now on the client may send as much more.
    fn take(&mut self, bytes: Bytes) -> Result<Bytes, PayloadError> {
        if let Err(error) = self.frames.flow_control().release_capacity(bytes.len()) {
            log::debug!("a window was not opened again: {error}");
        }
        if let Some(allowed) = &mut self.allowed {
            *allowed = allowed.checked_sub(bytes.len() as u64).ok_or(PayloadError::Overflow)?;
        }
        Ok(bytes)
    }

    /// Nothing has come: ready when it has not for too long. Who is being answered may have nothing to say for now, such as
    /// one end of a conversation: it costs no more than a download then, and is under the same deadlines.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if self.channel.is_being_answered() {
            self.wait_no_more();
            return Poll::Pending;
        }
        let Some(patience) = self.patience else { return Poll::Pending };
        let stalled = self.stalled.get_or_insert_default();
        if !stalled.is_armed() {
            stalled.arm(patience);
        }
        ready!(stalled.poll(cx));
        Poll::Ready(Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))))
    }

    fn wait_no_more(&self) {
        if let Some(stalled) = &self.stalled {
            stalled.disarm();
        }
    }
}

impl Stream for Payload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.end {
            Some(End::Whole) => return Poll::Ready(None),
            Some(End::Failed) => return Poll::Ready(Some(Err(PayloadError::Incomplete(None)))),
            None => {}
        }
        let next = ready!(self.poll(cx));
        match &next {
            Some(Ok(_)) => {}
            Some(Err(_)) => self.end = Some(End::Failed),
            None => self.end = Some(End::Whole),
        }
        Poll::Ready(next)
    }
}

/// The client has reset the stream, or the connection is lost.
fn gone(error: h2::Error) -> PayloadError {
    log::debug!("a request's body has broken off: {error}");
    PayloadError::Incomplete(None)
}
