//! The catch-all actix handler: a request becomes an [`Exchange`], and its answer an actix response.

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
        BodySize, Crossing, Downstream, HeaderValue, RequestBody, Response, ResponseBody, StatusCode, Version,
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
            let mut passing = Passing::begin(receive(&mut request), &worker);
            let response = journey::serve(&worker, passing.exchange()).await;
            let response = answer(passing, response);
            Ok(request.into_response(response))
        })
    }
}

/// Moves the request out of actix's hands; only the target is shared with it.
fn receive(request: &mut ServiceRequest) -> Box<Exchange> {
    let downstream = request.extensions().get::<Rc<dyn Downstream>>().cloned();
    let client = match &downstream {
        Some(downstream) => Client::at(downstream.peer(), downstream.is_tls()),
        None => Client::at(request.peer_addr().map_or(Peer::Unix, Peer::Tcp), request.app_config().secure()),
    };
    let crossing = downstream.as_ref().and_then(|downstream| downstream.crossing());
    let headers = crossing.and_then(Crossing::asked).unwrap_or_else(|| {
        let mut headers = scratch::map();
        headers.take_from(request.headers_mut());
        headers
    });
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

/// Hands the answer to actix: head at once, body as it comes.
fn answer(passing: Passing, response: Response) -> HttpResponse {
    let version = passing.version();
    let outcome = response.outcome();
    let Response { status, mut headers, body, takeover, .. } = response;
    let mut answer = HttpResponse::with_body(status, ());
    if let (StatusCode::NOT_MODIFIED, ResponseBody::Announced(length)) = (status, &body) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(*length));
    }
    match passing.crossing() {
        Some(crossing) => crossing.answer(headers),
        None => {
            headers.give_to(answer.headers_mut());
            scratch::give_back(headers);
        }
    }
    if let Some(takeover) = takeover {
        let takeover = passing.until_the_end_of(takeover, status);
        answer.extensions_mut().insert(RefCell::new(Some::<Takeover>(takeover)));
        return answer.set_body(BoxBody::new(()));
    }
    let unknown_length = matches!(body.size(), BodySize::Stream);
    if unknown_length && version < Version::HTTP_11 {
        answer.head_mut().no_chunking(true);
        answer.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    answer.set_body(Relay::boxed(body, outcome, passing))
}
