//! A connection below the h2 crate: frames are looked at as they pass, so that no endpoint keeps us busy with nothing,
//! and so that it is known what of a request has gone out.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::Budget;
use crate::{
    http::h2::{
        backlog::Turn,
        frames::{FrameHead, Passing, kind},
    },
    transport::{Cause, batch::Batch, dial::Stream},
};

/// What has passed on one connection.
pub struct Wire {
    socket: RefCell<Stream>,
    /// What was written in this turn.
    batch: RefCell<Batch>,
    coming: RefCell<Passing>,
    going: RefCell<Passing>,
    budget: RefCell<Budget>,
    turn: Turn,
    /// The endpoint's first frame has begun.
    has_begun: Cell<bool>,
    /// Something has come since this was last asked for.
    heard: Cell<bool>,
    /// The latest stream of which something has gone out.
    latest: Cell<u32>,
    verdict: Cell<Option<Verdict>>,
}

/// Why a connection is given up, beyond what the h2 crate can tell.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// What the endpoint sends is too much, or makes no sense.
    Malformed(&'static str),
    /// The endpoint was asked whether it is there, and has not said so within this time.
    Silent(Duration),
}

impl Wire {
    pub fn new(socket: Stream) -> Self {
        Self {
            socket: RefCell::new(socket),
            batch: RefCell::default(),
            coming: RefCell::default(),
            going: RefCell::new(Passing::of_client()),
            budget: RefCell::new(Budget::new()),
            turn: Turn::default(),
            has_begun: Cell::new(false),
            heard: Cell::new(false),
            latest: Cell::new(0),
            verdict: Cell::new(None),
        }
    }

    /// All of the endpoint's first frame has come: its settings.
    pub fn has_settings(&self) -> bool {
        self.has_begun.get() && self.coming.borrow().is_between()
    }

    /// Something has come since this was last asked.
    pub fn take_heard(&self) -> bool {
        self.heard.take()
    }

    /// Something of this stream has gone out.
    pub fn has_sent(&self, stream: u32) -> bool {
        stream <= self.latest.get()
    }

    /// The connection is given up.
    pub fn condemn(&self, verdict: Verdict) {
        self.verdict.set(Some(verdict));
    }

    /// Why the connection was given up, if it was.
    pub fn verdict(&self) -> Option<Cause> {
        self.verdict.get().map(|verdict| match verdict {
            Verdict::Malformed(what) => Cause::Malformed(what),
            Verdict::Silent(limit) => Cause::Stalled(limit),
        })
    }

    /// Why the connection does not go on.
    pub fn why(&self, error: h2::Error) -> Cause {
        const NO_HTTP_2: Cause = Cause::Malformed("it does not speak HTTP/2 properly");
        self.verdict().unwrap_or_else(|| error.into_io().map_or(NO_HTTP_2, Cause::Io))
    }

    fn lets_in(&self, frame: &FrameHead) -> bool {
        let verdict = match () {
            () if !self.has_begun.replace(true) && !frame.begins() => "it does not speak HTTP/2",
            () if !self.budget.borrow_mut().came(frame) => "too many frames that carry nothing",
            () => return true,
        };
        self.condemn(Verdict::Malformed(verdict));
        false
    }

    fn went(&self, frame: &FrameHead) -> bool {
        self.budget.borrow_mut().went(frame);
        if frame.kind == kind::HEADERS {
            self.latest.set(self.latest.get().max(frame.stream));
        }
        true
    }

    fn came(&self, bytes: &[u8]) -> io::Result<()> {
        self.heard.set(self.heard.get() || !bytes.is_empty());
        self.turn.read(bytes.len());
        let passed = self.coming.borrow_mut().pass(bytes, |frame| self.lets_in(frame));
        if passed < bytes.len() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    }

    /// Sends what was written in this turn.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut batch = self.batch.borrow_mut();
        if batch.is_empty() {
            return Poll::Ready(Ok(()));
        }
        batch.poll_flush(cx, &mut *self.socket.borrow_mut(), &mut |bytes| self.passed(bytes))
    }

    /// This has gone out.
    fn passed(&self, bytes: &[u8]) {
        self.going.borrow_mut().pass(bytes, |frame| self.went(frame));
    }
}

/// The connection as the h2 crate has it.
pub struct Io(pub Rc<Wire>);

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.turn.is_over(cx) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *self.0.socket.borrow_mut()).poll_read(cx, buffer))?;
        Poll::Ready(self.0.came(&buffer.filled()[before..]))
    }
}

/// What is written goes out when the turn ends, or there is too much of it: see [`Wire::poll_flush`].
impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (wire, mut batch) = (&self.0, self.0.batch.borrow_mut());
        batch.poll_take(cx, &mut *wire.socket.borrow_mut(), parts, &mut |bytes| wire.passed(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_flush(cx))?;
        Pin::new(&mut *self.0.socket.borrow_mut()).poll_shutdown(cx)
    }
}
