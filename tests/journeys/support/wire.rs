//! One end of a connection, raw: bytes out, and messages read in the plainest way that is right.

use std::{future::Future, io, net::SocketAddr, os::fd::AsFd, time::Duration};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsStream;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for `what`, but not for ever.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = timeout(PATIENCE, future).await else { panic!("waited {PATIENCE:?} in vain for {what}") };
    done
}

/// Leaves no room for connections that nobody accepts: who connects after these gets no word back.
pub async fn fill(listener: impl AsFd, address: SocketAddr) -> Vec<TcpStream> {
    rustix::net::listen(listener, 0).expect("it listens with less room");
    let mut crowd = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        crowd.push(connected.expect("somebody listens"));
    }
    crowd
}

/// A connected socket of either family.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Bytes both ways, by whatever socket.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Socket {
    /// For whoever does not care what it is.
    pub fn boxed(self) -> Box<dyn Stream> {
        match self {
            Self::Tcp(socket) => Box::new(socket),
            Self::Unix(socket) => Box::new(socket),
            Self::Tls(socket) => socket,
        }
    }

    async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        into.reserve(16 * 1024);
        match self {
            Self::Tcp(socket) => socket.read_buf(into).await,
            Self::Unix(socket) => socket.read_buf(into).await,
            Self::Tls(socket) => socket.read_buf(into).await,
        }
    }

    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(into),
            Self::Unix(socket) => socket.try_read(into),
            Self::Tls(socket) => match socket.read(into).now_or_never() {
                Some(read) => read,
                None => Err(io::ErrorKind::WouldBlock.into()),
            },
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes).await,
            Self::Unix(socket) => socket.write(bytes).await,
            Self::Tls(socket) => {
                let count = socket.write(bytes).await?;
                socket.flush().await?;
                Ok(count)
            }
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown().await,
            Self::Unix(socket) => socket.shutdown().await,
            Self::Tls(socket) => socket.shutdown().await,
        }
    }
}

/// A socket and what was read from it but not yet asked for.
pub struct Wire {
    socket: Socket,
    buffer: Vec<u8>,
    ended: bool,
}

/// A body as it came.
#[derive(Debug, Default)]
pub struct Received {
    /// The content, decoded.
    pub body: Vec<u8>,
    /// The trailer section, line by line.
    pub trailers: Vec<(String, String)>,
    /// It ended as its framing says, not because the other side went away.
    pub complete: bool,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Nothing,
    Exactly(usize),
    Chunks,
    UntilClosed,
}

impl Wire {
    pub fn new(socket: Socket) -> Self {
        if let Socket::Tcp(tcp) = &socket {
            // So that `dribble` makes segments.
            tcp.set_nodelay(true).expect("a connected socket takes options");
        }
        Self { socket, buffer: Vec::new(), ended: false }
    }

    /// The socket, from which nothing was read yet.
    pub fn into_socket(self) -> Socket {
        assert!(self.buffer.is_empty(), "what was read already would be lost");
        self.socket
    }

    /// HTTP/2 was agreed on in TLS.
    pub fn speaks_http2(&self) -> bool {
        matches!(&self.socket, Socket::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    /// The other side has ended its direction, or the connection broke.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes more bytes off the socket; `false` at its end, however it came.
    pub async fn fill(&mut self) -> bool {
        if !self.ended {
            self.ended = !matches!(self.socket.read(&mut self.buffer).await, Ok(1..));
        }
        !self.ended
    }

    /// Looks whether the other side has ended, without waiting.
    pub fn peek_ended(&mut self) -> bool {
        let mut chunk = [0; 4096];
        while !self.ended {
            match self.socket.try_read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.ended = true,
            }
        }
        self.ended
    }

    /// A head with its empty line; `None` if the other side ended before the first byte of one.
    pub async fn next_head(&mut self) -> Option<String> {
        self.next_head_within(PATIENCE).await
    }

    /// The same, with another limit on the wait for its first byte.
    pub async fn next_head_within(&mut self, first: Duration) -> Option<String> {
        if self.buffer.is_empty() {
            match timeout(first, self.fill()).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => panic!("waited {first:?} in vain for a head"),
            }
        }
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                return Some(text(&self.take(at + 4)));
            }
            if !patiently("the rest of a head", self.fill()).await {
                panic!("the other side ended within a head: {:?}", text(&self.buffer));
            }
        }
    }

    /// Exactly `count` bytes, or as many as came before the end.
    pub async fn up_to(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && patiently("bytes", self.fill()).await {}
        self.take(count.min(self.buffer.len()))
    }

    /// Exactly `count` bytes.
    pub async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.up_to(count).await;
        assert_eq!(bytes.len(), count, "the other side ended too early, after {:?}", text(&bytes));
        bytes
    }

    /// Some bytes, at least one; none at the end.
    pub async fn read_some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            patiently("some bytes", self.fill()).await;
        }
        self.take(self.buffer.len())
    }

    /// Everything until the end.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        while patiently("the end of the connection", self.fill()).await {}
        self.take(self.buffer.len())
    }

    /// Reads and forgets until the end.
    pub async fn wait_ended(&mut self) {
        while patiently("the other side to end", self.fill()).await {
            self.buffer.clear();
        }
    }

    /// A body of this extent.
    pub async fn read_body(&mut self, extent: Extent) -> Received {
        match extent {
            Extent::Nothing => Received { complete: true, ..Received::default() },
            Extent::UntilClosed => Received { body: self.read_to_end().await, complete: true, ..Received::default() },
            Extent::Exactly(count) => {
                let body = self.up_to(count).await;
                Received { complete: body.len() == count, body, ..Received::default() }
            }
            Extent::Chunks => {
                let mut received = Received::default();
                received.complete = self.read_chunks(&mut received).await.is_some();
                received
            }
        }
    }

    /// The chunked coding (RFC 9112, 7.1); `None` when it was cut.
    async fn read_chunks(&mut self, received: &mut Received) -> Option<()> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else { panic!("{line:?} is no chunk size") };
            if size == 0 {
                break;
            }
            received.body.extend(self.up_to(size).await);
            let end = self.up_to(2).await;
            if end.len() < 2 {
                return None;
            }
            assert_eq!(end, b"\r\n", "a chunk is longer than it says");
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(());
            }
            received.trailers.extend(field(&line));
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = text(&self.take(at));
                self.take(2);
                return Some(line);
            }
            if !patiently("a line", self.fill()).await {
                return None;
            }
        }
    }

    /// Writes all of it, or tells why not.
    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = patiently("the other side to take bytes", self.socket.write(bytes)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Writes `bytes` again and again, until `limit` bytes are out or the other side takes none for `quiet`. How many
    /// went out.
    pub async fn flood(&mut self, bytes: &[u8], limit: usize, quiet: Duration) -> usize {
        let mut written = 0;
        while written < limit {
            let end = bytes.len().min(limit - written);
            match timeout(quiet, self.socket.write(&bytes[..end])).await {
                Ok(Ok(count)) => written += count,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        written
    }

    pub async fn half_close(&mut self) {
        // It may be gone already, and then it is closed.
        let _ = self.socket.shutdown().await;
    }

    /// Makes the drop that follows a reset instead of an orderly end. A unix socket knows no reset.
    pub fn reset(self) {
        if let Socket::Tcp(socket) = &self.socket {
            socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).expect("linger is an option of TCP");
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }
}

/// The value of a field in a head, by its first line.
pub fn value_of<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    values_of(head, name).into_iter().next()
}

/// The values of all lines of a field in a head.
pub fn values_of<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

/// The head says that its body comes in chunks.
pub fn is_chunked(head: &str) -> bool {
    values_of(head, "transfer-encoding").iter().any(|value| value.to_ascii_lowercase().ends_with("chunked"))
}

/// What `Content-Length` says.
pub fn content_length(head: &str) -> Option<usize> {
    value_of(head, "content-length").map(|value| value.parse().expect("a length is a number"))
}

/// Text, with what is none of it replaced.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
