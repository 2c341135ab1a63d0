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
    task::{Context, Poll},
    time::Instant,
};

use bytes::BytesMut;
use tokio_util::io::poll_read_buf;

use super::{
    buffers::{self, Buffers},
    head::{Head, HeadReader},
    sending::{SendError, Sending},
};
use crate::{
    http::{Downstream, Piece, StatusCode, headers},
    prefetch,
    transport::{
        Cause, Phase, Timeouts, TransportError,
        low_water::LowWater,
        pool::{Connection, Shelf},
        watch::{Wait, Watch},
    },
};

/// An endpoint that goes on talking without an answer is cut off.
pub const MAX_INTERIM: u32 = 16;

/// An exchange under way.
pub struct Flow {
    /// What it happens on.
    pub connection: Box<Connection>,
    /// The request as far as it is not sent.
    pub sending: Sending,
    /// What was read and not yet understood.
    pub input: BytesMut,
    /// How much to read at once.
    portion: usize,
    buffers: Rc<Buffers>,
    /// The endpoint does not take the request any more.
    send_failed: Option<io::Error>,
    watch: Watch,
    response_started: bool,
    /// The first byte of the head that is waited for was read. An interim response only promises one.
    head_started: bool,
}

impl Flow {
    /// An exchange of which nothing happened yet; `began` is when its limit in all started to count.
    pub fn new(
        connection: Box<Connection>,
        sending: Sending,
        timeouts: Timeouts,
        began: Option<Instant>,
        buffers: &Rc<Buffers>,
    ) -> Self {
        let watch = Watch::new(connection.deadline.clone(), timeouts, began);
        Self {
            connection,
            sending,
            input: BytesMut::new(),
            portion: buffers::PORTION,
            buffers: Rc::clone(buffers),
            send_failed: None,
            watch,
            response_started: false,
            head_started: false,
        }
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
            self.head_started = !head.status.is_informational() || !self.input.is_empty();
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
        let wait = self.poll_send(cx)?;
        loop {
            if !self.input.is_empty()
                && let Some(head) = reader.read(&mut self.input)?
            {
                return Poll::Ready(Ok(head));
            }
            match self.poll_read(cx, None) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.ended())),
                Poll::Ready(Ok(_)) => (self.response_started, self.head_started) = (true, true),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(error))),
                Poll::Pending => {
                    prefetch::when_it_goes_on(&*self.connection);
                    prefetch::when_it_goes_on(self);
                    // Once it has begun, an answer has the time that every movement has.
                    self.watch.expect(if self.head_started { Wait::Movement } else { wait });
                    return self.watch.poll(cx).map(Err);
                }
            }
        }
    }

    /// Sends what can be sent now, and says what is waited for then. What the endpoint does not take is noted; what the
    /// client does not give is an end.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<Wait, Cause> {
        if self.sending.is_done() || self.send_failed.is_some() {
            return Ok(Wait::FirstByte);
        }
        let mut moved = false;
        let sent = self.sending.poll(cx, &mut self.connection.stream, &mut moved);
        if moved {
            self.watch.moved();
        }
        match sent {
            Poll::Ready(Ok(())) => self.buffers.take_lines_back(self.sending.take_buffer()),
            Poll::Ready(Err(SendError::Endpoint(error))) => self.send_failed = Some(error),
            Poll::Ready(Err(SendError::Client(error))) => return Err(Cause::RequestBody(error)),
            // Whoever is waited for is the one who is timed.
            Poll::Pending if self.sending.has_bytes() => return Ok(Wait::Movement),
            Poll::Pending => return Ok(Wait::Client),
        }
        Ok(Wait::FirstByte)
    }

    /// Sends nothing more. The connection is not used again.
    pub fn give_up_sending(&mut self) {
        self.send_failed = Some(io::ErrorKind::BrokenPipe.into());
    }

    /// Reads more, at most `left` bytes if that is known; 0 is the end. While nothing comes no memory is held for it.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, left: Option<u64>) -> Poll<io::Result<usize>> {
        let left = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        // A byte more shows whether something follows.
        self.buffers.make_room(&mut self.input, self.portion.min(left.saturating_add(1)));
        let room = self.input.capacity() - self.input.len();
        let read = poll_read_buf(Pin::new(&mut self.connection.stream), cx, &mut self.input);
        match &read {
            Poll::Pending if self.input.is_empty() => self.buffers.take_back(std::mem::take(&mut self.input)),
            Poll::Ready(Ok(1..)) => self.watch.moved(),
            _ => {}
        }
        if matches!(read, Poll::Ready(Ok(read)) if read == room) {
            self.portion = buffers::LARGE_PORTION;
        }
        read
    }

    /// Takes what has come into a pipe, at most `left` bytes; `None` if it has to be read. An empty piece is the end.
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        left: u64,
        low_water: &mut LowWater,
    ) -> Poll<io::Result<Option<Piece>>> {
        let piece = self.connection.stream.poll_piece(cx, left, Some(low_water));
        if matches!(&piece, Poll::Ready(Ok(Some(piece))) if !piece.is_empty()) {
            self.watch.moved();
        }
        piece
    }

    /// While a body is read: the endpoint is to give the next byte. Ready when it took too long.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.watch.expect(Wait::Movement);
        self.watch.poll(cx).map(drop)
    }

    /// A piece of the body is there: until the next one is asked for, it is the client's time that passes.
    pub fn pause(&mut self) {
        self.watch.expect(Wait::Nothing);
    }

    /// The answer is complete: gives the connection back if nothing is left on it, no rest of the request and no byte
    /// behind the answer.
    pub fn finish(self, shelf: Option<Rc<Shelf>>) {
        if let Some(shelf) = shelf
            && self.sending.is_done()
            && self.input.is_empty()
        {
            shelf.put(self.connection);
        }
        self.buffers.take_back(self.input);
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
