//! A connection below the h2 crate: bytes go through, deadlines are kept, and frames are counted as they pass.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::Budget;
use crate::{
    clock::Deadline,
    edge::{counts::Counts, h1::Arrival, limits::Limits, proxy_protocol::accepted_at, tls::Greeted},
    http::{
        downstream::Peer,
        h2::{
            backlog::Turn,
            frames::{FrameHead, Passing, kind},
        },
        proxy_protocol::Ends,
    },
    transport::{batch::Batch, dial::Stream as Socket},
};

/// One client connection.
pub struct Wire {
    /// `None` once the connection has ended for us: a handler may keep its request, and with it the wire.
    socket: RefCell<Option<Socket>>,
    /// What was read before HTTP/2 was known to be spoken.
    early: RefCell<Bytes>,
    coming: RefCell<Passing>,
    going: RefCell<Passing>,
    /// What was written in this turn.
    batch: RefCell<Batch>,
    budget: RefCell<Budget>,
    turn: Turn,
    /// The client's first frame has come.
    has_begun: Cell<bool>,
    /// Why nothing more of it is listened to.
    verdict: Cell<Option<Verdict>>,
    /// The client has said something since it was last asked for.
    heard: Cell<bool>,
    writing: Deadline,
    /// The socket takes nothing at the moment, and these wait until it does.
    is_stuck: Cell<bool>,
    /// All was read in this turn that has come, or that may be read in one.
    is_dry: Cell<bool>,
    leaves_unread: Cell<bool>,
    stuck: RefCell<Vec<Waker>>,
    /// Streams whose ends somebody waits for to be written.
    open: RefCell<Vec<Open>>,
    pub peer: Peer,
    /// What a PROXY header has said of it.
    announced: Option<Box<Ends>>,
    /// What was agreed on, where TLS is spoken.
    pub greeted: Option<Greeted>,
    counts: Arc<Counts>,
    pub limits: Rc<Limits>,
}

/// What a client is told that is not listened to any more, and why.
pub type Verdict = (Reason, &'static str);

/// A stream that is not over yet.
struct Open {
    id: u32,
    is_over: bool,
    /// Bytes of its content that went out.
    written: u64,
    waker: Option<Waker>,
}

/// A stream's place among those that are open.
pub struct Place {
    wire: Rc<Wire>,
    id: u32,
}

impl Wire {
    pub fn new(arrival: Arrival, early: Bytes, limits: Rc<Limits>) -> Self {
        let Arrival { socket, peer, announced, greeted, newest: _, counts } = arrival;
        counts.http2.connections.one();
        Self {
            socket: RefCell::new(Some(socket)),
            early: RefCell::new(early),
            coming: RefCell::new(Passing::of_client()),
            going: RefCell::default(),
            batch: RefCell::default(),
            budget: RefCell::new(Budget::of(&limits.http2)),
            turn: Turn::default(),
            has_begun: Cell::new(false),
            verdict: Cell::new(None),
            heard: Cell::new(false),
            writing: Deadline::new(),
            is_stuck: Cell::new(false),
            is_dry: Cell::new(false),
            leaves_unread: Cell::new(false),
            stuck: RefCell::default(),
            open: RefCell::default(),
            peer,
            announced,
            greeted,
            counts,
            limits,
        }
    }

    /// The address that the client has connected to.
    pub fn local(&self) -> Option<SocketAddr> {
        accepted_at(self.announced.as_deref(), self.socket.borrow().as_ref())
    }

    pub fn is_tls(&self) -> bool {
        self.greeted.is_some()
    }

    /// In the next turn more may have come; `true` if it has already.
    pub fn end_turn(&self) -> bool {
        self.is_dry.set(false);
        self.leaves_unread.take()
    }

    /// The client has said something since this was last asked.
    pub fn take_heard(&self) -> bool {
        self.heard.take()
    }

    /// Something has come that the runtime has not told of yet.
    pub fn has_unread(&self) -> bool {
        self.socket.borrow().as_ref().is_some_and(Socket::has_unread)
    }

    /// The client is in the middle of a frame's head, or of a header block.
    pub fn is_in_block(&self) -> bool {
        self.coming.borrow().is_in_block()
    }

    /// The client is in the middle of a frame.
    pub fn is_in_frame(&self) -> bool {
        !self.coming.borrow().is_between()
    }

    /// Why the client is not listened to any more, if it is not.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict.get()
    }

    /// Ready while the socket takes what is written: what it does not take waits in memory, and is not to become more.
    pub fn poll_unstuck(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_stuck.get() {
            return Poll::Ready(());
        }
        self.stuck.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// A stream begins; to be kept until its end is written.
    pub fn open(self: &Rc<Self>, id: u32) -> Place {
        self.open.borrow_mut().push(Open { id, is_over: false, written: 0, waker: None });
        Place { wire: Rc::clone(self), id }
    }

    /// The connection has ended.
    pub fn end(&self) {
        drop(self.socket.take());
    }

    /// Reads and forgets; ready with whether there may be more.
    pub fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut nowhere = [0; 4096];
        let mut nowhere = ReadBuf::new(&mut nowhere);
        match &mut *self.socket.borrow_mut() {
            Some(socket) => {
                let read = ready!(Pin::new(socket).poll_read(cx, &mut nowhere));
                Poll::Ready(read.is_ok() && !nowhere.filled().is_empty())
            }
            None => Poll::Ready(false),
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Not a byte more is read after a verdict: whoever has polled looks for that next.
        if self.verdict().is_some() || self.is_dry.get() {
            return Poll::Pending;
        }
        if self.turn.is_over(cx) {
            self.is_dry.set(true);
            self.leaves_unread.set(true);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let mut early = self.early.borrow_mut();
        if early.is_empty() {
            match &mut *self.socket.borrow_mut() {
                Some(socket) => {
                    let read = Pin::new(socket).poll_read(cx, buffer);
                    self.is_dry.set(read.is_pending());
                    ready!(read)?;
                }
                None => return Poll::Ready(Ok(())),
            }
        } else {
            let taken = early.len().min(buffer.remaining());
            buffer.put_slice(&early[..taken]);
            early.advance(taken);
        }
        let came = &buffer.filled()[before..];
        let is_end = came.is_empty();
        self.turn.read(came.len());
        self.heard.set(self.heard.get() || !is_end);
        let passed = self.coming.borrow_mut().pass(came, |frame| self.lets_in(frame));
        buffer.set_filled(before + passed);
        // Nothing at all would be the end.
        if passed > 0 || is_end { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Looks at what has come before anything is made of it.
    fn lets_in(&self, frame: &FrameHead) -> bool {
        let is_first = !self.has_begun.replace(true);
        let verdict = match () {
            () if is_first && !frame.begins() => Some((Reason::PROTOCOL_ERROR, "a first frame other than SETTINGS")),
            () if !frame.has_its_size() => Some((Reason::FRAME_SIZE_ERROR, "a frame of a wrong size")),
            () => self.budget.borrow_mut().came(frame).err().map(|what| (Reason::ENHANCE_YOUR_CALM, what)),
        };
        if frame.kind == kind::RST_STREAM {
            self.counts.http2.resets_by_clients.one();
            self.note(frame, 0);
        }
        if verdict.is_some() {
            self.verdict.set(verdict);
        }
        verdict.is_none()
    }

    fn went(&self, frame: &FrameHead) {
        if frame.kind == kind::RST_STREAM {
            self.counts.http2.resets_by_us.one();
        }
        if let Err(what) = self.budget.borrow_mut().went(frame) {
            self.verdict.set(Some((Reason::ENHANCE_YOUR_CALM, what)));
        }
        if frame.kind == kind::DATA || frame.ends_stream() {
            self.note(frame, if frame.kind == kind::DATA { frame.length } else { 0 });
        }
    }

    /// Something of a stream was written, or it was reset.
    fn note(&self, frame: &FrameHead, written: u32) {
        if let Some(open) = self.open.borrow_mut().iter_mut().find(|open| open.id == frame.stream) {
            open.written += u64::from(written);
            open.is_over |= frame.ends_stream();
            if let Some(waker) = open.waker.take() {
                waker.wake();
            }
        }
    }

    /// Sends what was written in this turn.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.batch.borrow().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.in_time(cx, |batch, socket, cx, went| batch.poll_flush(cx, socket, went))
    }

    /// Has something done by the socket, but not for longer than a client may take to take something.
    fn in_time<T>(
        &self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut Batch, &mut Socket, &mut Context<'_>, &mut dyn FnMut(&[u8])) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut going = self.going.borrow_mut();
        let mut went = |bytes: &[u8]| {
            going.pass(bytes, |frame| {
                self.went(frame);
                true
            });
        };
        let acted = match &mut *self.socket.borrow_mut() {
            Some(socket) => act(&mut self.batch.borrow_mut(), socket, cx, &mut went),
            None => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        self.is_stuck.set(acted.is_pending());
        if acted.is_ready() {
            if self.writing.is_armed() {
                self.writing.disarm();
            }
            self.stuck.borrow_mut().drain(..).for_each(Waker::wake);
            return acted;
        }
        if !self.writing.is_armed() {
            self.writing.arm_or_disarm(self.limits.response_write);
        }
        ready!(self.writing.poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Place {
    /// Ready once so many bytes of the stream's content were written, or its last frame was, or it was reset. The task
    /// is woken whenever something of it was; `seen` is how much.
    pub fn poll_written(&self, cx: &mut Context<'_>, bytes: u64, seen: &mut u64) -> Poll<()> {
        let mut all = self.wire.open.borrow_mut();
        let Some(open) = all.iter_mut().find(|open| open.id == self.id) else { return Poll::Ready(()) };
        *seen = open.written;
        if open.is_over || open.written >= bytes {
            return Poll::Ready(());
        }
        open.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.wire.open.borrow_mut();
        if let Some(at) = all.iter().position(|open| open.id == self.id) {
            all.swap_remove(at);
        }
    }
}

/// The wire as the h2 crate has it.
pub struct Io(pub Rc<Wire>);

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buffer)
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
        self.0.in_time(cx, |batch, socket, cx, went| batch.poll_take(cx, socket, parts, went))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_flush(cx))?;
        self.0.in_time(cx, |_, socket, cx, _| Pin::new(socket).poll_shutdown(cx))
    }
}
