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

use tokio::task::yield_now;

use super::{
    bell::Bells,
    session::{Amid, Event, Opened, Session},
    stream,
    under_way::UnderWay,
    wire::Wire,
};
use crate::{
    clock::{Deadline, Due},
    edge::{
        answers::Answers,
        drain::{Draining, LAST_CALL},
        h1::{LINGER, Visit},
        parking::PARK_AFTER,
    },
    http::h2::frames::code,
};

/// How long a client may take to say that it is there, at most.
const PONG: Duration = Duration::from_secs(10);
/// How often, in one turn, it is looked for what came of what was done.
const ROUNDS: u32 = 8;
/// How many requests are taken in before other connections have their turn. What comes of them goes out with what comes of the rest.
const AT_ONCE: usize = 4;
/// How often is read before those who take what came have their turn.
const READS: u32 = 4;

/// Those who have the wire while nothing is under way: the connection, and who has begun it.
const HOLDERS: usize = 2;

/// A connection that speaks HTTP/2.
pub struct Connection {
    bells: Bells,
    wire: Rc<Wire>,
    draining: Draining,
    deadline: Deadline,
    waits_for: Option<Wait>,
    /// Nothing was asked on it yet.
    is_fresh: bool,
    is_draining: bool,
    /// The client was asked whether it is there, and nothing was heard of it since.
    is_pinged: bool,
    /// For a client that does not say whether it has read that we stop.
    last_word: Option<Deadline>,
    /// The last word was said.
    is_leaving: bool,
    /// Nothing is read while what was written is not taken.
    is_deaf: bool,
    /// What the deadline is for comes later: first it is that for parking.
    parks: bool,
    /// When to park again what was parked: the deadline goes on.
    naps: Option<Deadline>,
}

/// How far a connection is.
pub struct Begun {
    /// When it is over if nothing is asked until then, if that runs already.
    until: Option<Deadline>,
    is_fresh: bool,
}

/// How a connection ends.
pub enum Last {
    /// There is nobody any more.
    Close,
    /// The client may still be sending, and is to read why it ends.
    Linger,
    /// Nothing has come for a while.
    Park {
        /// When it is over if nothing is asked until then.
        until: Due,
        /// Nothing was asked on it yet.
        is_fresh: bool,
    },
}

impl Begun {
    /// As the connection was left, or has come in.
    pub fn of(visit: &Visit) -> Self {
        Self { until: visit.http2.as_ref().map(|_| visit.until.deadline()), is_fresh: visit.is_fresh }
    }
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
    pub fn new(wire: Rc<Wire>, begun: Begun, draining: Draining) -> Self {
        let Begun { until, is_fresh } = begun;
        let waits_for = until.is_some().then_some(if is_fresh { Wait::First } else { Wait::Another });
        let naps = until.is_some().then(Deadline::new);
        if let Some(naps) = &naps {
            naps.arm(PARK_AFTER);
        }
        Self {
            bells: Bells::of(wire.limits.http2.max_streams as usize),
            wire,
            draining,
            deadline: until.unwrap_or_default(),
            waits_for,
            is_fresh,
            is_draining: false,
            is_pinged: false,
            last_word: None,
            is_leaving: false,
            is_deaf: false,
            parks: false,
            naps,
        }
    }

    /// Answers what is asked, until the connection ends. Whatever is under way then is dropped.
    pub async fn converse<A: Answers>(mut self, app: Rc<A>) -> Last {
        let mut under_way = UnderWay::new();
        let serve = |wire: &Rc<Wire>, opened: Opened| stream::serve(Rc::clone(&app), wire, opened);
        let mut turn = |cx: &mut Context<'_>| {
            self.bells.hear();
            self.wire.hear(cx);
            let halt = self.poll_turn(cx, &mut under_way, &serve);
            self.wire.rest();
            if halt.is_pending() {
                self.bells.rest(cx.waker());
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
        under_way: &mut UnderWay<F>,
        serve: &impl Fn(&Rc<Wire>, Opened) -> F,
    ) -> Poll<Halt> {
        for _ in 0..ROUNDS {
            let halt = match self.bells.take_socket() && !self.is_leaving {
                true => self.poll_frames(under_way, serve),
                false => Poll::Pending,
            };
            if matches!(halt, Poll::Ready(Halt::Last(_))) {
                return halt;
            }
            under_way.poll(&mut self.bells, &self.wire);
            if halt.is_ready() {
                return halt;
            }
            if self.bells.are_rung() {
                continue;
            }
            if self.flush().is_err() {
                return Poll::Ready(Halt::Last(Last::Close));
            }
            // Somebody may have waited for that.
            if self.bells.are_rung() {
                continue;
            }
            if self.is_leaving && !self.wire.is_writing() {
                return Poll::Ready(Halt::Last(Last::Linger));
            }
            if under_way.count() == 0 {
                self.give_back(under_way);
            }
            let open = under_way.count() + usize::from(self.wire.is_writing());
            if let ControlFlow::Break(last) = ready!(self.poll_rest(cx, open)) {
                return Poll::Ready(Halt::Last(last));
            }
            if self.is_leaving {
                under_way.clear();
            }
        }
        if self.flush().is_err() {
            return Poll::Ready(Halt::Last(Last::Close));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes in what has come, and reads more.
    fn poll_frames<F: Future<Output = ()>>(
        &mut self,
        under_way: &mut UnderWay<F>,
        serve: &impl Fn(&Rc<Wire>, Opened) -> F,
    ) -> Poll<Halt> {
        let mut begun = 0;
        for _ in 0..READS {
            loop {
                let step = self.wire.step();
                if matches!(step, Ok(Some(_))) && self.waits_for == Some(Wait::Block) && !self.wire.is_amid_block() {
                    // Another one that begins has time of its own.
                    self.waits_for = None;
                }
                match step {
                    Ok(None) => break,
                    Ok(Some(Event::Nothing)) => {}
                    Ok(Some(Event::Over(place))) => under_way.end(place, &self.wire),
                    Ok(Some(Event::Request(opened))) => {
                        self.is_fresh = false;
                        // It may be answered before this is looked at again.
                        self.waits_for = None;
                        let place = opened.place;
                        under_way.begin(place, serve(&self.wire, opened), &self.bells);
                        begun += 1;
                    }
                    Err(verdict) => {
                        log::debug!("a connection of HTTP/2 ends: the client sent {verdict}");
                        under_way.clear();
                        self.leave(verdict.code);
                        return Poll::Pending;
                    }
                }
                if begun >= AT_ONCE && self.wire.has_input() {
                    self.bells.ring_socket();
                    return Poll::Ready(Halt::Others);
                }
            }
            self.is_deaf = !self.wire.may_read();
            if self.is_deaf {
                return Poll::Pending;
            }
            match ready!(self.wire.poll_read(&mut Context::from_waker(self.bells.socket()))) {
                Ok(1..) => {}
                Ok(0) => {
                    // It may only have closed its half.
                    let _ = self.flush();
                    return Poll::Ready(Halt::Last(Last::Close));
                }
                Err(error) => return Poll::Ready(Halt::Last(closed(&error))),
            }
        }
        self.bells.ring_socket();
        Poll::Pending
    }

    /// Sends what was written.
    fn flush(&mut self) -> io::Result<()> {
        match self.wire.poll_flush(&mut Context::from_waker(self.bells.socket())) {
            Poll::Ready(Ok(())) => {
                if mem::take(&mut self.is_deaf) {
                    self.bells.ring_socket();
                }
                Ok(())
            }
            Poll::Ready(Err(error)) => {
                closed(&error);
                Err(error)
            }
            Poll::Pending => Ok(()),
        }
    }

    /// Nothing is under way, and it may be long until something is.
    fn give_back<F: Future<Output = ()>>(&mut self, under_way: &mut UnderWay<F>) {
        under_way.shrink();
        self.bells.shrink();
        self.wire.session(Session::rest);
    }

    /// What else there is to do. Ready once something was said that is to be written, or the connection ends here.
    fn poll_rest(&mut self, cx: &mut Context<'_>, open: usize) -> Poll<ControlFlow<Last>> {
        if !self.is_leaving && self.drains(cx, open) {
            return Poll::Ready(ControlFlow::Continue(()));
        }
        let heard = self.wire.take_heard();
        self.is_pinged &= !heard;
        let wait = self.wait(open);
        if self.waits_for != Some(wait) || (heard && matches!(wait, Wait::Frame | Wait::Word)) {
            self.waits_for = Some(wait);
            self.arm(wait);
        }
        if let Poll::Ready(until) = self.poll_park(cx, wait) {
            return Poll::Ready(ControlFlow::Break(Last::Park { until, is_fresh: self.is_fresh }));
        }
        ready!(self.deadline.poll(cx));
        match wait {
            Wait::First | Wait::Another | Wait::LastCall => self.leave(code::NO_ERROR),
            Wait::Block | Wait::Frame => self.leave(code::ENHANCE_YOUR_CALM),
            Wait::Word => self.ask(),
            Wait::Pong | Wait::End => return Poll::Ready(ControlFlow::Break(Last::Close)),
        }
        Poll::Ready(ControlFlow::Continue(()))
    }

    /// A wait begins. Where it may be a long one, the connection is to be parked first.
    fn arm(&mut self, wait: Wait) {
        let limit = self.limit(wait);
        let is_between = matches!(wait, Wait::First | Wait::Another);
        self.parks = is_between && limit.is_none_or(|limit| limit > PARK_AFTER);
        self.naps = None;
        self.deadline.arm_or_disarm(if self.parks { Some(PARK_AFTER) } else { limit });
    }

    /// Ready when it is time to park, and nobody else has to do with the connection; with when it is over if nothing comes.
    fn poll_park(&mut self, cx: &mut Context<'_>, wait: Wait) -> Poll<Due> {
        match &self.naps {
            Some(naps) => ready!(naps.poll(cx)),
            None if self.parks => ready!(self.deadline.poll(cx)),
            None => return Poll::Pending,
        }
        self.naps = None;
        let until = match mem::take(&mut self.parks) {
            true => Due::within(self.limit(wait).map(|limit| limit.saturating_sub(PARK_AFTER))),
            false => self.deadline.due(),
        };
        // Who keeps a request may give something back to the connection's window yet.
        let is_alone = Rc::strong_count(&self.wire) == HOLDERS;
        if is_alone && !self.wire.has_input() {
            return Poll::Ready(until);
        }
        self.deadline.arm_at(until);
        Poll::Pending
    }

    /// The server stops: what is under way is finished, and nothing is begun (RFC 9113, 6.8).
    fn drains(&mut self, cx: &mut Context<'_>, open: usize) -> bool {
        if self.draining.poll(cx).is_pending() {
            return false;
        }
        let has_just_begun = !mem::replace(&mut self.is_draining, true);
        if has_just_begun {
            let limit = self.limit(Wait::Pong).unwrap_or(PONG);
            self.last_word.insert(Deadline::new()).arm(limit);
        }
        if open == 0 {
            let may_ask = self.is_fresh || self.wire.has_unread();
            if !may_ask {
                self.leave(code::NO_ERROR);
            }
            return !may_ask;
        }
        if has_just_begun {
            self.wire.session(Session::drain);
        } else if self.last_word.as_ref().is_some_and(|limit| limit.poll(cx).is_ready()) {
            self.last_word = None;
            self.wire.session(|session| session.leave(code::NO_ERROR));
            return true;
        }
        has_just_begun
    }

    fn wait(&self, open: usize) -> Wait {
        let amid = self.wire.amid();
        match () {
            () if self.is_leaving => Wait::End,
            () if amid == Amid::Block => Wait::Block,
            () if open == 0 && self.is_draining => Wait::LastCall,
            () if open == 0 && self.is_fresh => Wait::First,
            () if open == 0 => Wait::Another,
            () if amid == Amid::Frame => Wait::Frame,
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
    fn ask(&mut self) {
        self.wire.session(Session::ask);
        self.is_pinged = true;
    }

    /// Says the last word: with it the client knows which of its requests were never looked at.
    fn leave(&mut self, code: u32) {
        self.is_leaving = true;
        self.wire.session(|session| session.leave(code));
    }
}

fn closed(error: &io::Error) -> Last {
    log::debug!("a connection of HTTP/2 has ended: {error}");
    Last::Close
}
