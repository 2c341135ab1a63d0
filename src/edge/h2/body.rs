//! The body of a request in the handler's hands. The client may send as much more as was taken.

use std::{
    cell::RefCell,
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_core::Stream;

use super::{
    session::{Incoming, Piece},
    stream::Channel,
};
use crate::clock::Deadline;

/// What comes on a stream behind its head. Dropped, what still comes is thrown away.
pub struct Content {
    incoming: Rc<RefCell<Incoming>>,
    channel: Rc<Channel>,
}

impl Content {
    pub fn of(incoming: Rc<RefCell<Incoming>>, channel: &Rc<Channel>) -> Self {
        Self { incoming, channel: Rc::clone(channel) }
    }

    /// What is next.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<Piece> {
        self.incoming.borrow_mut().poll(cx)
    }

    /// So many bytes of it were taken: the client may send as many more.
    pub fn took(&self, count: usize) {
        let mut incoming = self.incoming.borrow_mut();
        self.channel.wire.session(|session| session.took(self.channel.place, &mut incoming, count as u32));
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.channel.wire.session(|session| session.forget(self.channel.place, &self.incoming));
    }
}

/// Content as frames bring it.
pub struct Payload {
    content: Content,
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
    /// Of what comes on a stream.
    pub fn of(content: Content, waits_for_leave: bool) -> Self {
        let limits = &content.channel.wire.limits;
        let (allowed, patience) = (limits.max_body, limits.request_body);
        Self { content, allowed, waits_for_leave, patience, stalled: None, end: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if mem::take(&mut self.waits_for_leave) {
            self.content.channel.give_leave();
        }
        let Poll::Ready(piece) = self.content.poll(cx) else { return self.poll_stalled(cx) };
        self.wait_no_more();
        Poll::Ready(match piece {
            Piece::Bytes(bytes) => Some(self.take(bytes)),
            Piece::End(trailers) => {
                let told = self.content.channel.has_request_trailers(trailers);
                told.err().map(|_| Err(PayloadError::EncodingCorrupted))
            }
            Piece::Gone => Some(Err(PayloadError::Incomplete(None))),
        })
    }

    fn take(&mut self, bytes: Bytes) -> Result<Bytes, PayloadError> {
        self.content.took(bytes.len());
        if let Some(allowed) = &mut self.allowed {
            *allowed = allowed.checked_sub(bytes.len() as u64).ok_or(PayloadError::Overflow)?;
        }
        Ok(bytes)
    }

    /// Nothing has come: ready when it has not for too long. Who is being answered may have nothing to say for now, such as
    /// one end of a conversation: it costs no more than a download then, and is under the same deadlines.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if self.content.channel.is_being_answered() {
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
