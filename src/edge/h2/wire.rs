//! A connection as all see it who have to do with it: the loop that serves it, and those who answer on its streams. Bytes go
//! between the socket and the [`Session`], and deadlines are kept.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use actix_http::body::BoxBody;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::{
    buffers,
    session::{Amid, Event, Place, Session, Verdict},
};
use crate::{
    clock::{Deadline, Due},
    edge::{
        counts::Counts,
        drain::Draining,
        h1::{Arrival, Visit},
        limits::Limits,
        line::Line,
        proxy_protocol::accepted_at,
        tls::{Greeted, Protocol},
    },
    http::{downstream::Peer, proxy_protocol::Ends},
    transport::dial::Stream as Socket,
};

/// One client connection.
pub struct Wire {
    /// `None` once the connection has ended for us: a handler may keep its request, and with it the wire.
    socket: RefCell<Option<Socket>>,
    session: RefCell<Session>,
    /// What was read and not taken in yet.
    input: RefCell<Input>,
    /// Bodies of answers whose last bytes are to be written: only then they have ended.
    leaving: RefCell<Vec<BoxBody>>,
    /// The task that serves the connection, and whether it is at work.
    task: RefCell<Option<Waker>>,
    is_at_work: Cell<bool>,
    /// The client has said something since this was last asked for.
    heard: Cell<bool>,
    writing: Deadline,
    pub ear: Draining,
    pub peer: Peer,
    /// What a PROXY header has said of it.
    announced: Option<Box<Ends>>,
    /// What was agreed on, where TLS is spoken.
    pub greeted: Option<Greeted>,
    newest: Protocol,
    counts: Arc<Counts>,
    pub limits: Rc<Limits>,
}

#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    at: usize,
}

/// Bytes read at once.
const READ: usize = 16 * 1024;
/// The beginning of a frame that is no longer is kept in memory of its own size.
const LITTLE: usize = 512;
/// As long as so many bytes wait to be written nothing is read: it would be answered.
const MOST_UNSENT: usize = 64 * 1024;

impl Wire {
    pub fn new(visit: Visit, early: &[u8], ear: Draining) -> Self {
        let Visit { arrival, limits, until: _, is_fresh: _, http2 } = visit;
        let Arrival { line, peer, announced, greeted, newest, counts } = arrival;
        let session = match http2 {
            Some(remains) => remains.session(&limits, &counts),
            None => {
                counts.http2.connections.one();
                Session::new(&limits, &counts)
            }
        };
        Self {
            socket: RefCell::new(line.into_known().ok()),
            session: RefCell::new(session),
            input: RefCell::new(Input { bytes: early.to_vec(), at: 0 }),
            leaving: RefCell::default(),
            task: RefCell::default(),
            is_at_work: Cell::new(true),
            heard: Cell::new(false),
            writing: Deadline::new(),
            ear,
            peer,
            announced,
            greeted,
            newest,
            counts,
            limits,
        }
    }

    /// The address that the client has connected to.
    pub fn local(&self) -> Option<SocketAddr> {
        accepted_at(self.announced.as_deref(), || self.socket.borrow().as_ref()?.tcp()?.local_addr().ok())
    }

    pub fn is_tls(&self) -> bool {
        self.greeted.is_some()
    }

    /// The task is at work: it writes what there is before it rests.
    pub fn hear(&self, cx: &Context<'_>) {
        self.is_at_work.set(true);
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// The task rests.
    pub fn rest(&self) {
        self.is_at_work.set(false);
    }

    /// Has something done by the session. What is to be written because of it is.
    pub fn session<T>(&self, act: impl FnOnce(&mut Session) -> T) -> T {
        let (done, writes) = {
            let mut session = self.session.borrow_mut();
            let done = act(&mut session);
            (done, !session.output.is_empty())
        };
        if writes
            && !self.is_at_work.get()
            && let Some(task) = &*self.task.borrow()
        {
            task.wake_by_ref();
        }
        done
    }

    /// A body whose last bytes are with the session: it has ended once they are written. One whose stream is over has ended.
    pub fn ends_when_written(&self, place: Place, body: BoxBody) {
        if self.session.borrow_mut().is_open(place) {
            self.leaving.borrow_mut().push(body);
        }
    }

    /// The client has said something since this was last asked.
    pub fn take_heard(&self) -> bool {
        self.heard.take()
    }

    /// Something has come that the runtime has not told of yet.
    pub fn has_unread(&self) -> bool {
        self.has_input() || self.socket.borrow().as_ref().is_some_and(Socket::has_unread)
    }

    /// What has come is not taken in yet.
    pub fn has_input(&self) -> bool {
        let input = self.input.borrow();
        input.at < input.bytes.len()
    }

    /// What the client is in the middle of.
    pub fn amid(&self) -> Amid {
        let input = self.input.borrow();
        self.session.borrow().amid(&input.bytes[input.at..])
    }

    /// The client is in the middle of a header block that it has begun.
    pub fn is_amid_block(&self) -> bool {
        self.session.borrow().is_amid_block()
    }

    /// Takes in the next frame that has come; `None` if more of it is to come.
    pub fn step(&self) -> Result<Option<Event>, Verdict> {
        let mut input = self.input.borrow_mut();
        let step = self.session.borrow_mut().step(&input.bytes[input.at..])?;
        Ok(step.map(|(length, event)| {
            input.at += length;
            event
        }))
    }

    /// Nothing is written that the client has not taken for long.
    pub fn may_read(&self) -> bool {
        self.session.borrow().output.waiting() < MOST_UNSENT
    }

    /// Reads more of whatever comes.
    pub fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.borrow_mut();
        let Some(socket) = &mut *socket else { return Poll::Ready(Ok(0)) };
        let mut input = self.input.borrow_mut();
        let Input { bytes, at } = &mut *input;
        if *at > 0 {
            bytes.drain(..std::mem::take(at));
        }
        if bytes.capacity() < bytes.len() + READ {
            let mut larger = buffers::take();
            larger.reserve(bytes.len() + READ);
            larger.extend_from_slice(bytes);
            buffers::give_back(std::mem::replace(bytes, larger));
        }
        let read = poll_read_buf(Pin::new(socket), cx, bytes);
        match &read {
            Poll::Ready(Ok(1..)) => self.heard.set(true),
            Poll::Ready(_) => {}
            // Nothing more comes for now: others can have the memory.
            Poll::Pending if bytes.len() <= LITTLE => {
                let little = bytes.as_slice().to_vec();
                buffers::give_back(std::mem::replace(bytes, little));
            }
            Poll::Pending => {}
        }
        read
    }

    /// Writes what is to be written, for which a client has its time. Ready when it is.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut moved = false;
        let wrote = {
            let mut session = self.session.borrow_mut();
            if session.output.is_empty() {
                Poll::Ready(Ok(()))
            } else {
                match &mut *self.socket.borrow_mut() {
                    Some(socket) => {
                        let wrote = session.output.poll_write(cx, socket, &mut moved);
                        if wrote.is_ready() {
                            session.written();
                        }
                        wrote
                    }
                    None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                }
            }
        };
        if wrote.is_ready() {
            if self.writing.is_armed() {
                self.writing.disarm();
            }
            let leaving = self.leaving.take();
            drop(leaving);
            return wrote;
        }
        if moved || !self.writing.is_armed() {
            self.writing.arm_or_disarm(self.limits.response_write);
        }
        ready!(self.writing.poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Not all is written.
    pub fn is_writing(&self) -> bool {
        !self.session.borrow().output.is_empty()
    }

    /// Closes our half.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.socket.borrow_mut() {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
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

    /// Nothing is under way: all that has to be kept of it.
    pub fn park(&self, until: Due, is_fresh: bool) -> Option<Visit> {
        let socket = self.socket.take()?;
        let (announced, greeted) = (self.announced.clone(), self.greeted.clone());
        let (peer, newest, counts) = (self.peer, self.newest, Arc::clone(&self.counts));
        let arrival = Arrival { line: Line::Known(socket), peer, announced, greeted, newest, counts };
        let http2 = Some(Box::new(self.session.borrow_mut().remains()));
        Some(Visit { arrival, limits: Rc::clone(&self.limits), until, is_fresh, http2 })
    }

    /// The connection has ended.
    pub fn end(&self) {
        self.session.borrow_mut().end();
        drop(self.leaving.take());
        drop(self.socket.take());
    }
}
