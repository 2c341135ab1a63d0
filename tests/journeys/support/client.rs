//! A raw client: it sends exactly these bytes and shows exactly what came back.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use tokio::net::{TcpStream, UnixStream};

use super::wire::{self, Extent, Socket, Wire, patiently};

/// One connection to a server.
pub struct Client {
    wire: Wire,
}

/// A response as it came.
#[derive(Debug)]
pub struct Response {
    /// Of the status line.
    pub status: u16,
    /// Status line and fields, with the empty line.
    pub head: String,
    /// Heads of interim responses that came before; 101 is none.
    pub interim: Vec<String>,
    /// The content, decoded.
    pub body: Vec<u8>,
    /// The trailer section, line by line.
    pub trailers: Vec<(String, String)>,
    /// The body ended as its framing says, not because the connection did.
    pub complete: bool,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = patiently("a connection", TcpStream::connect(address)).await;
        Self { wire: Wire::new(Socket::Tcp(socket.expect("somebody listens there"))) }
    }

    pub async fn connect_unix(path: impl AsRef<Path>) -> Self {
        let socket = patiently("a connection", UnixStream::connect(path)).await;
        Self { wire: Wire::new(Socket::Unix(socket.expect("somebody listens there"))) }
    }

    /// On a connection that was made elsewhere.
    pub fn over(socket: Socket) -> Self {
        Self { wire: Wire::new(socket) }
    }

    /// Writes all of it; panics when the server does not take it.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write(bytes.as_ref()).await.expect("the server takes what is sent");
    }

    /// Writes until the server closes its ears; `false` then.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write(bytes.as_ref()).await.is_ok()
    }

    /// Writes up to `limit` bytes, until the server has taken none for half a second. How many went out.
    pub async fn flood(&mut self, limit: usize) -> usize {
        self.wire.flood(&[b'.'; 64 * 1024], limit, Duration::from_millis(500)).await
    }

    /// Writes in segments of `size` bytes.
    pub async fn dribble(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        for segment in bytes.as_ref().chunks(size) {
            self.send(segment).await;
            tokio::task::yield_now().await;
        }
    }

    /// The next head, interim or not; panics if the server closed instead.
    pub async fn read_head(&mut self) -> String {
        self.wire.next_head().await.expect("a head, but the server closed the connection")
    }

    /// The answer to anything but a HEAD.
    pub async fn read_response(&mut self) -> Response {
        self.read_response_to("GET").await
    }

    /// The answer to a request of this method; panics if the server closed instead.
    pub async fn read_response_to(&mut self, method: &str) -> Response {
        self.next_response_to(method).await.expect("a response, but the server closed the connection")
    }

    /// The same; `None` if the server closed instead.
    pub async fn next_response_to(&mut self, method: &str) -> Option<Response> {
        let mut interim = Vec::new();
        let mut head = self.wire.next_head().await?;
        while matches!(status_of(&head), 100 | 102..=199) {
            interim.push(head);
            head = self.wire.next_head().await?;
        }
        let status = status_of(&head);
        let received = self.wire.read_body(extent(&head, status, method)).await;
        let wire::Received { body, trailers, complete } = received;
        Some(Response { status, head, interim, body, trailers, complete })
    }

    pub async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        self.wire.read_exact(count).await
    }

    pub async fn read_some(&mut self) -> Vec<u8> {
        self.wire.read_some().await
    }

    pub async fn read_to_end(&mut self) -> Vec<u8> {
        self.wire.read_to_end().await
    }

    /// The server has closed, as far as is known at this moment.
    pub fn is_closed(&mut self) -> bool {
        self.wire.peek_ended()
    }

    /// Reads and forgets until the server closes.
    pub async fn wait_closed(&mut self) {
        self.wire.wait_ended().await;
    }

    /// Says that nothing more will be sent.
    pub async fn half_close(&mut self) {
        self.wire.half_close().await;
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.wire.reset();
    }
}

impl Response {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        wire::value_of(&self.head, name)
    }

    /// The values of all lines of a field.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        wire::values_of(&self.head, name)
    }

    /// The value of a trailer.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        let mut trailers = self.trailers.iter();
        trailers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        wire::text(&self.body)
    }
}

/// One GET on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    request(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await
}

/// These bytes on a connection of their own, and the answer to them.
pub async fn request(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Response {
    let bytes = bytes.as_ref();
    let mut client = Client::connect(address).await;
    client.try_send(bytes).await;
    client.read_response_to(if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" }).await
}

/// An address nobody listens at, and nobody will while the tests run.
pub fn refusing() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let address = socket.local_addr().expect("it is bound").as_socket().expect("it is of IPv4");
    // It stays bound, so that no other test is given the port.
    std::mem::forget(socket);
    address
}

/// An address of the loopback network that no other test has, so that its ports can be known ones.
pub fn loopback() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    Ipv4Addr::new(127, high.max(1), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn status_of(head: &str) -> u16 {
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head:?} is no response"))
}

/// RFC 9112, 6.3.
fn extent(head: &str, status: u16, method: &str) -> Extent {
    if method == "HEAD" || matches!(status, 101 | 204 | 304) {
        return Extent::Nothing;
    }
    match wire::content_length(head) {
        _ if wire::is_chunked(head) => Extent::Chunks,
        Some(length) => Extent::Exactly(length),
        None => Extent::UntilClosed,
    }
}
