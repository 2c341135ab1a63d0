//! One request and its answer: a stream of HTTP/2.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    mem,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use actix_http::{
    Request, Response,
    body::{BoxBody, MessageBody},
};
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};

use super::{
    body::Payload,
    head::{self, Asked},
    response::{self, Queued, Sending},
    tunnel,
    wire::{Place, Wire},
};
use crate::{
    clock::Deadline,
    edge::{
        drain::Draining,
        h1::{
            Answers,
            head::Head,
            response::{self as h1_response, Ending},
            unseen,
        },
        request::describe,
    },
    exchange::{Client, RequestId},
    http::{
        BodyError, ClientCertificate, Downstream, Error, HeaderMap, Method, StatusCode, Takeover, Version,
        body::Length, downstream::Peer, error_page, grpc, h2::fields, scratch,
    },
    telemetry::{refusals, tail::Tail},
};

/// Bytes of interim responses for one request: an endpoint that sends more of them is not heard.
const MOST_INTERIM: usize = 64 * 1024;

/// One stream as all see it who have to do with it: whoever answers, the handler, and the proxy that sends interim
/// responses.
pub struct Channel {
    pub wire: Rc<Wire>,
    respond: RefCell<SendResponse<Bytes>>,
    /// Bytes of interim responses that may still be sent.
    interim_left: Cell<usize>,
    head_is_out: Cell<bool>,
    request_trailers: RefCell<Option<HeaderMap>>,
    response_trailers: RefCell<Option<HeaderMap>>,
}

/// Answers a request. Dropped, or once the client has reset the stream, whatever is done for it is dropped with it.
pub async fn serve<A: Answers>(
    app: Rc<A>,
    wire: Rc<Wire>,
    request: ::http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    draining: Draining,
) {
    let place = wire.open(respond.stream_id().as_u32());
    let (parts, frames) = request.into_parts();
    let asked = head::read(parts, frames.is_end_stream(), &wire.limits);
    let channel = Rc::new(Channel::new(wire, respond));
    let Asked { head, upgrade } = match asked.and_then(|asked| channel.admit(asked)) {
        Ok(asked) => asked,
        Err(refused) => return Box::pin(turn_back(&channel, &place, *refused)).await,
    };
    let method = head.method.clone();
    let (request, frames) = channel.request(head, frames, upgrade.is_some());
    let answer = {
        let mut call = pin!(app.answer(request));
        poll_fn(|cx| {
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            channel.respond.borrow_mut().poll_reset(cx).map(|_| None)
        })
        .await
    };
    // The client has left, and whatever was done for it was dropped with the call.
    let Some(mut answer) = answer else { return };
    if !answer.status().is_informational() {
        return channel.answer(answer, method, &place).await;
    }
    let takeover = answer.extensions_mut().remove::<RefCell<Option<Takeover>>>().and_then(RefCell::into_inner);
    let what = match (upgrade, frames, takeover) {
        _ if answer.status() != StatusCode::SWITCHING_PROTOCOLS => {
            let error = Error::Internal { what: "an interim status is no answer" };
            return Box::pin(channel.refuse(error, method, &place)).await;
        }
        (Some(upgrade), Some(frames), Some(takeover)) if upgrade.is_agreed(answer.headers_mut()) => {
            return Box::pin(channel.switch(answer, frames, takeover, draining, &place)).await;
        }
        (Some(_), _, Some(_)) => "the endpoint has not read what it agrees to",
        (Some(_), _, None) => "nobody speaks the protocol",
        (None, ..) => "nobody asked for it",
    };
    Box::pin(channel.refuse(Error::Upgrade { what }, method, &place)).await;
}

/// Answers a request that no App sees, and tells of it in the App's stead.
async fn turn_back(channel: &Rc<Channel>, place: &Place, (error, head): (Error, Head)) {
    let client = Client::at(channel.wire.peer, channel.wire.is_tls());
    let method = head.method.clone();
    let (refusal, tail): (_, Option<Tail>) = unseen::turn_back(error, unseen::read(head, client), &channel.wire.limits);
    channel.answer(h1_response::of_refusal(refusal), method, place).await;
    drop(tail);
}

impl Channel {
    fn new(wire: Rc<Wire>, respond: SendResponse<Bytes>) -> Self {
        Self {
            wire,
            respond: RefCell::new(respond),
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

    /// The request in actix's terms; what comes behind the head of a WebSocket is kept for later.
    fn request(self: &Rc<Self>, head: Head, frames: RecvStream, upgrades: bool) -> (Request, Option<RecvStream>) {
        let has_body = !matches!(head.length, Length::None | Length::Exact(0));
        let (mut request, frames) = if has_body {
            let payload = Box::pin(Payload::of(frames, self, head.expects_continue)) as _;
            (Request::with_payload(actix_http::Payload::Stream { payload }), None)
        } else {
            (Request::new(), upgrades.then_some(frames))
        };
        describe(&mut request, head, self.wire.peer, Rc::clone(self) as _);
        (request, frames)
    }

    /// Sends an answer to its end, or as far as it goes.
    async fn answer(&self, answer: Response<BoxBody>, method: Method, place: &Place) {
        let (mut answer, body) = answer.into_parts();
        let asked = h1_response::Asked { method, version: Version::HTTP_2, keeps_alive: true };
        let ending = h1_response::ending(answer.head().status, body.size(), &asked);
        let length = h1_response::announced(answer.head(), body.size(), ending, &asked);
        let head = response::head(answer.head(), length);
        let is_call = grpc::is_called(answer.head().headers());
        scratch::give_back(mem::take(answer.headers_mut()));
        drop(answer);
        self.head_is_out.set(true);
        let has_ended = matches!(ending, Ending::None | Ending::Length(0));
        let sent = self.respond.borrow_mut().send_response(head, has_ended);
        let stream = match sent {
            Ok(stream) => stream,
            Err(error) => return log::debug!("an answer has nobody to go to: {error}"),
        };
        let mut sending = Sending::new(stream, body, ending, is_call);
        let queued = if has_ended { Queued::Whole } else { poll_fn(|cx| sending.poll(cx, self)).await };
        sending.end(queued, place, self).await;
    }

    /// Says that nothing came of a request which an App has seen.
    async fn refuse(&self, error: Error, method: Method, place: &Place) {
        let id = RequestId::generate();
        refusals::tell(None, &id, &method, &error);
        let refusal = error_page::respond(error, &HeaderMap::new(), id.as_str(), &self.wire.limits.style);
        self.answer(h1_response::of_refusal(refusal), method, place).await;
    }

    /// The endpoint speaks WebSocket: the client is told so, and both are bytes from here on (RFC 8441, 5).
    async fn switch(
        &self,
        answer: Response<BoxBody>,
        frames: RecvStream,
        takeover: Takeover,
        draining: Draining,
        place: &Place,
    ) {
        let mut head = response::head(answer.head(), None);
        *head.status_mut() = ::http::StatusCode::OK;
        self.head_is_out.set(true);
        let sent = self.respond.borrow_mut().send_response(head, false);
        match sent {
            Ok(stream) => {
                (takeover.0)(tunnel::taken_over(stream, frames, &draining)).await;
                if !response::written(response::ALL, place, &Deadline::new(), self).await {
                    self.respond.borrow_mut().send_reset(Reason::CANCEL);
                }
            }
            Err(error) => log::debug!("a WebSocket has nobody to go to: {error}"),
        }
    }

    /// Somebody wants the body: the client may send it (RFC 9110, 10.1.1).
    pub fn give_leave(&self) {
        self.informational(StatusCode::CONTINUE, &HeaderMap::new());
    }

    /// The request's body has ended.
    ///
    /// # Errors
    /// Its trailers are refused, and it with them.
    pub fn has_request_trailers(&self, trailers: Option<::http::HeaderMap>) -> Result<(), BodyError> {
        match trailers.map(|trailers| fields::from_h2(&trailers)).transpose() {
            Ok(trailers) => {
                let trailers = trailers.map(|(trailers, _)| trailers);
                *self.request_trailers.borrow_mut() = self.wire.limits.underscores.settle_trailers(trailers)?;
            }
            Err(error) => log::debug!("trailers are left out: {error}"),
        }
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
        let head = response::interim(status, headers);
        if let Err(error) = self.respond.borrow_mut().send_informational(head) {
            log::debug!("an interim response has nobody to go to: {error}");
        }
    }

    fn request_trailers(&self) -> Option<HeaderMap> {
        self.request_trailers.take()
    }

    fn response_trailers(&self, trailers: HeaderMap) {
        *self.response_trailers.borrow_mut() = Some(trailers);
    }
}
