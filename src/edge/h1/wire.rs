//! A connection as all see it who have to do with it: the loop that serves it, the handler that reads a body, and the
//! proxy that sends interim responses.

use std::{
    cell::{Cell, OnceCell, RefCell},
    io, mem,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use self::body::Incoming;
pub use self::body::Payload;
use super::{Arrival, Visit, response};
use crate::{
    clock::{Deadline, Due},
    edge::{
        counts::Counts,
        last::Last,
        limits::Limits,
        line::Line,
        proxy_protocol::accepted_at,
        tls::{Greeted, Protocol},
    },
    http::{
        ClientCertificate, Downstream, HeaderMap, Shortcut, StatusCode, Version,
        body::Length,
        downstream::Peer,
        fields::{MIN_ROOM, make_room},
        proxy_protocol::{self, Ends},
        scratch,
    },
    transport::{dial::Stream as Socket, outbox::Outbox},
};

mod body;
mod gone;
mod piece;

/// Bytes read at once while a head is awaited.
const READ: usize = 16 * 1024;
/// What a client may send ahead of its turn.
const MAX_AHEAD: usize = 64 * 1024;
/// Buffers kept for the next connection that needs one; more were never in use at once, or soon will not be.
const MAX_SPARE: usize = 64;

/// What looks like a head where HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// One client connection.
pub struct Wire {
    /// `None` once the connection has ended for us: a handler may keep its request, and with it the wire.
    line: RefCell<Option<Line>>,
    /// What was read and not yet understood.
    pub input: RefCell<BytesMut>,
    /// What is to be written: interim responses come in between.
    pub output: RefCell<Outbox>,
    /// The same, where it does not come through our memory: behind what is in `output`.
    pub shortcut: Shortcut,
    body: RefCell<Incoming>,
    /// Counts requests: a payload that outlives its own gets nothing of the next.
    turn: Cell<u64>,
    version: Cell<Version>,
    head_is_out: Cell<bool>,
    request_trailers: RefCell<Option<HeaderMap>>,
    response_trailers: RefCell<Option<HeaderMap>>,
    /// What the loop waits for: a head, or a body.
    pub reading: Deadline,
    /// Until when a client that does not read is waited for; most do.
    writing: OnceCell<Deadline>,
    /// When to look whether a client has left behind more than is kept of it.
    looking: OnceCell<Deadline>,
    pub peer: Peer,
    /// What a PROXY header has said of it.
    pub announced: Option<Box<Ends>>,
    /// What was agreed on, where TLS is spoken.
    pub greeted: Option<Greeted>,
    pub newest: Protocol,
    pub counts: Arc<Counts>,
    pub limits: Rc<Limits>,
    /// The task that serves the connection.
    task: RefCell<Option<Waker>>,
}

impl Wire {
    pub fn new(visit: Visit) -> Self {
        let Visit { arrival, limits, until, is_fresh: _, http2: _ } = visit;
        let Arrival { line, peer, announced, greeted, newest, counts } = arrival;
        Self {
            line: RefCell::new(Some(line)),
            input: RefCell::default(),
            output: RefCell::default(),
            shortcut: Shortcut::default(),
            body: RefCell::default(),
            turn: Cell::new(0),
            version: Cell::new(Version::HTTP_11),
            head_is_out: Cell::new(false),
            request_trailers: RefCell::default(),
            response_trailers: RefCell::default(),
            reading: until.deadline(),
            writing: OnceCell::new(),
            looking: OnceCell::new(),
            peer,
            announced,
            greeted,
            newest,
            counts,
            limits,
            task: RefCell::default(),
        }
    }

    /// What was read is how HTTP/2 begins, and that is spoken here. Where TLS is spoken it would have been agreed on
    /// (RFC 9113, 3.3).
    pub fn begins_http2(&self) -> bool {
        self.newest == Protocol::Http2 && self.greeted.is_none() && self.input.borrow().starts_with(PREFACE)
    }

    /// What was read is no request, but what a proxy of connections begins with.
    pub fn begins_proxy_header(&self) -> bool {
        proxy_protocol::seems_begun(&self.input.borrow())
    }

    /// A request begins.
    pub fn begin(&self, version: Version, length: Length, expects_continue: bool) {
        self.turn.set(self.turn.get() + 1);
        self.version.set(version);
        self.head_is_out.set(false);
        self.request_trailers.take();
        self.response_trailers.take();
        *self.body.borrow_mut() = Incoming::new(length, self.limits.max_body, expects_continue);
    }

    /// The final head goes out: nothing comes before it any more. What it is written in is had only now: whoever waits for an answer
    /// needs none.
    pub fn end_interim(&self) {
        let lines = &mut self.output.borrow_mut().lines;
        if lines.capacity() == 0 {
            *lines = scratch::lines();
        }
        self.head_is_out.set(true);
        self.body.borrow_mut().end_leave();
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
        let mut line = self.line.borrow_mut();
        let Some(line) = &mut *line else { return Poll::Ready(Ok(0)) };
        let mut input = self.input.borrow_mut();
        // Memory is for who has something to read.
        if input.is_empty() && line.poll_read_ready(cx)?.is_pending() {
            keep_spare(mem::take(&mut input));
            return Poll::Pending;
        }
        if input.capacity() == 0
            && let Some(spare) = SPARE.with_borrow_mut(Vec::pop)
        {
            *input = spare;
        }
        // actix keeps the last request's target for a while, and with it the memory.
        make_room(&mut input, size, MIN_ROOM.max(size / 4));
        let read = poll_read_buf(Pin::new(line), cx, &mut *input);
        if read.is_pending() && input.is_empty() {
            keep_spare(mem::take(&mut input));
        }
        read
    }

    /// Reads more of a head.
    pub fn poll_read_head(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_read(cx, READ)
    }

    /// Something has come that the runtime has not told of yet.
    pub fn has_unread(&self) -> bool {
        self.line.borrow().as_ref().is_some_and(Line::has_unread)
    }

    /// Nothing has come that was not understood. The kernel is asked: while an answer was written nobody has looked.
    pub fn is_read_out(&self) -> bool {
        self.input.borrow().is_empty() && !self.has_unread()
    }

    /// Nothing has come, and it may be long until something does: others can have the memory.
    pub fn lend_buffers(&self) {
        let mut output = self.output.borrow_mut();
        if output.is_empty() {
            scratch::give_back_lines(mem::take(&mut output.lines));
        }
        keep_spare(self.input.take());
    }

    /// Writes what is to be written. Ready when it is; an error when the client does not take it in time.
    pub fn poll_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_by(cx, |line, cx, moved| self.poll_write_to(line, cx, moved))
    }

    /// The same, where nothing is said after that, and nothing is left for the [shortcut](Self::shortcut).
    pub fn poll_write_last(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_by(cx, |line, cx, moved| self.output.borrow_mut().poll_write(cx, &mut Last(line), moved))
    }

    fn poll_write_by(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Line, &mut Context<'_>, &mut bool) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let mut moved = false;
        let wrote = match &mut *self.line.borrow_mut() {
            Some(line) => write(line, cx, &mut moved),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        match wrote {
            Poll::Ready(wrote) => {
                if let Some(writing) = self.writing.get().filter(|writing| writing.is_armed()) {
                    writing.disarm();
                }
                Poll::Ready(wrote)
            }
            Poll::Pending => {
                let writing = self.writing.get_or_init(Deadline::new);
                if moved || !writing.is_armed() {
                    writing.arm_or_disarm(self.limits.response_write);
                }
                ready!(writing.poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Closes our half.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.line.borrow_mut() {
            Some(line) => Pin::new(line).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Where TLS is spoken an end that was not announced is a cut: what can be sent at once is sent.
    pub fn say_goodbye(&self) {
        if self.greeted.is_none() {
            return;
        }
        if let Poll::Ready(Err(error)) = self.poll_shutdown(&mut Context::from_waker(Waker::noop())) {
            log::debug!("a connection ends without a word: {error}");
        }
    }

    /// Ends the connection in a way that cannot be taken for a good end.
    pub fn reset(&self) {
        if let Some(socket) = self.line.borrow().as_ref().and_then(Line::tcp)
            && let Err(error) = socket.set_linger(Some(Duration::ZERO))
        {
            log::debug!("a connection ends without a reset: {error}");
        }
    }

    /// Nothing is under way: all that has to be kept of it.
    pub fn park(&self, until: Due, is_fresh: bool) -> Option<Visit> {
        let (socket, _nothing) = self.take()?;
        let (announced, greeted) = (self.announced.clone(), self.greeted.clone());
        let (peer, newest, counts) = (self.peer, self.newest, Arc::clone(&self.counts));
        let arrival = Arrival { line: Line::Known(socket), peer, announced, greeted, newest, counts };
        Some(Visit { arrival, limits: Rc::clone(&self.limits), until, is_fresh, http2: None })
    }

    /// Takes the socket out, with what was read from it ahead. The connection has ended then for whoever else holds it.
    pub fn take(&self) -> Option<(Socket, Bytes)> {
        let line = self.line.take();
        self.wake_reader();
        let socket = line?.into_known().ok()?;
        Some((socket, self.input.take().freeze()))
    }

    /// Closes it. The next one can have the memory; what was sent and not understood is nobody's.
    pub fn close(&self) {
        drop(self.line.take());
        self.wake_reader();
        self.input.borrow_mut().clear();
        self.lend_buffers();
    }

    pub fn take_response_trailers(&self) -> Option<HeaderMap> {
        self.response_trailers.take()
    }
}

/// Lets go of buffers that are kept for later: whatever is kept of that size has the allocator keep half a megabyte around it.
pub fn tidy() {
    SPARE.take();
}

/// The next connection that reads takes it.
fn keep_spare(buffer: BytesMut) {
    if buffer.capacity() == 0 {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MAX_SPARE {
            spare.push(buffer);
        }
    });
}

impl Downstream for Wire {
    fn peer(&self) -> Peer {
        self.peer
    }

    fn local(&self) -> Option<SocketAddr> {
        accepted_at(self.announced.as_deref(), || self.line.borrow().as_ref()?.local())
    }

    fn is_tls(&self) -> bool {
        self.greeted.is_some()
    }

    fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.greeted.as_ref()?.client.as_ref()
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

    fn shortcut(&self) -> Option<&Shortcut> {
        Some(&self.shortcut)
    }
}
