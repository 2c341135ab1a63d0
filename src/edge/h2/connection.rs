//! One connection: requests come in, each is a stream of its own, and the connection goes on until it is idle, drained,
//! or too much.

use std::{
    future::poll_fn,
    io, mem,
    ops::ControlFlow,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use h2::{Ping, PingPong, Reason, RecvStream, server};
use tokio::task::yield_now;

use super::{
    bell::Bell,
    stream,
    wire::{Io, Wire},
};
use crate::{
    clock::Deadline,
    edge::{
        drain::{Draining, LAST_CALL},
        h1::{Answers, LINGER},
    },
};

/// How long a client may take to say that it is there, at most.
const PONG: Duration = Duration::from_secs(10);
/// How often, in one turn, it is looked for what came of what was done.
const ROUNDS: u32 = 8;
/// How many requests are taken in before other connections have their turn. What comes of them goes out with what comes of the rest.
const AT_ONCE: usize = 4;

/// A request, and whoever answers it.
type Came = (::http::Request<RecvStream>, server::SendResponse<Bytes>);

/// A connection that speaks HTTP/2.
pub struct Connection {
    h2: server::Connection<Io, Bytes>,
    /// Rung when the h2 crate has something to do: what came is to be read, or what a stream has queued written.
    frames: Bell,
    /// Rung when a stream can go on.
    answers: Bell,
    pings: Option<PingPong>,
    wire: Rc<Wire>,
    draining: Draining,
    deadline: Deadline,
    waits_for: Option<Wait>,
    /// Nothing was asked on it yet.
    is_fresh: bool,
    is_draining: bool,
    /// The client was asked whether it is there, and nothing was heard of it since.
    is_pinged: bool,
    /// It was asked, and has not answered that.
    owes_pong: bool,
    /// The last word was said.
    is_leaving: bool,
}

/// How a connection ends.
pub enum Last {
    /// There is nobody any more.
    Close,
    /// The client may still be sending, and is to read why it ends.
    Linger,
}

/// Why a turn ends before all is done that can be.
enum Halt {
    /// Other connections have waited.
    Others,
    /// The connection ends.
    Last(Last),
}

/// What the deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The first request.
    First,
    /// Another request.
    Another,
    /// A request, though the server stops.
    LastCall,
    /// The rest of a header block, which nothing else can come in between.
    Block,
    /// The rest of another frame.
    Frame,
    /// A word, while something is under way.
    Word,
    /// An answer to whether the client is there.
    Pong,
    /// The end, once all is said.
    End,
}

impl Connection {
    pub fn new(mut h2: server::Connection<Io, Bytes>, wire: Rc<Wire>, draining: Draining) -> Self {
        Self {
            pings: h2.ping_pong(),
            h2,
            frames: Bell::rung(),
            answers: Bell::rung(),
            wire,
            draining,
            deadline: Deadline::new(),
            waits_for: None,
            is_fresh: true,
            is_draining: false,
            is_pinged: false,
            owes_pong: false,
            is_leaving: false,
        }
    }

    /// Answers what is asked, until the connection ends. Whatever is under way then is dropped.
    pub async fn converse<A: Answers>(mut self, app: Rc<A>) -> Last {
        let mut streams = FuturesUnordered::new();
        let serve = |connection: &Self, (request, respond): Came| {
            let (app, wire) = (Rc::clone(&app), Rc::clone(&connection.wire));
            stream::serve(app, wire, request, respond, connection.draining.another())
        };
        let mut turn = |cx: &mut Context<'_>| {
            self.frames.hear();
            self.answers.hear();
            let halt = self.poll_turn(cx, &mut streams, &serve);
            if self.wire.end_turn() {
                self.frames.ring();
            }
            if halt.is_pending() {
                self.frames.rest(cx.waker());
                self.answers.rest(cx.waker());
            }
            halt
        };
        loop {
            match poll_fn(&mut turn).await {
                Halt::Others => yield_now().await,
                Halt::Last(last) => return last,
            }
        }
    }

    /// One turn of the task: all that can be done is done, and what came of it goes out together.
    fn poll_turn<F: Future<Output = ()>>(
        &mut self,
        cx: &mut Context<'_>,
        streams: &mut FuturesUnordered<F>,
        serve: &impl Fn(&Self, Came) -> F,
    ) -> Poll<Halt> {
        for _ in 0..ROUNDS {
            let halt = match self.frames.take() {
                true => self.poll_frames(|connection, came| streams.push(serve(connection, came))),
                false => Poll::Pending,
            };
            if matches!(halt, Poll::Ready(Halt::Last(_))) {
                return halt;
            }
            if self.answers.take() {
                let mut cx = Context::from_waker(self.answers.waker());
                while let Poll::Ready(Some(())) = streams.poll_next_unpin(&mut cx) {}
            }
            if halt.is_ready() {
                return halt;
            }
            if self.is_rung() {
                continue;
            }
            if self.flush().is_err() {
                return Poll::Ready(Halt::Last(Last::Close));
            }
            // Somebody may have waited for that.
            if self.is_rung() {
                continue;
            }
            if ready!(self.poll_rest(cx, streams.len())).is_break() {
                return Poll::Ready(Halt::Last(Last::Close));
            }
            // What was decided there may have to be said.
            self.frames.ring();
        }
        if self.flush().is_err() {
            return Poll::Ready(Halt::Last(Last::Close));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Connection {
    /// Takes requests in, and writes what the streams have queued.
    fn poll_frames(&mut self, mut begin: impl FnMut(&Self, Came)) -> Poll<Halt> {
        for _ in 0..AT_ONCE {
            let next = self.h2.poll_accept(&mut Context::from_waker(self.frames.waker()));
            match ready!(next) {
                Some(Ok(came)) => {
                    self.is_fresh = false;
                    self.answers.ring();
                    begin(self, came);
                }
                Some(Err(error)) => return Poll::Ready(Halt::Last(ended(&error))),
                None => return Poll::Ready(Halt::Last(Last::Linger)),
            }
        }
        self.frames.ring();
        Poll::Ready(Halt::Others)
    }

    /// Sends what was written.
    fn flush(&self) -> io::Result<()> {
        match self.wire.poll_flush(&mut Context::from_waker(self.frames.waker())) {
            Poll::Ready(Err(error)) => {
                log::debug!("a connection of HTTP/2 has ended: {error}");
                Err(error)
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn is_rung(&self) -> bool {
        self.frames.is_rung() || self.answers.is_rung()
    }

    /// What else there is to do. Ready once something was said that is to be written, or there is nobody to say it to.
    fn poll_rest(&mut self, cx: &mut Context<'_>, open: usize) -> Poll<ControlFlow<()>> {
        if !self.is_leaving {
            if let Some((reason, what)) = self.wire.verdict() {
                log::debug!("a connection of HTTP/2 ends: the client sent {what}");
                return Poll::Ready(self.leave(reason));
            }
            if self.drains(cx, open) {
                return Poll::Ready(ControlFlow::Continue(()));
            }
        }
        let heard = self.wire.take_heard();
        self.is_pinged &= !heard;
        if let (true, Some(pings)) = (self.owes_pong, &mut self.pings) {
            self.owes_pong = pings.poll_pong(cx).is_pending();
        }
        let wait = self.wait(open);
        if self.waits_for != Some(wait) || (heard && matches!(wait, Wait::Frame | Wait::Word)) {
            self.waits_for = Some(wait);
            self.deadline.arm_or_disarm(self.limit(wait));
        }
        ready!(self.deadline.poll(cx));
        Poll::Ready(match wait {
            Wait::First | Wait::Another | Wait::LastCall => self.leave(Reason::NO_ERROR),
            Wait::Block | Wait::Frame => self.leave(Reason::ENHANCE_YOUR_CALM),
            Wait::Word => self.ask(),
            Wait::Pong | Wait::End => ControlFlow::Break(()),
        })
    }

    /// The server stops: what is under way is finished, and nothing is begun (RFC 9113, 6.8).
    fn drains(&mut self, cx: &mut Context<'_>, open: usize) -> bool {
        if self.draining.poll(cx).is_pending() {
            return false;
        }
        let has_just_begun = !mem::replace(&mut self.is_draining, true);
        if open == 0 {
            let may_ask = self.is_fresh || self.wire.has_unread();
            return !may_ask && self.leave(Reason::NO_ERROR).is_continue();
        }
        if has_just_begun {
            self.h2.graceful_shutdown();
        }
        has_just_begun
    }

    fn wait(&self, open: usize) -> Wait {
        match () {
            () if self.is_leaving => Wait::End,
            () if self.wire.is_in_block() => Wait::Block,
            () if open == 0 && self.is_draining => Wait::LastCall,
            () if open == 0 && self.is_fresh => Wait::First,
            () if open == 0 => Wait::Another,
            () if self.wire.is_in_frame() => Wait::Frame,
            () if self.is_pinged => Wait::Pong,
            () => Wait::Word,
        }
    }

    fn limit(&self, wait: Wait) -> Option<Duration> {
        let limits = &self.wire.limits;
        match wait {
            Wait::First | Wait::Block => limits.request_head,
            Wait::Another => limits.keep_alive,
            Wait::LastCall => Some(limits.request_head.map_or(LAST_CALL, |limit| limit.min(LAST_CALL))),
            // First whoever reads the body is to say what it thinks of that.
            Wait::Frame => limits.request_body.map(|limit| limit.saturating_mul(2)),
            Wait::Word => limits.http2.ping.0,
            Wait::Pong => limits.http2.ping.0.map(|limit| limit.min(PONG)),
            Wait::End => Some(LINGER),
        }
    }

    /// Asks whether the client is there.
    fn ask(&mut self) -> ControlFlow<()> {
        if let (false, Some(pings)) = (self.owes_pong, &mut self.pings) {
            self.owes_pong = pings.send_ping(Ping::opaque()).is_ok();
        }
        self.is_pinged = true;
        ControlFlow::Continue(())
    }

    /// Says the last word: with it the client knows which of its requests were never looked at.
    fn leave(&mut self, reason: Reason) -> ControlFlow<()> {
        self.is_leaving = true;
        self.h2.abrupt_shutdown(reason);
        ControlFlow::Continue(())
    }
}

fn ended(error: &h2::Error) -> Last {
    log::debug!("a connection of HTTP/2 has ended: {error}");
    if error.is_io() { Last::Close } else { Last::Linger }
}
