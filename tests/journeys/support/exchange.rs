//! Exchanges with a transport and no proxy around it.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use aqueduct::{
    clock::Deadline,
    http::{
        Body, BodyError, BodySize, Downstream, Frame, HeaderMap, HeaderName, HeaderValue, Io, Method, RequestBody,
        ResponseBody, StatusCode, body::Length, downstream::Peer,
    },
    settings::upstream::PoolSettings,
    transport::{Address, Incoming, IncomingHead, Outgoing, Timeouts, Transport, TransportError},
    upstream::endpoint::Endpoint,
};
use bytes::Bytes;

use super::{
    origin::Origin,
    wire::{patiently, text},
};

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    pub reused: bool,
    /// How its body ended.
    pub end: Result<(), BodyError>,
}

impl Answer {
    pub fn text(&self) -> String {
        text(&self.body)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a value of letters"))
    }

    /// The answer in short: what a table of cases compares.
    pub fn told(&self) -> String {
        let end = match &self.end {
            Ok(()) => String::new(),
            Err(error) => format!(", {error:?}"),
        };
        format!("{} {:?}{end}", self.status.as_u16(), self.text())
    }
}

/// The outcome in short.
pub fn told(outcome: &Result<Answer, TransportError>) -> String {
    match outcome {
        Ok(answer) => answer.told(),
        Err(error) => format!("{:?}: {:?}", error.phase, error.cause),
    }
}

/// The endpoint an origin is, with the usual limits.
pub fn endpoint(origin: &Origin) -> Endpoint {
    endpoint_with(origin, &PoolSettings::default())
}

/// The endpoint an origin is.
pub fn endpoint_with(origin: &Origin, pool: &PoolSettings) -> Endpoint {
    let url = origin.url();
    match url.strip_prefix("http+unix:") {
        Some(path) => Endpoint::new(Address::Unix(path.into()), "localhost", 1, pool),
        None => endpoint_at(origin.address(), pool),
    }
}

/// The endpoint at this address, whoever is there.
pub fn endpoint_at(address: SocketAddr, pool: &PoolSettings) -> Endpoint {
    let host = address.ip().to_string().into();
    Endpoint::new(Address::Tcp { host, port: address.port() }, &address.to_string(), 1, pool)
}

/// A request without a body, in no hurry.
pub fn request(method: Method, target: &str) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("host"), HeaderValue::from_static("example.com"));
    Outgoing {
        method,
        target: target.to_owned(),
        headers,
        added: Vec::new(),
        body: RequestBody::empty(),
        upgrade: None,
        fresh: false,
        preamble: None,
        timeouts: Timeouts { connect: None, first_byte: None, idle: None, total: None },
        downstream: None,
        connected: None,
    }
}

pub fn get(target: &str) -> Outgoing {
    request(Method::GET, target)
}

pub fn put(body: RequestBody) -> Outgoing {
    Outgoing { body, ..request(Method::PUT, "/") }
}

/// One exchange from its first byte to its last.
pub async fn exchange(
    transport: &dyn Transport,
    endpoint: &Endpoint,
    mut request: Outgoing,
) -> Result<Answer, TransportError> {
    send(transport, endpoint, &mut request).await?.read().await
}

/// An answer whose body nobody has read yet.
pub struct Open {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: ResponseBody,
    pub reused: bool,
}

impl Open {
    /// The next frame.
    pub async fn frame(&mut self) -> Option<Result<Frame, BodyError>> {
        patiently("a frame", next(&mut self.body)).await
    }

    pub async fn read(self) -> Result<Answer, TransportError> {
        let Self { status, headers, mut body, reused } = self;
        let mut answer = Answer { status, headers, body: Vec::new(), trailers: None, reused, end: Ok(()) };
        while let Some(frame) = patiently("a frame", next(&mut body)).await {
            match frame {
                Ok(Frame::Data(bytes)) => answer.body.extend_from_slice(&bytes),
                Ok(Frame::Trailers(trailers)) => answer.trailers = Some(trailers),
                Err(error) => {
                    answer.end = Err(error);
                    break;
                }
            }
        }
        Ok(answer)
    }
}

/// The head of an exchange.
pub async fn send(
    transport: &dyn Transport,
    endpoint: &Endpoint,
    request: &mut Outgoing,
) -> Result<Open, TransportError> {
    match patiently("the transport", transport.send(&endpoint.target, request)).await? {
        Incoming::Response { head, body, reused } => {
            Ok(Open { status: head.status, headers: head.headers, body, reused })
        }
        Incoming::Upgraded { head, .. } => panic!("upgraded: {head:?}"),
    }
}

/// What happens when the endpoint agrees to switch protocols: the head, the connection and the first bytes.
pub async fn switch(
    transport: &dyn Transport,
    endpoint: &Endpoint,
    mut request: Outgoing,
) -> (IncomingHead, Box<dyn Io>, Bytes) {
    match patiently("the transport", transport.send(&endpoint.target, &mut request)).await {
        Ok(Incoming::Upgraded { head, io, early }) => (head, io, early),
        Ok(Incoming::Response { head, .. }) => panic!("it did not switch: {head:?}"),
        Err(error) => panic!("it did not switch: {error:?}"),
    }
}

/// Lets this much time pass: for what is about time itself.
pub async fn pass(time: Duration) {
    let deadline = Deadline::new();
    deadline.arm(time);
    poll_fn(|cx| deadline.poll(cx)).await;
}

/// The next frame of a body.
pub async fn next(body: &mut impl Body) -> Option<Result<Frame, BodyError>> {
    poll_fn(|cx| body.poll_frame(cx)).await
}

/// A client connection that remembers what it was told.
#[derive(Default)]
pub struct Recorder {
    pub interim: RefCell<Vec<(StatusCode, HeaderMap)>>,
    pub request_trailers: Option<HeaderMap>,
    pub told: tokio::sync::Notify,
}

impl Recorder {
    /// Until it was told something.
    pub async fn wait(&self) {
        patiently("an interim response", self.told.notified()).await;
    }

    /// The status codes it was told.
    pub fn statuses(&self) -> Vec<u16> {
        self.interim.borrow().iter().map(|(status, _)| status.as_u16()).collect()
    }
}

impl Downstream for Recorder {
    fn peer(&self) -> Peer {
        Peer::Unix
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }

    fn is_tls(&self) -> bool {
        false
    }

    fn client_certificate(&self) -> Option<&std::sync::Arc<aqueduct::http::ClientCertificate>> {
        None
    }

    fn informational(&self, status: StatusCode, headers: &HeaderMap) {
        self.interim.borrow_mut().push((status, headers.clone()));
        self.told.notify_one();
    }

    fn request_trailers(&self) -> Option<HeaderMap> {
        self.request_trailers.clone()
    }

    fn response_trailers(&self, _: HeaderMap) {}
}

/// A body of `count` pieces of `size` bytes, that counts how many of them were taken.
pub struct Pieces {
    pub taken: Rc<Cell<usize>>,
    count: usize,
    piece: Bytes,
}

impl Pieces {
    pub fn new(count: usize, size: usize) -> Self {
        Self { taken: Rc::default(), count, piece: vec![b'.'; size].into() }
    }

    /// As a body with its length announced.
    pub fn sized(self) -> RequestBody {
        let length = (self.count * self.piece.len()) as u64;
        RequestBody::stream(Box::new(self), Length::Exact(length))
    }

    /// As a body whose length nobody knows.
    pub fn chunked(self) -> RequestBody {
        RequestBody::stream(Box::new(self), Length::Chunked)
    }
}

impl Body for Pieces {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let taken = self.taken.get();
        if taken == self.count {
            return Poll::Ready(None);
        }
        self.taken.set(taken + 1);
        Poll::Ready(Some(Ok(Frame::Data(self.piece.clone()))))
    }

    fn size(&self) -> BodySize {
        BodySize::Stream
    }
}

/// A body whose frames a test sends one by one.
pub struct Fed(tokio::sync::mpsc::UnboundedReceiver<Result<Frame, BodyError>>);

pub type Feed = tokio::sync::mpsc::UnboundedSender<Result<Frame, BodyError>>;

impl Fed {
    /// A chunked body, and what it is fed with.
    pub fn chunked() -> (Feed, RequestBody) {
        let (feed, frames) = tokio::sync::mpsc::unbounded_channel();
        (feed, RequestBody::stream(Box::new(Self(frames)), Length::Chunked))
    }
}

impl Body for Fed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_recv(cx)
    }

    fn size(&self) -> BodySize {
        BodySize::Stream
    }
}

/// Text as a frame.
pub fn data(text: &'static str) -> Result<Frame, BodyError> {
    Ok(Frame::Data(Bytes::from_static(text.as_bytes())))
}

/// A time no test on a slow machine misses, where it waits for nothing.
pub const SHORT: Duration = Duration::from_millis(100);
