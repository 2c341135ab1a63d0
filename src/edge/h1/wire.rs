//! A connection as all see it who have to do with it: the loop that serves it, the handler that reads a body, and the
//! proxy that sends interim responses.

use std::{
    cell::{Cell, RefCell},
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::response;
use crate::{
    clock::Deadline,
    edge::limits::Limits,
    http::{
        BodyError, Downstream, HeaderMap, StatusCode, Version,
        body::Length,
        chunked::{ChunkedDecoder, Piece},
        downstream::Peer,
        fields::{MIN_ROOM, make_room},
    },
    transport::{dial::Stream as Socket, outbox::Outbox},
};

/// Bytes read at once while a head is awaited.
const READ: usize = 16 * 1024;
/// Bytes read at once from a body.
const READ_BODY: usize = 64 * 1024;
/// What a client may send ahead of its turn.
const MAX_AHEAD: usize = 64 * 1024;
/// What is left of a body that nobody reads is thrown away up to this, to keep the connection.
const MAX_REST: u64 = 64 * 1024;
/// How long to wait for it.
const REST: Duration = Duration::from_secs(2);

/// One client connection.
pub struct Wire {
    /// `None` once the connection has ended for us: a handler may keep its request, and with it the wire.
    socket: RefCell<Option<Socket>>,
    /// What was read and not yet understood.
    pub input: RefCell<BytesMut>,
    /// What is to be written: interim responses come in between.
    pub output: RefCell<Outbox>,
    body: RefCell<Incoming>,
    /// Counts requests: a payload that outlives its own gets nothing of the next.
    turn: Cell<u64>,
    version: Cell<Version>,
    head_is_out: Cell<bool>,
    request_trailers: RefCell<Option<HeaderMap>>,
    response_trailers: RefCell<Option<HeaderMap>>,
    /// What the loop waits for: a head, or a body.
    pub reading: Deadline,
    pub writing: Deadline,
    pub peer: Peer,
    pub limits: Rc<Limits>,
    /// The task that serves the connection.
    task: RefCell<Option<Waker>>,
}

/// The body of the request under way.
#[derive(Default)]
struct Incoming {
    framing: Framing,
    /// Bytes that may still come.
    allowed: Option<u64>,
    waits_for_leave: bool,
    /// The answer came instead of the leave: the client may send the body or not.
    got_no_leave: bool,
    has_reader: bool,
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
    pub fn new(socket: Socket, peer: Peer, limits: Rc<Limits>) -> Self {
        Self {
            socket: RefCell::new(Some(socket)),
            input: RefCell::default(),
            output: RefCell::default(),
            body: RefCell::default(),
            turn: Cell::new(0),
            version: Cell::new(Version::HTTP_11),
            head_is_out: Cell::new(false),
            request_trailers: RefCell::default(),
            response_trailers: RefCell::default(),
            reading: Deadline::new(),
            writing: Deadline::new(),
            peer,
            limits,
            task: RefCell::default(),
        }
    }

    /// A request begins.
    pub fn begin(&self, version: Version, length: Length, expects_continue: bool) {
        self.turn.set(self.turn.get() + 1);
        self.version.set(version);
        self.head_is_out.set(false);
        self.request_trailers.take();
        self.response_trailers.take();
        let framing = match length {
            Length::None | Length::Exact(0) => Framing::Complete,
            Length::Exact(length) => Framing::Exactly(length),
            Length::Chunked => Framing::Chunked(ChunkedDecoder::new()),
        };
        let has_reader = !matches!(framing, Framing::Complete);
        let allowed = self.limits.max_body;
        *self.body.borrow_mut() =
            Incoming { framing, allowed, waits_for_leave: expects_continue, has_reader, ..Incoming::default() };
    }

    /// The final head goes out: nothing comes before it any more.
    pub fn end_interim(&self) {
        self.head_is_out.set(true);
        let mut body = self.body.borrow_mut();
        body.got_no_leave = mem::take(&mut body.waits_for_leave);
    }

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

    /// The loop polls: it is this task that must know when something changes.
    pub fn note_task(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    pub fn wake_task(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// The same, unless it is at work: it looks around once the handler is done with its turn.
    fn wake_task_from(&self, cx: &Context<'_>) {
        if let Some(task) = &*self.task.borrow()
            && !task.will_wake(cx.waker())
        {
            task.wake_by_ref();
        }
    }

    /// Reads more of whatever comes.
    fn poll_read(&self, cx: &mut Context<'_>, size: usize) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.borrow_mut();
        let Some(socket) = &mut *socket else { return Poll::Ready(Ok(0)) };
        let mut input = self.input.borrow_mut();
        // actix keeps the last request's target for a while, and with it the memory.
        make_room(&mut input, size, MIN_ROOM.max(size / 4));
        poll_read_buf(Pin::new(socket), cx, &mut *input)
    }

    /// Reads more of a head.
    pub fn poll_read_head(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_read(cx, READ)
    }

    /// While the client waits for its answer: ready when it has left, also if it has only closed its half. What it
    /// sends meanwhile is kept, up to a bound; behind that nobody sees it leave.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        while self.input.borrow().len() < MAX_AHEAD {
            match ready!(self.poll_read(cx, READ)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => self.wake_reader(),
            }
        }
        Poll::Pending
    }

    /// Whoever reads the body may wait in another task, and only one task is told of what the socket has.
    fn wake_reader(&self) {
        if let Some(reader) = self.body.borrow_mut().reader.take() {
            reader.wake();
        }
    }

    /// Writes what is to be written. Ready when it is; an error when the client does not take it in time.
    pub fn poll_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut moved = false;
        let wrote = match &mut *self.socket.borrow_mut() {
            Some(socket) => self.output.borrow_mut().poll_write(cx, socket, &mut moved),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        match wrote {
            Poll::Ready(wrote) => {
                if self.writing.is_armed() {
                    self.writing.disarm();
                }
                Poll::Ready(wrote)
            }
            Poll::Pending => {
                if moved || !self.writing.is_armed() {
                    self.writing.arm_or_disarm(self.limits.response_write);
                }
                ready!(self.writing.poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Closes our half.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.socket.borrow_mut() {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Ends the connection in a way that cannot be taken for a good end.
    pub fn reset(&self) {
        if let Some(Socket::Tcp(socket)) = &*self.socket.borrow()
            && let Err(error) = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))
        {
            log::debug!("a connection ends without a reset: {error}");
        }
    }

    /// Takes the socket out, with what was read from it ahead. The connection has ended then for whoever else holds it.
    pub fn take(&self) -> Option<(Socket, Bytes)> {
        let socket = self.socket.take();
        self.wake_reader();
        socket.map(|socket| (socket, self.input.take().freeze()))
    }

    pub fn take_response_trailers(&self) -> Option<HeaderMap> {
        self.response_trailers.take()
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
                    *self.request_trailers.borrow_mut() = trailers;
                    self.wake_task_from(cx);
                    return Poll::Ready(None);
                }
                Ok(Some(Next::End)) => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match self.poll_read(cx, READ_BODY) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Err(BodyError::Incomplete))),
                Poll::Ready(Ok(_)) => self.reading.disarm(),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(BodyError::Io(error)))),
                Poll::Pending => {
                    if !self.reading.is_armed() {
                        self.reading.arm_or_disarm(self.limits.request_body);
                    }
                    self.body.borrow_mut().note_reader(cx);
                    ready!(self.reading.poll(cx));
                    return Poll::Ready(Some(Err(BodyError::Stalled)));
                }
            }
        }
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
    pub fn of(wire: &Rc<Wire>) -> Self {
        Self { wire: Rc::clone(wire), turn: wire.turn.get() }
    }

    fn is_current(&self) -> bool {
        self.wire.turn.get() == self.turn
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

impl Downstream for Wire {
    fn peer(&self) -> Peer {
        self.peer
    }

    fn is_tls(&self) -> bool {
        false
    }

    fn informational(&self, status: StatusCode, headers: &HeaderMap) {
        let can_be = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
        if !can_be || self.head_is_out.get() || self.version.get() < Version::HTTP_11 {
            return;
        }
        let mut output = self.output.borrow_mut();
        // A client that does not read gets no more of what it can do without.
        if output.waiting() < MAX_AHEAD {
            response::write_interim(status, headers, &mut output.lines);
            drop(output);
            self.wake_task();
        }
    }

    fn request_trailers(&self) -> Option<HeaderMap> {
        self.request_trailers.take()
    }

    fn response_trailers(&self, trailers: HeaderMap) {
        *self.response_trailers.borrow_mut() = Some(trailers);
    }
}
