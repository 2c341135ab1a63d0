//! A client of HTTP/2 that is right: the h2 crate's.

use std::{net::SocketAddr, path::Path};

use actix_rt::task::JoinHandle;
use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::wire::patiently;

/// A connection, driven by a task of its own.
pub struct H2 {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl H2 {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = patiently("a connection", TcpStream::connect(address)).await;
        Self::over(socket.expect("somebody listens there")).await
    }

    pub async fn connect_unix(path: &Path) -> Self {
        let socket = patiently("a connection", UnixStream::connect(path)).await;
        Self::over(socket.expect("somebody listens there")).await
    }

    pub async fn over(io: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Self {
        Self::with(&client::Builder::new(), io).await
    }

    pub async fn with(builder: &client::Builder, io: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Self {
        let (requests, connection) = builder.handshake(io).await.expect("a connection of HTTP/2");
        let requests = patiently("settings", requests.ready()).await.expect("a connection of HTTP/2");
        Self { requests, driver: actix_rt::spawn(connection) }
    }

    /// Sends a head; with a body to follow unless `ends`.
    pub async fn begin(&mut self, request: Request<()>, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let ready = patiently("room for a stream", self.requests.clone().ready()).await;
        ready.expect("it goes on").send_request(request, ends).expect("a request")
    }

    /// Whether the server has not said yet that it takes no more on this connection.
    pub async fn takes_more(&self) -> bool {
        patiently("room for a stream", self.requests.clone().ready()).await.map_err(demand_farewell).is_ok()
    }

    /// A whole request, and its whole answer.
    pub async fn ask(&mut self, request: Request<()>, body: &'static [u8]) -> Answer {
        let (answer, mut stream) = self.begin(request, body.is_empty()).await;
        if !body.is_empty() {
            stream.send_data(Bytes::from_static(body), true).expect("it takes content");
        }
        whole(answer).await
    }

    /// The same with a server that may have said it takes no more on this connection. `None` if it has not looked at the
    /// request, so that it may be sent on another (RFC 9113, 6.8).
    pub async fn ask_unless_gone(&mut self, request: Request<()>, body: &'static [u8]) -> Option<Answer> {
        let sent = match patiently("room for a stream", self.requests.clone().ready()).await {
            Ok(mut ready) => ready.send_request(request, body.is_empty()),
            Err(error) => Err(error),
        };
        let (answer, mut stream) = sent.map_err(demand_farewell).ok()?;
        if !body.is_empty() {
            // Why it takes none is told in place of the answer.
            let _ = stream.send_data(Bytes::from_static(body), true);
        }
        match patiently("an answer", answer).await {
            Ok(answer) => Some(read_whole(answer).await),
            Err(error) => {
                demand_farewell(error);
                None
            }
        }
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.ask(request("GET", path), b"").await
    }

    /// The server takes extended CONNECT (RFC 8441).
    pub fn takes_extended_connect(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// Ends the connection at once.
    pub fn abort(self) {
        self.driver.abort();
    }

    /// Until the server has ended the connection; how it did.
    pub async fn ended(self) -> Result<(), h2::Error> {
        let Self { requests, driver } = self;
        let ended = patiently("the end of the connection", driver).await.expect("the client does not panic");
        drop(requests);
        ended
    }
}

/// A request for this path of `a.example`.
pub fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a.example{path}")).body(()).expect("a request")
}

/// The same with fields.
pub fn request_with(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = request(method, path);
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().append(name, value.parse().expect("a value"));
    }
    request
}

/// The answer with all of its body; panics if it breaks off.
pub async fn whole(answer: ResponseFuture) -> Answer {
    read_whole(patiently("an answer", answer).await.expect("an answer")).await
}

async fn read_whole(answer: http::Response<RecvStream>) -> Answer {
    let (head, body) = answer.into_parts();
    let (body, trailers) = read(body).await.expect("a whole body");
    Answer { status: head.status.as_u16(), headers: head.headers, body, trailers }
}

/// A body to its end.
pub async fn read(mut frames: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(bytes) = patiently("content", frames.data()).await {
        let bytes = bytes?;
        frames.flow_control().release_capacity(bytes.len())?;
        body.extend_from_slice(&bytes);
    }
    Ok((body, patiently("trailers", frames.trailers()).await?))
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.as_ref()?.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// The server has said in order that it takes no more; whatever else it may be has failed somebody.
fn demand_farewell(error: h2::Error) {
    let is_farewell = error.is_remote() && error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    assert!(is_farewell, "no answer: {error}");
}

/// Why the stream or the connection was ended.
pub fn reason(error: &h2::Error) -> Reason {
    error.reason().unwrap_or_else(|| panic!("no reason is given: {error}"))
}

/// Waits for an answer that does not come.
pub async fn refusal(answer: ResponseFuture) -> Reason {
    match patiently("a reset", answer).await {
        Ok(answer) => panic!("an answer instead: {:?}", answer.status()),
        Err(error) => reason(&error),
    }
}

pub const OK: StatusCode = StatusCode::OK;
