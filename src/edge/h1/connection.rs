//! One connection: one request after the other, and the answer to each.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_http::body::MessageBody;
use tokio::task::yield_now;

use super::{
    head::{Head, HeadReader},
    response::{self, Asked, More, Outgoing},
    unseen,
    wire::Wire,
};
use crate::{
    clock::{Deadline, Due},
    edge::{
        answer::Answer,
        answers::{Answers, Call},
        drain::{Draining, LAST_CALL},
        h1,
        parking::PARK_AFTER,
        payload::Payload,
    },
    exchange::{Client, Exchange, RequestId},
    http::{
        self, Downstream, Error, HeaderMap, HeaderValue, Method, StatusCode, Takeover, Version, body::Length,
        error_page, header, scratch,
    },
    prefetch,
    telemetry::refusals,
};

/// Small pieces of a body are gathered up to this before they are written.
const GATHER: usize = 16 * 1024;

const UNEXPECTED_HEADER: Error = Error::Malformed { what: "a PROXY header from whom none is expected" };

/// A connection that speaks HTTP.
pub struct Connection {
    wire: Rc<Wire>,
    pub draining: Draining,
    reader: HeadReader,
    /// Nothing was asked on it yet.
    is_fresh: bool,
    /// The server stops, and time for a request that is on its way was given.
    is_last_call: bool,
    /// What is waited for is the time to park it; the rest of what it has comes after that.
    parks: bool,
    /// It was parked and has asked nothing since. It is parked again, under the deadline that it has, if that goes on.
    naps: Option<Deadline>,
}

/// How a connection ends.
pub enum Last {
    /// Nothing more to say.
    Close,
    /// Nothing has come for a while. It is over if nothing comes until then.
    Park(Due),
    /// The client may still be sending, and is to read our answer first.
    Linger,
    /// The client must see that something is missing.
    Cut,
    /// It speaks another protocol from here on.
    Switch(Takeover),
    /// It has spoken HTTP/2 from its start.
    Http2,
}

/// What comes next.
enum Next {
    Head(Head),
    /// Nothing any more.
    End,
    /// Nothing for a while. It is over if nothing comes until then.
    Rest(Due),
}

/// What an exchange leaves behind.
enum After {
    Next,
    End(Last),
}

impl Connection {
    /// One on which nothing is under way.
    pub fn new(wire: Rc<Wire>, is_fresh: bool, draining: Draining) -> Self {
        let naps = wire.reading.is_armed().then(Deadline::new);
        if let Some(naps) = &naps {
            naps.arm(PARK_AFTER);
        }
        Self { wire, draining, reader: HeadReader::default(), is_fresh, is_last_call: false, parks: false, naps }
    }

    /// Nothing was asked on it yet.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// One request after the other. What remains to be done with the connection is told.
    pub async fn converse<A: Answers>(&mut self, app: &A) -> Last {
        loop {
            // In a scope of its own: while it is answered its head is elsewhere, and room for it here would make each connection larger.
            let answered = {
                let head = match self.head().await {
                    Ok(head) => head,
                    Err(last) => return last,
                };
                self.exchange(head, app)
            };
            match answered.await {
                // Who has sent the next one along has had his turn: others have waited for theirs meanwhile.
                After::Next if !self.wire.input.borrow().is_empty() => yield_now().await,
                After::Next => {}
                After::End(last) => return last,
            }
        }
    }

    /// The next head that may be answered.
    ///
    /// # Errors
    /// How the connection ends instead. Whoever is to know why has been told.
    async fn head(&mut self) -> Result<Head, Last> {
        let head = match poll_fn(|cx| self.poll_head(cx)).await {
            Ok(Next::Head(head)) => head,
            Ok(Next::End) => return Err(Last::Close),
            Ok(Next::Rest(until)) => return Err(Last::Park(until)),
            Err(Error::Version) if self.is_fresh && self.wire.begins_http2() => return Err(Last::Http2),
            Err(error) => {
                let error = if self.wire.begins_proxy_header() { UNEXPECTED_HEADER } else { error };
                let unseen = unseen::unread(&self.wire.input.borrow(), &self.wire.limits, self.client());
                return Err(Box::pin(self.turn_back(error, unseen)).await);
            }
        };
        self.is_fresh = false;
        let error = match (&self.wire.greeted, head.length, self.wire.limits.max_body) {
            (Some(greeted), ..) if greeted.is_misdirected(&head) => Error::Misdirected,
            (_, Length::Exact(length), Some(limit)) if length > limit => Error::BodyTooLarge { limit },
            _ => return Ok(head),
        };
        let unseen = unseen::read(head, self.client());
        Err(Box::pin(self.turn_back(error, unseen)).await)
    }

    fn client(&self) -> Client {
        Client::at(self.wire.peer, self.wire.is_tls())
    }

    /// The next head, or what there is instead.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Error>> {
        let wire = &self.wire;
        loop {
            let was_idle = wire.input.borrow().is_empty();
            if !was_idle && let Some(head) = self.reader.read(&mut wire.input.borrow_mut(), &wire.limits)? {
                wire.reading.disarm();
                self.naps = None;
                return Poll::Ready(Ok(Next::Head(head)));
            }
            match wire.poll_read_head(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(Next::End)),
                Poll::Ready(Ok(_)) => {
                    if was_idle && !self.is_fresh {
                        // The head has begun: its time runs from here. If it is here already, this is not armed.
                        wire.reading.disarm();
                    }
                }
                Poll::Pending => break,
            }
        }
        prefetch::when_it_goes_on(&**wire);
        let is_idle = wire.input.borrow().is_empty();
        if is_idle {
            wire.lend_buffers();
        }
        if is_idle && self.draining.poll(cx).is_ready() {
            if !(self.is_fresh || wire.has_unread()) {
                return Poll::Ready(Ok(Next::End));
            }
            if !mem::replace(&mut self.is_last_call, true) {
                let first_head = wire.limits.request_head;
                wire.reading.arm(first_head.map_or(LAST_CALL, |limit| limit.min(LAST_CALL)));
                (self.parks, self.naps) = (false, None);
            }
        }
        let is_between = is_idle && !self.is_fresh;
        let limit = if is_between { wire.limits.keep_alive } else { wire.limits.request_head };
        if !wire.reading.is_armed() {
            self.parks = is_idle && limit.is_none_or(|limit| limit > PARK_AFTER);
            wire.reading.arm_or_disarm(if self.parks { Some(PARK_AFTER) } else { limit });
        }
        if let Some(naps) = self.naps.as_ref().filter(|_| is_idle)
            && naps.poll(cx).is_ready()
            && wire.reading.poll(cx).is_pending()
        {
            return Poll::Ready(Ok(Next::Rest(wire.reading.due())));
        }
        ready!(wire.reading.poll(cx));
        if mem::take(&mut self.parks) {
            let left = limit.map(|limit| limit.saturating_sub(PARK_AFTER));
            if is_idle {
                return Poll::Ready(Ok(Next::Rest(Due::within(left))));
            }
            wire.reading.arm_or_disarm(left);
            ready!(wire.reading.poll(cx));
        }
        Poll::Ready(if is_idle { Ok(Next::End) } else { Err(Error::ClientTimeout { what: "the request head" }) })
    }

    /// Has a request answered, and writes the answer to its end. What it is given is used up before it waits, so that no
    /// room is kept for it meanwhile: the request begins with the call.
    fn exchange<A: Answers>(&mut self, head: Head, app: &A) -> impl Future<Output = After> {
        self.wire.begin(head.version, head.length, head.expects_continue);
        let mut asked = Asked { method: head.method.clone(), version: head.version, keeps_alive: head.keeps_alive };
        let call = app.answer(self.call(head));
        async move {
            let answer = {
                let mut call = pin!(call);
                poll_fn(|cx| {
                    self.wire.note_task(cx);
                    if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                        return Poll::Ready(Some(answer));
                    }
                    self.poll_meanwhile(cx).map(|()| None)
                })
                .await
            };
            // The client has left, and whatever was done for it was dropped with the call.
            let Some(answer) = answer else { return After::End(Last::Close) };
            let status = answer.head.status;
            if status == StatusCode::SWITCHING_PROTOCOLS {
                return Box::pin(self.switch(answer, asked)).await;
            }
            if status.is_informational() {
                let error = Error::Internal { what: "an interim status is no answer" };
                return After::End(Box::pin(self.refuse(error, &asked.method)).await);
            }
            self.answer(answer, &mut asked).await
        }
    }

    fn call(&self, head: Head) -> Call {
        let has_body = !matches!(head.length, Length::None | Length::Exact(0));
        let payload = has_body.then(|| Payload::Http1(h1::Payload::of(&self.wire)));
        Call { head, payload, peer: self.wire.peer, downstream: Rc::clone(&self.wire) as _ }
    }

    /// While the App is at work: interim responses go out, and a client that leaves ends it. Ready when it has left.
    fn poll_meanwhile(&self, cx: &mut Context<'_>) -> Poll<()> {
        prefetch::when_it_goes_on(&*self.wire);
        if !self.wire.output.borrow().is_empty()
            && let Poll::Ready(Err(_)) = self.wire.poll_write(cx)
        {
            return Poll::Ready(());
        }
        self.wire.poll_gone(cx)
    }

    /// Writes the answer to its end, or as far as it goes. What it is given is used up before it waits, so that no room is
    /// kept for it meanwhile: with the call interim responses end, and the head is in line.
    fn answer(&mut self, answer: Answer, asked: &mut Asked) -> impl Future<Output = After> {
        let Answer { head, body, takeover: _ } = answer;
        self.wire.end_interim();
        self.wire.skip_rest_of_body();
        if self.draining.has_begun() || self.wire.is_body_lost() {
            asked.keeps_alive = false;
        }
        let ending = {
            let mut output = self.wire.output.borrow_mut();
            let size = self.wire.shortcut.ask(|| body.size());
            response::write_head(&head, size, asked, &mut output.lines)
        };
        if let response::Ending::Length(length) = ending {
            self.wire.open_shortcut(length);
        }
        scratch::give_back(head.headers);
        let ends_with_connection = ending == response::Ending::Close;
        let mut outgoing = Outgoing { body, ending, is_last: !asked.keeps_alive };
        async move {
            let mut asks = true;
            let written = poll_fn(|cx| self.poll_answer(cx, &mut outgoing, &mut asks)).await;
            // The body goes now: it may hold what the next request needs.
            drop(outgoing);
            self.wire.shortcut.shut();
            match written {
                Written::Gone => After::End(Last::Close),
                // Where the end of the connection is the end of the body, only a reset tells that something is missing.
                Written::Broken if ends_with_connection => After::End(Last::Cut),
                Written::Broken => After::End(Last::Close),
                Written::Whole => self.after(asked).await,
            }
        }
    }

    async fn after(&self, asked: &Asked) -> After {
        let wire = &self.wire;
        let is_complete = poll_fn(|cx| wire.poll_rest_of_body(cx)).await;
        match (asked.keeps_alive, is_complete) {
            (true, true) => After::Next,
            (false, true) if wire.is_read_out() => After::End(Last::Close),
            _ => After::End(Last::Linger),
        }
    }

    fn poll_answer(&self, cx: &mut Context<'_>, outgoing: &mut Outgoing, asks: &mut bool) -> Poll<Written> {
        self.wire.note_task(cx);
        let mut broken = false;
        loop {
            // What is there already goes out in one write with what goes before it.
            while *asks && !broken {
                let mut output = self.wire.output.borrow_mut();
                if output.is_closed() || output.waiting() >= GATHER || self.wire.shortcut.has_piece() {
                    break;
                }
                match outgoing.poll_more(cx, &mut output, &self.wire) {
                    Poll::Ready(More::Bytes) => {}
                    Poll::Ready(More::End) => *asks = false,
                    Poll::Ready(More::Broken) => broken = true,
                    Poll::Pending => break,
                }
            }
            if self.wire.is_written() {
                return match (broken, *asks) {
                    (true, _) => Poll::Ready(Written::Broken),
                    (false, false) => Poll::Ready(Written::Whole),
                    (false, true) => self.wire.poll_gone(cx).map(|()| Written::Gone),
                };
            }
            let is_last = outgoing.is_last && (!*asks || outgoing.is_whole()) && self.wire.may_be_last();
            let wrote = if is_last { self.wire.poll_write_last(cx) } else { self.wire.poll_write(cx) };
            if ready!(wrote).is_err() {
                return Poll::Ready(Written::Gone);
            }
        }
    }

    /// `101`: the head goes out, and the socket with it.
    async fn switch(&mut self, answer: Answer, mut asked: Asked) -> After {
        self.wire.end_interim();
        // The other protocol begins behind the whole request.
        let is_complete = poll_fn(|cx| self.wire.poll_rest_of_body(cx)).await;
        let size = answer.size();
        let takeover = match answer.takeover {
            Some(takeover) if is_complete => takeover,
            _ => {
                let what = if is_complete { "nobody speaks the protocol" } else { "the request has not ended" };
                return After::End(Box::pin(self.refuse(Error::Upgrade { what }, &asked.method)).await);
            }
        };
        let mut output = self.wire.output.take();
        response::write_head(&answer.head, size, &mut asked, &mut output.lines);
        self.wire.output.replace(output);
        match poll_fn(|cx| self.wire.poll_write(cx)).await {
            Ok(()) => After::End(Last::Switch(takeover)),
            Err(_) => After::End(Last::Close),
        }
    }

    /// Answers a request that no App sees, and tells of it in the App's stead.
    async fn turn_back(&mut self, error: Error, exchange: Box<Exchange>) -> Last {
        let method = exchange.method.clone();
        let (refusal, tail) = unseen::turn_back(error, exchange, &self.wire.limits);
        let last = self.say(refusal, method).await;
        drop(tail);
        last
    }

    /// Says that nothing came of a request which an App has seen.
    async fn refuse(&mut self, error: Error, method: &Method) -> Last {
        let id = RequestId::generate();
        refusals::tell(None, &id, method, &error);
        let refusal = error_page::respond(error, &HeaderMap::new(), id.as_str(), &self.wire.limits.style);
        self.say(refusal, method.clone()).await
    }

    /// Nothing that follows a request that was refused can be told from a part of it.
    async fn say(&mut self, refusal: http::Response, method: Method) -> Last {
        let mut answer = Answer::of_refusal(refusal);
        answer.head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let mut asked = Asked { method, version: Version::HTTP_11, keeps_alive: false };
        match self.answer(answer, &mut asked).await {
            After::End(Last::Cut) => Last::Cut,
            _ => Last::Linger,
        }
    }
}

/// How far an answer came.
enum Written {
    Whole,
    /// Its body broke off.
    Broken,
    /// The client has left, or does not read.
    Gone,
}
