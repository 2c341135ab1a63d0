//! One exchange on one connection: it sends and reads at the same time.
//!
//! An answer may come before the request is sent to its end: a 413, a login, one half of a conversation. So each turn
//! sends what can be sent, then reads what can be read, and nothing waits for the other. A connection that failed
//! while it was written to may still hold an answer: it is read before anything is said about it.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio_util::io::poll_read_buf;

use super::{
    head::{Head, HeadReader},
    sending::{SendError, Sending},
};
use crate::{
    clock::Deadline,
    http::{Downstream, StatusCode, headers},
    transport::{Cause, Phase, Timeouts, TransportError, pool::Connection},
};

/// Bytes read at once while a head is awaited; many answers are whole in this.
const READ: usize = 16 * 1024;
/// Less room than this is not worth a system call.
const MIN_READ: usize = 4096;
/// An endpoint that goes on talking without an answer is cut off.
const MAX_INTERIM: u32 = 16;

/// An exchange under way.
pub struct Flow {
    /// What it happens on.
    pub connection: Box<Connection>,
    /// The request as far as it is not sent.
    pub sending: Sending,
    /// The endpoint does not take the request any more.
    send_failed: Option<io::Error>,
    /// What to wait for how long.
    pub timeouts: Timeouts,
    /// The limit on the whole exchange has a deadline of its own, where there is one.
    pub total: Option<Deadline>,
    waits_for: Waiting,
    response_started: bool,
    /// The first byte of the head that is waited for was read. An interim response only promises one.
    head_started: bool,
}

/// What the connection's deadline is armed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Not armed: it is the client we wait for.
    Client,
    /// The endpoint is to take, or to give, the next byte.
    Movement,
    /// The endpoint is to begin its answer.
    FirstByte,
}

impl Flow {
    /// An exchange of which nothing happened yet; `began` is when its limit in all started to count.
    pub fn new(connection: Box<Connection>, sending: Sending, timeouts: Timeouts, began: Option<Instant>) -> Self {
        let total = timeouts.total.map(|limit| {
            let deadline = Deadline::new();
            deadline.arm(limit.saturating_sub(began.map_or(Duration::ZERO, |began| began.elapsed())));
            deadline
        });
        let waits_for = Waiting::Client;
        let (response_started, head_started) = (false, false);
        Self { connection, sending, send_failed: None, timeouts, total, waits_for, response_started, head_started }
    }

    /// Sends the request as far as the endpoint takes it, until its answer's head is there: the final one, or 101.
    pub async fn head(
        &mut self,
        upgrades: bool,
        downstream: Option<&Rc<dyn Downstream>>,
    ) -> Result<Head, TransportError> {
        let mut reader = HeadReader::default();
        let mut interim = 0;
        loop {
            let head = poll_fn(|cx| self.poll_head(cx, &mut reader)).await;
            let head = head.map_err(|cause| self.failed(cause))?;
            self.head_started = !head.status.is_informational() || !self.connection.buffer.is_empty();
            match head.status {
                // The rest of a request would be the first words in another protocol (RFC 9110, 7.8).
                StatusCode::SWITCHING_PROTOCOLS if upgrades && self.sending.is_done() => return Ok(head),
                StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(self.failed(Cause::Malformed("it switches protocols unasked, or too early")));
                }
                status if status.is_informational() && interim == MAX_INTERIM => {
                    return Err(self.failed(Cause::Malformed("interim responses without end")));
                }
                status if status.is_informational() => {
                    interim += 1;
                    relay(head, downstream);
                }
                _ => return Ok(head),
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, reader: &mut HeadReader) -> Poll<Result<Head, Cause>> {
        self.poll_send(cx)?;
        loop {
            if let Some(head) = reader.read(&mut self.connection.buffer)? {
                return Poll::Ready(Ok(head));
            }
            match self.poll_read(cx, READ) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.ended())),
                Poll::Ready(Ok(_)) => {
                    (self.response_started, self.head_started) = (true, true);
                    self.moved();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(error))),
                Poll::Pending => {
                    if self.head_started {
                        self.wait(Waiting::Movement);
                    }
                    return self.poll_deadlines(cx).map(Err);
                }
            }
        }
    }

    /// Sends what can be sent now. What the endpoint does not take is noted; what the client does not give is an end.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Cause> {
        if self.sending.is_done() || self.send_failed.is_some() {
            self.wait_for_answer();
            return Ok(());
        }
        let mut moved = false;
        let sent = self.sending.poll(cx, &mut self.connection.stream, &mut moved);
        if moved {
            self.moved();
        }
        match sent {
            Poll::Ready(Ok(())) => self.wait_for_answer(),
            Poll::Ready(Err(SendError::Endpoint(error))) => self.send_failed = Some(error),
            Poll::Ready(Err(SendError::Client(error))) => return Err(Cause::RequestBody(error)),
            // Whoever is waited for is the one who is timed.
            Poll::Pending if self.sending.has_bytes() => self.wait(Waiting::Movement),
            Poll::Pending => self.wait(Waiting::Client),
        }
        Ok(())
    }

    /// Reads more, at most about so many bytes at once.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, size: usize) -> Poll<io::Result<usize>> {
        let Connection { stream, buffer, .. } = &mut *self.connection;
        // Once what was read before is written and dropped, this takes the same memory again.
        if buffer.is_empty() || buffer.capacity() - buffer.len() < MIN_READ {
            buffer.reserve(size);
        }
        poll_read_buf(Pin::new(stream), cx, buffer)
    }

    /// Ready when one of the limits has passed, with what to say of it.
    fn poll_deadlines(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        if let (Some(total), Some(limit)) = (&self.total, self.timeouts.total)
            && total.poll(cx).is_ready()
        {
            return Poll::Ready(Cause::Total(limit));
        }
        ready!(self.connection.deadline.poll(cx));
        Poll::Ready(match self.waits_for {
            Waiting::FirstByte => Cause::Timeout(self.timeouts.first_byte.unwrap_or_default()),
            Waiting::Movement | Waiting::Client => Cause::Stalled(self.timeouts.idle.unwrap_or_default()),
        })
    }

    /// While a body is read: the endpoint is to give the next byte. Ready when it took too long.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait(Waiting::Movement);
        self.poll_deadlines(cx).map(drop)
    }

    /// A byte moved: whatever is waited for next is timed from now.
    pub fn moved(&mut self) {
        self.waits_for = Waiting::Client;
    }

    fn wait_for_answer(&mut self) {
        // Once it has begun, an answer has the time that every movement has.
        self.wait(if self.head_started { Waiting::Movement } else { Waiting::FirstByte });
    }

    fn wait(&mut self, next: Waiting) {
        if self.waits_for == next && next != Waiting::Client {
            return;
        }
        self.waits_for = next;
        let limit = match next {
            Waiting::Client => None,
            Waiting::Movement => self.timeouts.idle,
            Waiting::FirstByte => self.timeouts.first_byte,
        };
        self.connection.deadline.arm_or_disarm(limit);
    }

    /// The endpoint closed. If it did so while we wrote, what happened to the writing says more.
    fn ended(&mut self) -> Cause {
        self.send_failed.take().map_or(Cause::Closed, Cause::Io)
    }

    fn broken(&mut self, error: io::Error) -> Cause {
        self.send_failed.take().map_or(Cause::Io(error), Cause::Io)
    }

    /// The facts.
    pub fn failed(&self, cause: Cause) -> TransportError {
        TransportError {
            phase: if self.sending.is_done() { Phase::Head } else { Phase::Send },
            cause,
            reused: self.connection.reused,
            response_started: self.response_started,
            body_consumed: self.sending.body.is_consumed(),
            request_started: self.sending.started,
        }
    }
}

/// Passes an interim response on; 100 is between the endpoint and us.
fn relay(head: Head, downstream: Option<&Rc<dyn Downstream>>) {
    if head.status == StatusCode::CONTINUE {
        return;
    }
    if let Some(downstream) = downstream {
        let mut fields = head.headers;
        headers::strip_hop_by_hop(&mut fields);
        downstream.informational(head.status, &fields);
    }
}
