//! The body of a request: in the handler's hands, and what becomes of it when nobody wants it.

use std::{
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use super::{READ, Wire, keep_spare};
use crate::http::{
    self, BodyError, HeaderMap,
    body::Length,
    chunked::{ChunkedDecoder, Piece},
    shortcut::MIN_LEFT,
};

/// Bytes read at once.
pub(super) const READ_BODY: usize = 64 * 1024;
/// What is left of a body that nobody reads is thrown away up to this, to keep the connection.
const MAX_REST: u64 = 64 * 1024;
/// How long to wait for it.
const REST: Duration = Duration::from_secs(2);

/// The body of the request under way.
#[derive(Default)]
pub(super) struct Incoming {
    framing: Framing,
    /// Bytes that may still come.
    allowed: Option<u64>,
    waits_for_leave: bool,
    /// The answer came instead of the leave: the client may send the body or not.
    got_no_leave: bool,
    has_reader: bool,
    /// Some of it was had without a copy; so is the rest, however little it is.
    is_spliced: bool,
    /// The task that waits for more of it.
    reader: Option<Waker>,
    /// Bytes of it that were thrown away.
    skipped: u64,
    failed: bool,
}

#[derive(Default)]
enum Framing {
    #[default]
    Complete,
    Exactly(u64),
    Chunked(ChunkedDecoder),
}

impl Wire {
    /// The body was read to its end.
    pub fn is_body_complete(&self) -> bool {
        matches!(self.body.borrow().framing, Framing::Complete)
    }

    /// The body will not be read to its end: it was malformed, too large or too slow, or nobody reads it and it is not
    /// worth it.
    pub fn is_body_lost(&self) -> bool {
        self.body.borrow().is_lost()
    }

    /// Throws away what is left of a body that nobody reads, if it has arrived already.
    pub fn skip_rest_of_body(&self) {
        let mut body = self.body.borrow_mut();
        if !body.has_reader {
            body.skip(&mut self.input.borrow_mut());
        }
    }

    /// Throws away what is left of the body, also what is still to come, if it is not too much and comes soon. Ready
    /// with whether that was all of it.
    pub fn poll_rest_of_body(&self, cx: &mut Context<'_>) -> Poll<bool> {
        // Who still holds the body gets no more of it.
        self.body.borrow_mut().has_reader = false;
        loop {
            self.skip_rest_of_body();
            if self.is_body_complete() || self.is_body_lost() {
                self.reading.disarm();
                return Poll::Ready(self.is_body_complete());
            }
            match self.poll_read(cx, READ) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => {
                    if !self.reading.is_armed() {
                        self.reading.arm(REST);
                    }
                    return self.reading.poll(cx).map(|()| false);
                }
            }
        }
    }

    /// Whoever reads the body may wait in another task, and only one task is told of what the socket has.
    pub(super) fn wake_reader(&self) {
        if let Some(reader) = self.body.borrow_mut().reader.take() {
            reader.wake();
        }
    }

    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.body.borrow().waits_for_leave {
            self.give_leave(cx);
        }
        loop {
            let next = self.body.borrow_mut().next(&mut self.input.borrow_mut());
            if self.reading.is_armed() && !matches!(next, Ok(None)) {
                self.reading.disarm();
            }
            match next {
                Ok(Some(Next::Data(bytes))) => {
                    if self.is_body_complete() {
                        // From now on it is the loop that looks after the client.
                        self.wake_task_from(cx);
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Ok(Some(Next::Trailers(trailers))) => {
                    self.wake_task_from(cx);
                    let settled = self.limits.underscores.settle_trailers(trailers);
                    let told = settled.map(|trailers| *self.request_trailers.borrow_mut() = trailers);
                    return Poll::Ready(told.err().map(Err));
                }
                Ok(Some(Next::End)) => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match self.poll_read(cx, READ_BODY) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Err(BodyError::Incomplete))),
                Poll::Ready(Ok(_)) => self.reading.disarm(),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(BodyError::Io(error)))),
                Poll::Pending => return self.poll_stalled(cx).map(|()| Some(Err(BodyError::Stalled))),
            }
        }
    }

    /// The same in a pipe: of known length, in the clear, once what was read is given out.
    fn poll_body_piece(&self, cx: &mut Context<'_>) -> Poll<Option<Result<http::Piece, BodyError>>> {
        let Some(left) = self.body.borrow().left_to_splice().filter(|_| self.input.borrow().is_empty()) else {
            return Poll::Ready(None);
        };
        let mut line = self.line.borrow_mut();
        let socket = line.as_mut().and_then(|line| line.known().ok()).filter(|socket| socket.is_clear());
        let Some(socket) = socket else { return Poll::Ready(None) };
        if self.body.borrow().waits_for_leave {
            self.give_leave(cx);
        }
        keep_spare(self.input.take());
        let piece = socket.poll_piece(cx, left, None);
        let Poll::Ready(piece) = piece else {
            return self.poll_stalled(cx).map(|()| Some(Err(BodyError::Stalled)));
        };
        Poll::Ready(match piece {
            Ok(Some(piece)) if piece.is_empty() => Some(Err(BodyError::Incomplete)),
            Ok(Some(piece)) => {
                self.reading.disarm();
                self.body.borrow_mut().took_piece(piece.len() as u64);
                if self.is_body_complete() {
                    self.wake_task_from(cx);
                }
                Some(Ok(piece))
            }
            Ok(None) => None,
            Err(error) => Some(Err(BodyError::Io(error))),
        })
    }

    /// What is still to come of the body is taken from the socket by who reads it, and by nobody else.
    pub(super) fn body_goes_past_memory(&self) -> bool {
        let body = self.body.borrow();
        body.is_spliced && body.has_reader && !matches!(body.framing, Framing::Complete)
    }

    /// Nothing has come of the body: ready when it has not for too long.
    fn poll_stalled(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.reading.is_armed() {
            self.reading.arm_or_disarm(self.limits.request_body);
        }
        self.body.borrow_mut().note_reader(cx);
        self.reading.poll(cx)
    }

    /// Somebody wants the body: the client may send it (RFC 9110, 10.1.1).
    fn give_leave(&self, cx: &Context<'_>) {
        self.body.borrow_mut().waits_for_leave = false;
        self.output.borrow_mut().lines.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        self.wake_task_from(cx);
    }
}

enum Next {
    Data(Bytes),
    /// The end was read just now.
    Trailers(Option<HeaderMap>),
    End,
}

impl Incoming {
    pub(super) fn new(length: Length, allowed: Option<u64>, waits_for_leave: bool) -> Self {
        let framing = match length {
            Length::None | Length::Exact(0) => Framing::Complete,
            Length::Exact(length) => Framing::Exactly(length),
            Length::Chunked => Framing::Chunked(ChunkedDecoder::new()),
        };
        let has_reader = !matches!(framing, Framing::Complete);
        Self { framing, allowed, waits_for_leave, has_reader, ..Self::default() }
    }

    /// The answer comes: there will be no leave.
    pub(super) fn end_leave(&mut self) {
        self.got_no_leave = mem::take(&mut self.waits_for_leave);
    }

    fn is_lost(&self) -> bool {
        let is_large = match self.framing {
            Framing::Complete => return false,
            Framing::Exactly(left) => left > MAX_REST,
            Framing::Chunked(_) => self.skipped > MAX_REST,
        };
        self.failed || (!self.has_reader && (is_large || self.got_no_leave))
    }

    /// Throws away what the buffer holds of the body.
    fn skip(&mut self, input: &mut BytesMut) {
        while !self.failed {
            match self.next(input) {
                Ok(Some(Next::Data(bytes))) => self.skipped += bytes.len() as u64,
                Ok(Some(Next::Trailers(_))) => {}
                Ok(None | Some(Next::End)) => return,
                Err(_) => self.failed = true,
            }
        }
    }

    fn note_reader(&mut self, cx: &Context<'_>) {
        if !self.reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
    }

    /// How much is still to come, if it is worth a pipe.
    fn left_to_splice(&self) -> Option<u64> {
        match self.framing {
            Framing::Exactly(left) if self.is_spliced || left >= MIN_LEFT => Some(left),
            _ => None,
        }
    }

    /// So much of it went into one.
    fn took_piece(&mut self, length: u64) {
        self.is_spliced = true;
        if let Framing::Exactly(left) = &mut self.framing {
            *left -= length;
            if *left == 0 {
                self.framing = Framing::Complete;
            }
        }
    }

    /// What the buffer holds of the body; `None` when more must be read.
    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Next>, BodyError> {
        let next = match &mut self.framing {
            Framing::Complete => return Ok(Some(Next::End)),
            Framing::Exactly(_) if input.is_empty() => None,
            Framing::Exactly(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= length as u64;
                if *left == 0 {
                    self.framing = Framing::Complete;
                }
                Some(Next::Data(input.split_to(length).freeze()))
            }
            Framing::Chunked(decoder) => match decoder.decode(input)? {
                Some(Piece::Data(bytes)) => Some(Next::Data(bytes)),
                Some(Piece::End(trailers)) => {
                    self.framing = Framing::Complete;
                    Some(Next::Trailers(trailers))
                }
                None => None,
            },
        };
        if let (Some(Next::Data(bytes)), Some(allowed)) = (&next, &mut self.allowed) {
            let left = allowed.checked_sub(bytes.len() as u64);
            *allowed = left.ok_or(BodyError::TooLarge { limit: 0 })?;
        }
        Ok(next)
    }
}

/// The body of one request, in a handler's hands.
pub struct Payload {
    wire: Rc<Wire>,
    turn: u64,
}

impl Payload {
    /// Of the request under way.
    pub fn of(wire: &Rc<Wire>) -> Self {
        Self { wire: Rc::clone(wire), turn: wire.turn.get() }
    }

    fn is_current(&self) -> bool {
        self.wire.turn.get() == self.turn
    }

    /// What comes next of it in a pipe, if it can be had so.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<http::Piece, BodyError>>> {
        if !self.is_current() || self.wire.body.borrow().failed {
            return Poll::Ready(None);
        }
        let next = ready!(self.wire.poll_body_piece(cx));
        if matches!(next, Some(Err(_))) {
            self.wire.body.borrow_mut().failed = true;
        }
        Poll::Ready(next)
    }
}

impl Stream for Payload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_current() || self.wire.body.borrow().failed {
            return Poll::Ready(Some(Err(PayloadError::Incomplete(None))));
        }
        let next = ready!(self.wire.poll_body(cx));
        Poll::Ready(next.map(|next| {
            next.map_err(|error| {
                self.wire.body.borrow_mut().failed = true;
                told(error)
            })
        }))
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if self.is_current() {
            self.wire.body.borrow_mut().has_reader = false;
            self.wire.reading.disarm();
        }
    }
}

/// In actix's terms.
fn told(error: BodyError) -> PayloadError {
    match error {
        BodyError::Incomplete => PayloadError::Incomplete(None),
        BodyError::Malformed => PayloadError::EncodingCorrupted,
        BodyError::TooLarge { .. } => PayloadError::Overflow,
        BodyError::Stalled => PayloadError::Io(io::ErrorKind::TimedOut.into()),
        BodyError::Io(error) => PayloadError::Io(error),
    }
}
