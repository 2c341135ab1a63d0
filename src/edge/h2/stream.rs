//! One request and its answer: a stream of HTTP/2.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_http::body::MessageBody;

use super::{
    body::{Content, Payload},
    head::{self, Asked},
    response::{self, Sending},
    session::{List, Opened, Place},
    tunnel,
    wire::Wire,
};
use crate::{
    edge::{
        answer::Answer,
        answers::{Answers, Call},
        h1::{
            head::Head,
            response::{self as h1_response, Ending},
            unseen,
        },
        payload,
    },
    exchange::{Client, RequestId},
    http::{
        BodyError, ClientCertificate, Downstream, Error, HeaderMap, Method, StatusCode, Takeover, Version,
        body::Length, downstream::Peer, error_page, grpc, scratch,
    },
    prefetch,
    telemetry::{refusals, tail::Tail},
};

/// Bytes of interim responses for one request: an endpoint that sends more of them is not heard.
const MOST_INTERIM: usize = 64 * 1024;

/// One stream as all see it who have to do with it: whoever answers, the handler, and the proxy that sends interim
/// responses.
pub struct Channel {
    pub wire: Rc<Wire>,
    pub place: Place,
    /// Bytes of interim responses that may still be sent.
    interim_left: Cell<usize>,
    head_is_out: Cell<bool>,
    request_trailers: RefCell<Option<HeaderMap>>,
    response_trailers: RefCell<Option<HeaderMap>>,
}

/// Answers a request. Dropped, as it is when the client resets the stream, whatever is done for it is dropped with it.
pub fn serve<A: Answers>(app: Rc<A>, wire: &Rc<Wire>, opened: Opened) -> impl Future<Output = ()> + use<A> {
    let Opened { place, fields, content } = opened;
    let channel = Rc::new(Channel::new(Rc::clone(wire), place));
    let content = content.map(|content| Content::of(content, &channel));
    let asked = head::read(fields, content.is_none(), &wire.limits).and_then(|asked| channel.admit(asked));
    // Before what comes next is looked at.
    if let Ok(Asked { head: Head { length: Length::Exact(length), .. }, .. }) = &asked {
        wire.session(|session| session.expect(place, *length));
    }
    answer(app, channel, asked, content)
}

async fn answer<A: Answers>(
    app: Rc<A>,
    channel: Rc<Channel>,
    asked: Result<Asked, head::Refused>,
    content: Option<Content>,
) {
    let Asked { head, upgrade } = match asked {
        Ok(asked) => asked,
        Err(refused) => {
            // Nobody reads it.
            drop(content);
            return Box::pin(turn_back(&channel, *refused)).await;
        }
    };
    let method = head.method.clone();
    let (call, content) = channel.call(head, content, upgrade.is_some());
    let mut answer = prefetch::with_each_poll(pin!(app.answer(call))).await;
    if !answer.head.status.is_informational() {
        return channel.answer(answer, method).await;
    }
    let what = match (upgrade, content, answer.takeover.take()) {
        _ if answer.head.status != StatusCode::SWITCHING_PROTOCOLS => {
            let error = Error::Internal { what: "an interim status is no answer" };
            return Box::pin(channel.refuse(error, method)).await;
        }
        (Some(upgrade), Some(content), Some(takeover)) if upgrade.is_agreed(&mut answer.head.headers) => {
            return Box::pin(channel.switch(answer, content, takeover)).await;
        }
        (Some(_), _, Some(_)) => "the endpoint has not read what it agrees to",
        (Some(_), _, None) => "nobody speaks the protocol",
        (None, ..) => "nobody asked for it",
    };
    Box::pin(channel.refuse(Error::Upgrade { what }, method)).await;
}

/// Answers a request that no App sees, and tells of it in the App's stead.
async fn turn_back(channel: &Rc<Channel>, (error, head): (Error, Head)) {
    let client = Client::at(channel.wire.peer, channel.wire.is_tls());
    let method = head.method.clone();
    let (refusal, tail): (_, Option<Tail>) = unseen::turn_back(error, unseen::read(head, client), &channel.wire.limits);
    channel.answer(Answer::of_refusal(refusal), method).await;
    drop(tail);
}

impl Channel {
    fn new(wire: Rc<Wire>, place: Place) -> Self {
        Self {
            wire,
            place,
            interim_left: Cell::new(MOST_INTERIM),
            head_is_out: Cell::new(false),
            request_trailers: RefCell::default(),
            response_trailers: RefCell::default(),
        }
    }

    /// What can be refused before anybody is asked.
    fn admit(&self, asked: Asked) -> Result<Asked, head::Refused> {
        let Asked { head, upgrade } = asked;
        if self.wire.greeted.as_ref().is_some_and(|greeted| greeted.is_misdirected(&head)) {
            return Err(Box::new((Error::Misdirected, head)));
        }
        if let (Length::Exact(length), Some(limit)) = (head.length, self.wire.limits.max_body)
            && length > limit
        {
            return Err(Box::new((Error::BodyTooLarge { limit }, head)));
        }
        Ok(Asked { head, upgrade })
    }

    /// The request; what comes behind the head of a WebSocket is kept for later.
    fn call(self: &Rc<Self>, head: Head, content: Option<Content>, upgrades: bool) -> (Call, Option<Content>) {
        let has_body = !matches!(head.length, Length::None | Length::Exact(0));
        let (payload, content) = match content {
            Some(content) if has_body => {
                (Some(payload::Payload::Http2(Payload::of(content, head.expects_continue))), None)
            }
            content => (None, content.filter(|_| upgrades)),
        };
        (Call { head, payload, peer: self.wire.peer, downstream: Rc::clone(self) as _ }, content)
    }

    /// Sends an answer to its end, or as far as it goes.
    async fn answer(&self, answer: Answer, method: Method) {
        let Answer { head, body, takeover: _ } = answer;
        let asked = h1_response::Asked { method, version: Version::HTTP_2, keeps_alive: true };
        let ending = h1_response::ending(head.status, body.size(), &asked);
        let length = h1_response::announced(&head, body.size(), ending, &asked);
        let has_ended = matches!(ending, Ending::None | Ending::Length(0));
        if !poll_fn(|cx| self.poll_turn(false, cx)).await {
            return;
        }
        self.head_is_out.set(true);
        self.send_list(has_ended, |list| response::write_head(&head.headers, head.status, length, list));
        let is_call = grpc::is_called(&head.headers);
        scratch::give_back(head.headers);
        if has_ended {
            return self.wire.ends_when_written(self.place, body);
        }
        let mut sending = Sending::new(body, ending, is_call);
        poll_fn(|cx| sending.poll(cx, self)).await;
        self.wire.ends_when_written(self.place, sending.body);
    }

    /// Says that nothing came of a request which an App has seen.
    async fn refuse(&self, error: Error, method: Method) {
        let id = RequestId::generate();
        refusals::tell(None, &id, &method, &error);
        let refusal = error_page::respond(error, &HeaderMap::new(), id.as_str(), &self.wire.limits.style);
        self.answer(Answer::of_refusal(refusal), method).await;
    }

    /// The endpoint speaks WebSocket: the client is told so, and both are bytes from here on (RFC 8441, 5).
    async fn switch(self: &Rc<Self>, answer: Answer, content: Content, takeover: Takeover) {
        if !poll_fn(|cx| self.poll_turn(false, cx)).await {
            return;
        }
        self.head_is_out.set(true);
        self.send_list(false, |list| response::write_head(&answer.head.headers, StatusCode::OK, None, list));
        drop(answer);
        (takeover.0)(tunnel::taken_over(self, content)).await;
    }

    /// Ready when something may be written; with `false` if the stream is over.
    pub fn poll_turn(&self, is_amid: bool, cx: &Context<'_>) -> Poll<bool> {
        self.wire.session(|session| session.poll_turn(self.place, is_amid, cx))
    }

    /// Writes a list of fields; `false` if the stream is over.
    pub fn send_list(&self, ends: bool, write: impl FnOnce(&mut List<'_>)) -> bool {
        self.wire.session(|session| session.send_list(self.place, ends, write))
    }

    /// Ends the stream, and says why.
    pub fn reset(&self, code: u32) {
        self.wire.session(|session| session.reset(self.place, code));
    }

    /// Somebody wants the body: the client may send it (RFC 9110, 10.1.1).
    pub fn give_leave(&self) {
        self.informational(StatusCode::CONTINUE, &HeaderMap::new());
    }

    /// The request's body has ended.
    ///
    /// # Errors
    /// Its trailers are refused, and it with them.
    pub fn has_request_trailers(&self, trailers: Option<HeaderMap>) -> Result<(), BodyError> {
        *self.request_trailers.borrow_mut() = self.wire.limits.underscores.settle_trailers(trailers)?;
        Ok(())
    }

    /// The head of the answer is out.
    pub fn is_being_answered(&self) -> bool {
        self.head_is_out.get()
    }

    pub fn has_response_trailers(&self) -> bool {
        self.response_trailers.borrow().is_some()
    }

    pub fn take_response_trailers(&self) -> Option<HeaderMap> {
        self.response_trailers.take()
    }
}

impl Downstream for Channel {
    fn peer(&self) -> Peer {
        self.wire.peer
    }

    fn local(&self) -> Option<SocketAddr> {
        self.wire.local()
    }

    fn is_tls(&self) -> bool {
        self.wire.is_tls()
    }

    fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.wire.greeted.as_ref()?.client.as_ref()
    }

    fn informational(&self, status: StatusCode, headers: &HeaderMap) {
        let can_be = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
        if !can_be || self.head_is_out.get() {
            return;
        }
        const OVERHEAD: usize = 64;
        let size = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() + OVERHEAD;
        let Some(left) = self.interim_left.get().checked_sub(size) else { return };
        self.interim_left.set(left);
        // A client that does not read gets no more of what it can do without.
        if self.wire.may_read() {
            self.send_list(false, |list| response::write_interim(status, headers, list));
        }
    }

    fn request_trailers(&self) -> Option<HeaderMap> {
        self.request_trailers.take()
    }

    fn response_trailers(&self, trailers: HeaderMap) {
        *self.response_trailers.borrow_mut() = Some(trailers);
    }
}
