//! What comes on a stream behind its head, until somebody takes it. However small its frames were, it takes no more memory
//! than its bytes.

use std::{
    mem,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};

use super::credit::Credit;
use crate::http::HeaderMap;

/// Content on its way in.
#[derive(Debug)]
pub struct Incoming {
    bytes: BytesMut,
    end: Option<End>,
    /// What more the client may send.
    pub(super) credit: Credit,
    /// Somebody may still take it.
    is_wanted: bool,
    reader: Option<Waker>,
}

#[derive(Debug)]
enum End {
    Whole(Option<HeaderMap>),
    Gone,
}

/// What is next of it.
#[derive(Debug)]
pub enum Piece {
    /// Content.
    Bytes(Bytes),
    /// The end, and the trailers if there are some.
    End(Option<HeaderMap>),
    /// The stream was reset, or the connection is lost.
    Gone,
}

impl Incoming {
    pub(super) fn new(window: u32) -> Self {
        Self { bytes: BytesMut::new(), end: None, credit: Credit::of(window), is_wanted: true, reader: None }
    }

    /// More has come; `false` if nobody wants it.
    pub(super) fn put(&mut self, bytes: &[u8]) -> bool {
        if self.is_wanted && !bytes.is_empty() {
            self.bytes.extend_from_slice(bytes);
            self.wake();
        }
        self.is_wanted
    }

    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) {
        self.end.get_or_insert(End::Whole(trailers));
        self.wake();
    }

    /// The stream is over. How much nobody will take any more.
    pub(super) fn break_off(&mut self) -> u32 {
        if self.end.is_some() {
            return 0;
        }
        self.end = Some(End::Gone);
        self.wake();
        mem::take(&mut self.bytes).len() as u32
    }

    /// Nobody wants it any more. How much was not taken.
    pub(super) fn forget(&mut self) -> u32 {
        self.is_wanted = false;
        self.reader = None;
        mem::take(&mut self.bytes).len() as u32
    }

    /// It has not ended yet.
    pub(super) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// What is next; the task is woken when there is something.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Piece> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Piece::Bytes(mem::take(&mut self.bytes).freeze()));
        }
        match &mut self.end {
            Some(End::Whole(trailers)) => Poll::Ready(Piece::End(trailers.take())),
            Some(End::Gone) => Poll::Ready(Piece::Gone),
            None => {
                if !self.reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                    self.reader = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
