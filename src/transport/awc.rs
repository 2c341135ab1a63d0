//! The design card's client, awc, behind the same trait.
//!
//! A client is made for each attempt and given one connection that was made here, so nothing is ever reused and every
//! byte that moves is seen. What awc would read wrongly and we can tell is an error instead of a wrong answer; the
//! table is in `docs/adr/0002-own-http1-transport.md`.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::pin,
    rc::Rc,
    task::Poll,
};

use actix_http::{HttpMessage, Payload, ResponseHead, error::ParseError};
use actix_service::fn_service;
use actix_tls::connect::{ConnectError as TcpConnectError, ConnectInfo, Connection};
use awc::{
    Client, ClientBuilder, ClientResponse, Connector,
    error::{ConnectError, SendRequestError},
};
use futures_util::future::LocalBoxFuture;

use self::{
    body::{Answer, Question},
    connect::{Placed, connect},
    watched::{Movement, Watched},
};
use super::{Cause, Incoming, IncomingHead, Outgoing, Phase, Target, Transport, TransportError};
use crate::http::{
    BodyError, HeaderMap, HeaderName, HeaderValue, Marks, RequestBody, ResponseBody, Uri,
    framing::{ResponseFraming, response_framing},
    header,
    headers::strip_hop_by_hop,
};

mod body;
mod connect;
mod watched;

/// awc as a transport. It keeps nothing between requests.
#[derive(Debug, Default)]
pub struct AwcTransport;

impl AwcTransport {
    /// A transport.
    pub fn new() -> Self {
        Self
    }
}

impl Transport for AwcTransport {
    fn send<'a>(
        &'a self,
        to: &'a Target,
        request: &'a mut Outgoing,
    ) -> LocalBoxFuture<'a, Result<Incoming, TransportError>> {
        Box::pin(attempt(to, request))
    }
}

async fn attempt(to: &Target, request: &mut Outgoing) -> Result<Incoming, TransportError> {
    let movement = Rc::new(Movement::starting(request.timeouts));
    if request.upgrade.is_some() {
        return Err(movement.failed(Phase::Send, Cause::Upgrade("awc switches to no other protocol")));
    }
    let io = connect(to, request.preamble.as_deref(), request.timeouts)
        .await
        .map_err(|(phase, cause)| movement.failed(phase, cause))?;

    let body = Rc::new(RefCell::new(request.body.take()));
    let sent = exchange(io, request, &body, &movement).await;
    match sent {
        Ok(response) => {
            if movement.body_sent.get() {
                request.body = body.borrow_mut().give_back();
            }
            understood(response, request, &movement).map_err(|cause| movement.failed(Phase::Head, cause))
        }
        Err(cause) => {
            request.body = body.take();
            movement.body_consumed.set(request.body.is_consumed());
            Err(movement.failed(movement.phase(), cause))
        }
    }
}

/// Sends the request, and waits for the head of the answer within the limits.
async fn exchange(
    io: Placed,
    request: &Outgoing,
    body: &Rc<RefCell<RequestBody>>,
    movement: &Rc<Movement>,
) -> Result<ClientResponse, Cause> {
    let client = client_of(Watched::new(io, Rc::clone(movement)));
    let uri = Uri::builder().scheme("http").authority("endpoint").path_and_query(request.target.as_str()).build();
    let uri = uri.map_err(|_| Cause::Unsayable("awc cannot send this target"))?;
    let mut sending = client.request(request.method.clone(), uri).no_decompress().force_close();
    let mut fields = fields(request).ok_or(Cause::Unsayable("awc cannot send these fields"))?;
    fields.give_to(sending.headers_mut());
    let mut response = pin!(sending.send_body(Question::new(Rc::clone(body), Rc::clone(movement))));
    movement.connected();
    poll_fn(|cx| match response.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(response.map_err(cause)),
        Poll::Pending => movement.poll_limits(cx).map(Err),
    })
    .await
}

/// A client that has this connection and no other.
fn client_of(io: Watched) -> Client {
    let only = Rc::new(RefCell::new(Some(io)));
    let service = fn_service(move |connect: ConnectInfo<Uri>| {
        let io = only.take();
        async move {
            let gone = || TcpConnectError::Io(io::ErrorKind::NotConnected.into());
            Ok(Connection::new(connect.request().clone(), io.ok_or_else(gone)?))
        }
    });
    ClientBuilder::new()
        .connector(Connector::new().connector(service))
        .disable_redirects()
        .no_default_headers()
        .disable_timeout()
        .finish()
}

/// All fields to send. awc knows fields in a map only.
fn fields(request: &Outgoing) -> Option<HeaderMap> {
    let mut fields = request.headers.clone();
    for line in request.added.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        fields.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    if request.body.is_empty() {
        // awc refuses to send it where there is nothing to wait with.
        fields.remove(header::EXPECT);
    }
    Some(fields)
}

/// What awc read, if it can be trusted.
fn understood(response: ClientResponse, request: &Outgoing, movement: &Rc<Movement>) -> Result<Incoming, Cause> {
    let (status, version) = (response.status(), response.version());
    if status.is_informational() {
        return Err(Cause::Malformed("awc cannot read past an interim response"));
    }
    let (mut headers, payload) = taken_apart(response);
    let framing = response_framing(&request.method, status, version, &headers, Marks::of(&headers))
        .map_err(|error| Cause::Malformed(error.as_str()))?;
    strip_hop_by_hop(&mut headers);
    headers.remove(header::CONTENT_LENGTH);

    let body = match framing {
        ResponseFraming::None(None) | ResponseFraming::Length(0) => ResponseBody::Empty,
        ResponseFraming::None(Some(length)) => ResponseBody::Announced(length),
        ResponseFraming::UntilClose if matches!(payload, Payload::None) => {
            return Err(Cause::Malformed("awc cannot read a body that ends with its connection"));
        }
        ResponseFraming::Length(_) | ResponseFraming::Chunked { .. } | ResponseFraming::UntilClose => {
            ResponseBody::Stream(Box::new(Answer::new(payload, framing, Rc::clone(movement))))
        }
    };
    Ok(Incoming::Response { head: IncomingHead { status, headers }, body, reused: false })
}

fn taken_apart(response: ClientResponse) -> (HeaderMap, Payload) {
    let mut headers = HeaderMap::new();
    let mut response = response.map_body(|head: &mut ResponseHead, payload| {
        headers.take_from(&mut head.headers);
        payload
    });
    (headers, response.take_payload())
}

fn cause(error: SendRequestError) -> Cause {
    match error {
        SendRequestError::Connect(ConnectError::Disconnected) => Cause::Closed,
        SendRequestError::Connect(ConnectError::Io(error))
        | SendRequestError::Send(error)
        | SendRequestError::Response(ParseError::Io(error)) => Cause::Io(error),
        SendRequestError::Response(ParseError::TooLarge) => Cause::TooLarge,
        SendRequestError::Response(_) => Cause::Malformed("awc cannot read this head"),
        SendRequestError::Body(error) => Cause::RequestBody(
            error
                .downcast::<BodyError>()
                .map_or_else(|other| io::Error::other(other.to_string()).into(), |known| *known),
        ),
        other => Cause::Io(io::Error::other(other.to_string())),
    }
}
