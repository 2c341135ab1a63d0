//! New connections to endpoints: names, TCP, TLS, unix sockets.

use std::{
    cell::Cell,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use rustix::net::RecvFlags;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
};
use tokio_rustls::TlsStream;

use super::{
    Address, Phase, Target,
    send::{NO_SIGNAL, poll_send, poll_send_parts},
    spare,
    tls::{HTTP_2, served::Served},
};
use crate::http::proxy_protocol;

/// A connection to an endpoint, or to a client.
#[derive(Debug)]
pub enum Stream {
    /// By TCP, without delay.
    Tcp(TcpStream),
    /// By a unix socket.
    Unix(UnixStream),
    /// By TCP to an endpoint, encrypted. In a box: it is many times as large as the others.
    Tls(Box<TlsStream<TcpStream>>),
    /// By TCP from a client, encrypted.
    Served(Box<Served>),
}

/// Which versions of HTTP an endpoint may choose from where TLS is spoken (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1; so does who chooses nothing.
    Http1,
    /// HTTP/2 and nothing else.
    Http2,
    /// HTTP/2 before HTTP/1.1.
    Either,
}

/// Connects, says whose the connection is where the endpoint is told, and shakes hands where it speaks TLS. Without a
/// `preamble` it is our own. `phase` is how far it came, also for who gives up waiting.
///
/// # Errors
/// Why it came no further.
pub async fn dial(target: &Target, offer: Offer, preamble: Option<&[u8]>, phase: &Cell<Phase>) -> io::Result<Stream> {
    let mut stream = reach(&target.address, phase).await?;
    if let Some(version) = target.proxy_protocol {
        let mut own = Vec::new();
        if preamble.is_none() {
            proxy_protocol::write(version, None, &mut own);
        }
        stream.write_all(preamble.unwrap_or(&own)).await?;
    }
    match (stream, &target.tls) {
        (Stream::Tcp(stream), Some(profile)) => {
            phase.set(Phase::Handshake);
            profile.shake_hands(stream, offer).await
        }
        (stream, _) => Ok(stream),
    }
}

/// Whether there is somebody to connect to. Nothing is said.
///
/// # Errors
/// Why there is not.
pub async fn knock(at: &Address) -> io::Result<()> {
    reach(at, &Cell::new(Phase::Resolve)).await.map(drop)
}

/// Every address of a name is tried in its turn; it is the last one's reason that is told.
async fn reach(address: &Address, phase: &Cell<Phase>) -> io::Result<Stream> {
    let (host, port) = match address {
        Address::Unix(path) => {
            phase.set(Phase::Connect);
            return spare::making_room(|| UnixStream::connect(path)).await.map(Stream::Unix);
        }
        Address::Tcp { host, port } => (&**host, *port),
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        phase.set(Phase::Connect);
        return connect(SocketAddr::new(ip, port)).await;
    }
    phase.set(Phase::Resolve);
    let found = spare::making_room(|| lookup_host((host, port))).await?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in found {
        phase.set(Phase::Connect);
        match connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect(address: SocketAddr) -> io::Result<Stream> {
    let stream = spare::making_room(|| TcpStream::connect(address)).await?;
    // Heads and the ends of bodies are small: waiting to fill a segment would stall every upload.
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

/// Nothing that can be read, but the end of it: epoll tells that with what has priority, and nothing else has any here.
#[cfg(any(target_os = "linux", target_os = "android"))]
const HANGING_UP: Interest = Interest::PRIORITY.add(Interest::ERROR);
/// Others tell of errors only.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const HANGING_UP: Interest = Interest::ERROR;

/// Looks and does not take, nor wait.
const PEEK: RecvFlags = RecvFlags::PEEK.union(RecvFlags::DONTWAIT);

impl Stream {
    /// The TCP connection below, if it is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Served(stream) => Some(stream.tcp()),
            Self::Unix(_) => None,
        }
    }

    /// It is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Served(_))
    }

    /// HTTP/2 was agreed on.
    pub fn speaks_http2(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP_2),
            Self::Served(stream) => stream.speaks_http2(),
            Self::Tcp(_) | Self::Unix(_) => false,
        }
    }

    /// There is something to read, or the end, as far as is known without asking the kernel.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) if holds_plaintext(stream) => Poll::Ready(Ok(())),
            Self::Tls(stream) => stream.get_ref().0.poll_read_ready(cx),
            Self::Served(stream) if stream.holds_something() => Poll::Ready(Ok(())),
            Self::Served(stream) => stream.tcp().poll_read_ready(cx),
        }
    }

    /// The other side has closed at least its half, as far as is known without asking the kernel, whatever of what it sent
    /// before is still unread.
    pub fn has_hung_up(&self) -> bool {
        let ready = match self {
            Self::Tcp(stream) => stream.ready(HANGING_UP).now_or_never(),
            Self::Unix(stream) => stream.ready(HANGING_UP).now_or_never(),
            Self::Tls(stream) => stream.get_ref().0.ready(HANGING_UP).now_or_never(),
            Self::Served(stream) => stream.tcp().ready(HANGING_UP).now_or_never(),
        };
        matches!(ready, Some(Ok(ready)) if ready.is_read_closed() || ready.is_error())
    }

    /// There is something to read; the kernel is asked.
    pub fn has_unread(&self) -> bool {
        let mut first = [0; 1];
        let peeked = match self {
            Self::Tcp(stream) => rustix::net::recv(stream, &mut first, PEEK),
            Self::Unix(stream) => rustix::net::recv(stream, &mut first, PEEK),
            Self::Tls(stream) if holds_plaintext(stream) => return true,
            Self::Tls(stream) => rustix::net::recv(stream.get_ref().0, &mut first, PEEK),
            Self::Served(stream) if stream.holds_something() => return true,
            Self::Served(stream) => rustix::net::recv(stream.tcp(), &mut first, PEEK),
        };
        peeked.is_ok_and(|(count, _)| count > 0)
    }

    /// What can be read, once something can, and is left there. Nothing is said of what is encrypted.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut peek = |socket: BorrowedFd<'_>| Ok(rustix::net::recv(socket, &mut *buffer, PEEK)?.0);
        match self {
            Self::Tcp(stream) => stream.async_io(Interest::READABLE, || peek(stream.as_fd())).await,
            Self::Unix(stream) => stream.async_io(Interest::READABLE, || peek(stream.as_fd())).await,
            Self::Tls(_) | Self::Served(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads what is there, without waiting; as long as nothing was heard from it the kernel is not asked. Of what TLS has to
    /// say for itself, such as tickets, nothing is seen.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
            Self::Tls(stream) => try_decrypted(stream, buffer),
            Self::Served(stream) => try_decrypted(stream, buffer),
        }
    }
}

fn try_decrypted<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    match Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
        Poll::Ready(read) => read.map(|()| buffer.filled().len()),
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// What was decrypted and not yet read, or the other side's word that nothing more will come: then more is not wanted.
fn holds_plaintext(stream: &TlsStream<TcpStream>) -> bool {
    !stream.get_ref().1.wants_read()
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Served(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => poll_send(stream, cx, bytes, NO_SIGNAL),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Served(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => poll_send_parts(stream, cx, parts, NO_SIGNAL),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Served(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Only what encrypts keeps something back.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Served(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            // Says first that this is the end, so that it cannot be taken for one that was cut off.
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Served(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
