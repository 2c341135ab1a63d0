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
    transport::{Cause, dial::Stream},
};

/// What has passed on one connection.
pub struct Wire {
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
    pub fn new() -> Self {
        Self {
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

    fn wrote(&self, mut count: usize, parts: &[io::IoSlice<'_>]) {
        let mut going = self.going.borrow_mut();
        for part in parts {
            let wrote = part.len().min(count);
            going.pass(&part[..wrote], |frame| self.went(frame));
            count -= wrote;
        }
    }
}

/// The connection as the h2 crate has it.
pub struct Io {
    pub socket: Stream,
    pub wire: Rc<Wire>,
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.wire.turn.is_over(cx) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        Poll::Ready(self.wire.came(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.wire.wrote(wrote, &[io::IoSlice::new(bytes)]);
        Poll::Ready(Ok(wrote))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, parts))?;
        self.wire.wrote(wrote, parts);
        Poll::Ready(Ok(wrote))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
