//! The connection under an awc client, seen from outside: what moved on it, and whether that was in time.

use std::{
    cell::Cell,
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_rt::net::{ActixStream, Ready};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
};

use super::connect::Placed;
use crate::{
    clock::Deadline,
    http::Io,
    transport::{Cause, Phase, Timeouts, TransportError},
};

/// What has moved in one attempt, and its limits.
pub struct Movement {
    timeouts: Timeouts,
    first_byte: Deadline,
    idle: Deadline,
    total: Deadline,
    wrote: Cell<bool>,
    read: Cell<bool>,
    ended: Cell<bool>,
    /// The request's body was read to its end.
    pub body_sent: Cell<bool>,
    /// Some of the request's body was taken.
    pub body_consumed: Cell<bool>,
}

impl Movement {
    /// An attempt that starts now.
    pub fn starting(timeouts: Timeouts) -> Self {
        let total = Deadline::new();
        total.arm_or_disarm(timeouts.total);
        Self {
            timeouts,
            first_byte: Deadline::new(),
            idle: Deadline::new(),
            total,
            wrote: Cell::default(),
            read: Cell::default(),
            ended: Cell::default(),
            body_sent: Cell::default(),
            body_consumed: Cell::default(),
        }
    }

    /// From here on the endpoint is waited for.
    pub fn connected(&self) {
        self.first_byte.arm_or_disarm(self.timeouts.first_byte);
        self.wait();
    }

    /// A wait for the endpoint's next byte begins.
    pub fn wait(&self) {
        self.idle.arm_or_disarm(self.timeouts.idle);
    }

    /// A wait for the client begins: it is not timed here.
    pub fn wait_for_client(&self) {
        self.idle.disarm();
    }

    /// The endpoint has closed its side, and somebody wanted to read more.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// How far it came, once connected.
    pub fn phase(&self) -> Phase {
        if self.body_sent.get() { Phase::Head } else { Phase::Send }
    }

    /// Ready when the wait for the head has been too long.
    pub fn poll_limits(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        if !self.body_sent.get() || self.read.get() {
            return self.poll_stalled(cx);
        }
        match (self.first_byte.poll(cx), self.timeouts.first_byte) {
            (Poll::Ready(()), Some(limit)) => Poll::Ready(Cause::Timeout(limit)),
            _ => self.poll_total(cx),
        }
    }

    /// Ready when nothing has moved for too long, or the attempt as a whole takes too long.
    pub fn poll_stalled(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        match (self.idle.poll(cx), self.timeouts.idle) {
            (Poll::Ready(()), Some(limit)) => Poll::Ready(Cause::Stalled(limit)),
            _ => self.poll_total(cx),
        }
    }

    fn poll_total(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        match (self.total.poll(cx), self.timeouts.total) {
            (Poll::Ready(()), Some(limit)) => Poll::Ready(Cause::Total(limit)),
            _ => Poll::Pending,
        }
    }

    /// What is known of an attempt that ends here.
    pub fn failed(&self, phase: Phase, cause: Cause) -> TransportError {
        TransportError {
            phase,
            cause,
            reused: false,
            response_started: self.read.get(),
            body_consumed: self.body_consumed.get(),
            request_started: self.wrote.get(),
        }
    }
}

/// A connection that reports what moves on it.
pub struct Watched {
    io: Box<dyn Io>,
    /// Given back with the connection.
    _place: OwnedSemaphorePermit,
    movement: Rc<Movement>,
}

impl Watched {
    /// Watches this connection.
    pub fn new(connection: Placed, movement: Rc<Movement>) -> Self {
        Self { io: connection.io, _place: connection.place, movement }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.movement.read.set(true);
            self.movement.wait();
        } else {
            self.movement.ended.set(true);
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.io).poll_write(cx, bytes));
        if result.is_ok() {
            self.movement.wrote.set(true);
            self.movement.connected();
        }
        Poll::Ready(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// awc asks for it and never calls it.
impl ActixStream for Watched {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::READABLE))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::WRITABLE))
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}
