//! One connection: those who send requests hold a [`Link`], and a task of its own drives it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, RecvStream, SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    shelf::Shelf,
    wire::{Io, Verdict, Wire},
};
use crate::{
    clock::{self, Deadline},
    http::h2::backlog,
    settings::upstream::EndpointHttp2,
    transport::{
        Cause,
        dial::Stream,
        h1::head::{MAX_FIELDS, MAX_HEAD},
        pool::Limits,
    },
};

/// Bytes of one answer's content that may be on their way before its client takes them.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The largest window there is (RFC 9113, 6.9.1).
const MOST_WINDOW: u32 = (1 << 31) - 1;
/// Bytes of one request's content that wait in memory for the endpoint to take them.
const MOST_UNSENT: usize = 64 * 1024;
/// What a header list may have beyond our own limit, which is told in words: each field counts 32 more here (RFC 9113,
/// 6.5.2).
const MOST_LIST: u32 = 2 * (MAX_HEAD + 32 * MAX_FIELDS) as u32;
/// Answers whose last word is waited for.
const MOST_ENDING: usize = 16;
/// How long the last words to an endpoint may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection as those have it who send requests on it. When the last of them lets go of it, it is closed.
pub struct Link {
    requests: RefCell<SendRequest<Bytes>>,
    pub wire: Rc<Wire>,
    /// As many requests at once as we allow.
    most: usize,
    pub open: Cell<usize>,
    /// An endpoint has answered on it, or has refused to.
    pub is_proven: Cell<bool>,
    /// It gets no new requests.
    is_retired: Cell<bool>,
    born: Duration,
    pub idle_since: Cell<Duration>,
    /// Answers of which all is there but the word that it is.
    ending: RefCell<VecDeque<RecvStream>>,
}

impl Link {
    /// How many requests it takes at once: as many as both sides allow.
    pub fn most(&self) -> usize {
        self.requests.borrow().current_max_send_streams().min(self.most)
    }

    /// It takes another request now.
    pub fn has_room(&self, limits: &Limits, now: Duration) -> bool {
        let is_stale = self.is_idle() && now.saturating_sub(self.idle_since.get()) >= limits.idle;
        if self.is_retired.get() || is_stale || now.saturating_sub(self.born) >= limits.lifetime {
            return false;
        }
        let ready = self.requests.borrow_mut().poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            // The endpoint has said that it goes, or has gone.
            self.retire();
        }
        matches!(ready, Poll::Ready(Ok(()))) && self.open.get() < self.most()
    }

    /// The endpoint takes WebSockets on it (RFC 8441, 3).
    pub fn takes_websockets(&self) -> bool {
        self.requests.borrow().is_extended_connect_protocol_enabled()
    }

    /// Waits for the end of an answer that nobody reads any further, for all of its content has come: to reset its stream
    /// would look as if somebody had left.
    pub fn see_out(&self, mut frames: RecvStream) {
        if has_ended(&mut frames, &mut Context::from_waker(Waker::noop())) {
            return;
        }
        let mut ending = self.ending.borrow_mut();
        if ending.len() == MOST_ENDING {
            ending.pop_front();
        }
        ending.push_back(frames);
    }

    /// It gets no new requests from now on; those that it has are carried to their ends.
    pub fn retire(&self) {
        self.is_retired.set(true);
    }

    /// Nothing is under way on it.
    pub fn is_idle(&self) -> bool {
        self.open.get() == 0
    }

    /// Nothing is under way on it, and nothing will be.
    pub fn is_over(&self, limits: &Limits, now: Duration) -> bool {
        self.is_idle() && !self.has_room(limits, now)
    }

    /// Begins a request.
    pub fn send(
        &self,
        request: ::http::Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.requests.borrow_mut().send_request(request, ends)
    }
}

/// Nothing more will come. Whatever does come is thrown away.
fn has_ended(frames: &mut RecvStream, cx: &mut Context<'_>) -> bool {
    loop {
        match frames.poll_data(cx) {
            Poll::Ready(Some(Ok(bytes))) => drop(frames.flow_control().release_capacity(bytes.len())),
            Poll::Ready(Some(Err(_))) => return true,
            Poll::Ready(None) => return frames.poll_trailers(cx).is_ready(),
            Poll::Pending => return false,
        }
    }
}

/// Says who we are, and hears the endpoint's settings.
///
/// # Errors
/// It does not speak HTTP/2, or is gone.
pub async fn greet(socket: Stream, limits: &EndpointHttp2) -> Result<(Link, Driver), Cause> {
    let wire = Rc::new(Wire::new(socket));
    // All streams together: a client that does not take its answer holds up nobody else's.
    let window = STREAM_WINDOW.saturating_mul(limits.max_streams).min(MOST_WINDOW);
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .data_frame_budget(backlog::budget(STREAM_WINDOW.into(), window.into()))
        .max_header_list_size(MOST_LIST)
        .max_send_buffer_size(MOST_UNSENT)
        // How much an endpoint may send that is wrong is bounded by time, not once and for all.
        .max_local_error_reset_streams(None);
    let io = Io(Rc::clone(&wire));
    let (requests, mut connection) = builder.handshake(io).await.map_err(|error| wire.why(error))?;
    poll_fn(|cx| match poll_turn(&mut connection, &wire, cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(Cause::Closed)),
        Poll::Ready(Err(cause)) => Poll::Ready(Err(cause)),
        Poll::Pending if wire.has_settings() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let now = clock::coarse();
    let link = Link {
        requests: RefCell::new(requests),
        wire: Rc::clone(&wire),
        most: limits.max_streams as usize,
        open: Cell::new(0),
        is_proven: Cell::new(false),
        is_retired: Cell::new(false),
        born: now,
        idle_since: Cell::new(now),
        ending: RefCell::default(),
    };
    let pings = connection.ping_pong();
    let patience = (limits.ping.0, limits.ping_timeout.0);
    Ok((link, Driver { connection, pings, wire, patience, link: Weak::new(), watch: Watch::default() }))
}

/// What came is read, and what is to be written goes out together.
fn poll_turn(
    connection: &mut client::Connection<Io, Bytes>,
    wire: &Wire,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Cause>> {
    let ended = Pin::new(connection).poll(cx).map_err(|error| wire.why(error));
    match wire.poll_flush(cx) {
        Poll::Ready(Err(error)) if ended.is_pending() => Poll::Ready(Err(Cause::Io(error))),
        _ => ended,
    }
}

/// What reads and writes on a connection.
pub struct Driver {
    connection: client::Connection<Io, Bytes>,
    pings: Option<PingPong>,
    wire: Rc<Wire>,
    /// When to ask whether the endpoint is there, and how long it may take to answer.
    patience: (Option<Duration>, Option<Duration>),
    link: Weak<Link>,
    watch: Watch,
}

/// Whether the endpoint is there.
#[derive(Default)]
struct Watch {
    deadline: Deadline,
    waits_for: Option<Wait>,
    /// The endpoint was asked whether it is there, and nothing was heard of it since.
    is_asked: bool,
    /// It was asked, and has not answered that.
    owes_pong: bool,
}

/// What the deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Nothing is under way.
    Nothing,
    /// A word, while something is.
    Word,
    /// A word, after it was asked for.
    Pong,
    /// The end, once nobody needs the connection any more.
    End,
}

impl Driver {
    /// Drives the connection to its end. Only then it does not count as one any more.
    pub async fn run(mut self, link: Weak<Link>, shelf: Weak<Shelf>, permit: OwnedSemaphorePermit) {
        self.link = link;
        poll_fn(|cx| self.poll(cx)).await;
        let link = std::mem::take(&mut self.link).upgrade();
        // With it whatever is still under way fails.
        drop(self);
        if let (Some(link), Some(shelf)) = (link, shelf.upgrade()) {
            link.retire();
            shelf.forget(&link);
        }
        drop(permit);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Poll::Ready(ended) = poll_turn(&mut self.connection, &self.wire, cx) {
                log::debug!("a connection of HTTP/2 to an endpoint has ended: {ended:?}");
                return Poll::Ready(());
            }
            if let Some(link) = self.link.upgrade() {
                link.ending.borrow_mut().retain_mut(|frames| !has_ended(frames, cx));
            }
            let heard = self.wire.take_heard();
            self.watch.is_asked &= !heard;
            if let (true, Some(pings)) = (self.watch.owes_pong, &mut self.pings) {
                self.watch.owes_pong = pings.poll_pong(cx).is_pending();
            }
            let wait = self.wait();
            if self.watch.waits_for != Some(wait) || (heard && wait == Wait::Word) {
                self.watch.waits_for = Some(wait);
                self.watch.deadline.arm_or_disarm(self.limit(wait));
            }
            ready!(self.watch.deadline.poll(cx));
            match wait {
                Wait::Word => self.ask(),
                Wait::Pong => {
                    self.wire.condemn(Verdict::Silent(self.patience.1.unwrap_or_default()));
                    return Poll::Ready(());
                }
                Wait::Nothing | Wait::End => return Poll::Ready(()),
            }
        }
    }

    fn wait(&self) -> Wait {
        match self.link.upgrade() {
            None => Wait::End,
            Some(link) if link.is_idle() => Wait::Nothing,
            Some(_) if self.watch.is_asked => Wait::Pong,
            Some(_) => Wait::Word,
        }
    }

    fn limit(&self, wait: Wait) -> Option<Duration> {
        match wait {
            Wait::Nothing => None,
            Wait::Word => self.patience.0,
            Wait::Pong => self.patience.1,
            Wait::End => Some(FAREWELL),
        }
    }

    /// Asks whether the endpoint is there.
    fn ask(&mut self) {
        if let (false, Some(pings)) = (self.watch.owes_pong, &mut self.pings) {
            self.watch.owes_pong = pings.send_ping(Ping::opaque()).is_ok();
        }
        self.watch.is_asked = true;
    }
}
