//! How an exchange is carried from end to end, and the catch-all actix handler around that: a request becomes an
//! [`Exchange`], and its answer an actix response.

use std::{
    cell::RefCell,
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::BoxBody,
    dev::{self, AppService, HttpServiceFactory, Payload, ResourceDef, ServiceRequest, ServiceResponse},
    guard::Guard,
};
use futures_util::future::LocalBoxFuture;

use self::{passing::Passing, relay::Relay};
use super::{Proxy, journey, worker::Worker};
use crate::{
    exchange::{Client, Exchange},
    http::{
        BodySize, Downstream, HeaderMap, HeaderValue, RequestBody, Response, ResponseBody, StatusCode, Version,
        body::{Body, Length},
        downstream::{Peer, Takeover},
        framing, header, scratch,
    },
};

mod passing;
mod relay;

/// A proxy below a path of an `App`; made by [`Proxy::mount`].
pub struct Mount {
    proxy: Proxy,
    path: String,
    guards: Vec<Box<dyn Guard>>,
}

impl Mount {
    pub(super) fn new(proxy: Proxy, path: &str) -> Self {
        Self { proxy, path: path.trim_end_matches('/').to_owned(), guards: Vec::new() }
    }

    /// Takes only requests that the guard lets through; the others go to the next service of the `App`.
    #[must_use]
    pub fn guard(mut self, guard: impl Guard + 'static) -> Self {
        self.guards.push(Box::new(guard));
        self
    }
}

impl HttpServiceFactory for Mount {
    fn register(self, config: &mut AppService) {
        let resource =
            if config.is_root() { ResourceDef::root_prefix(&self.path) } else { ResourceDef::prefix(&*self.path) };
        let guards = (!self.guards.is_empty()).then_some(self.guards);
        config.register_service(resource, guards, self.proxy, None);
    }
}

impl dev::ServiceFactory<ServiceRequest> for Proxy {
    type Response = ServiceResponse;
    type Error = Error;
    type Config = ();
    type Service = Handler;
    type InitError = ();
    type Future = Ready<Result<Handler, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        ready(Ok(Handler { worker: Worker::here(self) }))
    }
}

/// A proxy's service on one worker.
pub struct Handler {
    worker: Rc<Worker>,
}

impl dev::Service<ServiceRequest> for Handler {
    type Response = ServiceResponse;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let worker = Rc::clone(&self.worker);
        Box::pin(async move {
            let exchange = receive(&mut request);
            let version = exchange.version;
            let carried = carry(worker, exchange).await;
            Ok(request.into_response(answer(carried, version)))
        })
    }
}

/// An answer as the proxy hands it on.
pub struct Carried {
    /// The status.
    pub status: StatusCode,
    /// End-to-end fields, and for `304` the length there would be.
    pub headers: HeaderMap,
    /// What is still to come.
    pub body: BoxBody,
    /// How long that says it is. Who asks the body itself is taken for the edge.
    pub size: BodySize,
    /// What runs on the connection afterwards, if it switches protocols.
    pub takeover: Option<Takeover>,
}

/// Carries an exchange to whoever answers it. Dropped before there is an answer, the client has left. It begins with the call and not with
/// the first poll: so no room is kept twice.
pub fn carry(worker: Rc<Worker>, exchange: Box<Exchange>) -> impl Future<Output = Carried> {
    let mut passing = Passing::begin(exchange, &worker);
    async move {
        let response = journey::serve(&worker, passing.exchange()).await;
        carried(response, passing)
    }
}

fn carried(response: Response, passing: Passing) -> Carried {
    let outcome = response.outcome();
    let Response { status, mut headers, body, takeover, .. } = response;
    if let Some(takeover) = takeover {
        let takeover = Some(passing.until_the_end_of(takeover, status));
        return Carried { status, headers, body: BoxBody::new(()), size: BodySize::None, takeover };
    }
    if let (StatusCode::NOT_MODIFIED, ResponseBody::Announced(length)) = (status, &body) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(*length));
    }
    let size = body.size();
    Carried { status, headers, body: Relay::boxed(body, outcome, passing), size, takeover: None }
}

/// Moves the request out of actix's hands; only the target is shared with it.
fn receive(request: &mut ServiceRequest) -> Box<Exchange> {
    let downstream = request.extensions().get::<Rc<dyn Downstream>>().cloned();
    let client = match &downstream {
        Some(downstream) => Client::at(downstream.peer(), downstream.is_tls()),
        None => Client::at(request.peer_addr().map_or(Peer::Unix, Peer::Tcp), request.app_config().secure()),
    };
    let mut headers = scratch::map();
    headers.take_from(request.headers_mut());
    let (method, uri, version) = (request.method().clone(), request.uri().clone(), request.version());
    let mut exchange = Box::new(Exchange::new(method, uri, version, headers, RequestBody::empty(), client));
    exchange.body = match framing::request_length(&exchange.headers, exchange.marks, version) {
        Ok(length @ (Length::Exact(1..) | Length::Chunked)) => RequestBody::payload(request.take_payload(), length),
        Ok(Length::Exact(0)) => RequestBody::buffered(bytes::Bytes::new()),
        // From HTTP/2 on a body needs no field to end.
        Ok(Length::None) if version >= Version::HTTP_2 => match request.take_payload() {
            Payload::None => RequestBody::empty(),
            payload => RequestBody::payload(payload, Length::Chunked),
        },
        // Intake refuses what is wrong with it.
        Ok(Length::None) | Err(_) => RequestBody::empty(),
    };
    exchange.downstream = downstream;
    exchange
}

/// The answer in actix's terms: head at once, body as it comes.
fn answer(carried: Carried, version: Version) -> HttpResponse {
    let Carried { status, mut headers, body, size, takeover } = carried;
    let mut answer = HttpResponse::with_body(status, ());
    headers.give_to(answer.headers_mut());
    scratch::give_back(headers);
    if let Some(takeover) = takeover {
        answer.extensions_mut().insert(RefCell::new(Some::<Takeover>(takeover)));
    } else if matches!(size, BodySize::Stream) && version < Version::HTTP_11 {
        answer.head_mut().no_chunking(true);
        answer.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    answer.set_body(body)
}
