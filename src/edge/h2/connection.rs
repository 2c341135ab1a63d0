//! One connection: requests come in, each is a stream of its own, and the connection goes on until it is idle, drained,
//! or too much.

use std::{
    future::poll_fn,
    mem,
    ops::ControlFlow,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use h2::{Ping, PingPong, Reason, server};

use super::{
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

/// A connection that speaks HTTP/2.
pub struct Connection {
    h2: server::Connection<Io, Bytes>,
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
        poll_fn(|cx| {
            loop {
                let mut is_first = true;
                loop {
                    // It writes, too: what the streams have queued goes out together.
                    let before = streams.len();
                    while let Poll::Ready(next) = self.h2.poll_accept(cx) {
                        match next {
                            Some(Ok((request, respond))) => {
                                self.is_fresh = false;
                                let draining = self.draining.another();
                                let (app, wire) = (Rc::clone(&app), Rc::clone(&self.wire));
                                streams.push(stream::serve(app, wire, request, respond, draining));
                            }
                            Some(Err(error)) => return Poll::Ready(ended(&error)),
                            None => return Poll::Ready(Last::Linger),
                        }
                    }
                    if !is_first && streams.len() == before {
                        break;
                    }
                    is_first = false;
                    while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {}
                }
                // What is decided here may have to be said.
                if ready!(self.poll_rest(cx, streams.len())).is_break() {
                    return Poll::Ready(Last::Close);
                }
            }
        })
        .await
    }
}

impl Connection {
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
