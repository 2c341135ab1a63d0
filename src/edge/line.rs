//! A client's connection as it has come in. The runtime does not hear of it before there is something to wait for: who has asked by
//! the time he is met, and is answered at once, comes and goes without that (docs/adr/0005-workers-accept.md).

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    mem,
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv, send},
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::{
    dial::Stream as Socket,
    send::{NO_SIGNAL, send_parts},
};

/// What is read of a connection before the runtime has heard of it: more than almost all heads.
const FIRST: usize = 4096;

thread_local! {
    /// Read into first, because what a buffer has room for is no memory yet that safe code could read into.
    static ROOM: RefCell<[u8; FIRST]> = const { RefCell::new([0; FIRST]) };
}

/// It.
pub enum Line {
    /// The runtime has not heard of it.
    Early {
        /// By TCP, in the clear. It does not block.
        socket: TcpStream,
        /// It was read from: what comes next is waited for.
        has_asked: bool,
    },
    /// The runtime has.
    Known(Socket),
    /// The runtime would not hear of it.
    Lost,
}

impl Line {
    /// One that was accepted just now.
    pub fn new(socket: TcpStream) -> Self {
        Self::Early { socket, has_asked: false }
    }

    /// The runtime has not heard of it.
    pub fn is_early(&self) -> bool {
        matches!(self, Self::Early { .. })
    }

    /// The socket that the runtime has not heard of.
    pub fn early(&self) -> Option<&TcpStream> {
        match self {
            Self::Early { socket, .. } => Some(socket),
            Self::Known(_) | Self::Lost => None,
        }
    }

    /// Has the runtime forget a socket of TCP in the clear: it is as if it had just been accepted. `None` if it is another.
    pub fn forget(&mut self) -> Option<&TcpStream> {
        if matches!(self, Self::Known(Socket::Tcp(_)))
            && let Self::Known(Socket::Tcp(socket)) = mem::replace(self, Self::Lost)
        {
            match socket.into_std() {
                Ok(socket) => *self = Self::new(socket),
                Err(error) => log::error!("a connection cannot be parked: {error}"),
            }
        }
        self.early()
    }

    /// It, as one that can be waited for.
    pub fn known(&mut self) -> io::Result<&mut Socket> {
        if self.is_early() {
            *self = Self::Known(mem::replace(self, Self::Lost).into_known()?);
        }
        match self {
            Self::Known(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The same, for good.
    pub fn into_known(self) -> io::Result<Socket> {
        match self {
            Self::Known(socket) => Ok(socket),
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
            Self::Early { socket, .. } => match tokio::net::TcpStream::from_std(socket) {
                Ok(socket) => Ok(Socket::Tcp(socket)),
                Err(error) => {
                    log::error!("a connection cannot be waited for: {error}");
                    Err(error)
                }
            },
        }
    }

    /// The TCP connection below, if it is one.
    pub fn tcp(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Early { socket, .. } => Some(SockRef::from(socket)),
            Self::Known(socket) => socket.tcp().map(SockRef::from),
            Self::Lost => None,
        }
    }

    /// Where it has come in.
    pub fn local(&self) -> Option<SocketAddr> {
        self.tcp()?.local_addr().ok()?.as_socket()
    }

    /// There is something to read; the kernel is asked.
    pub fn has_unread(&self) -> bool {
        match self {
            Self::Early { socket, .. } => {
                let peeked = recv(socket, &mut [0; 1], RecvFlags::PEEK);
                peeked.is_ok_and(|(count, _)| count > 0)
            }
            Self::Known(socket) => socket.has_unread(),
            Self::Lost => false,
        }
    }

    /// The other side has closed at least its half, as far as is known without asking the kernel.
    pub fn has_hung_up(&self) -> bool {
        match self {
            Self::Early { .. } => false,
            Self::Known(socket) => socket.has_hung_up(),
            Self::Lost => true,
        }
    }

    /// Sends at once, if the runtime has not heard of it and there is room.
    pub fn send_early(
        &self,
        send: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        at_once(send(self.early()?.as_fd()))
    }

    /// There is something to read, or the end, as far as is known without asking the kernel; or there may be.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Known(socket) => socket.poll_read_ready(cx),
            Self::Early { .. } | Self::Lost => Poll::Ready(Ok(())),
        }
    }
}

/// What would block is to be waited for; everything else is how it is.
fn at_once<T>(done: rustix::io::Result<T>) -> Option<io::Result<T>> {
    match done {
        Err(Errno::AGAIN | Errno::INTR) => None,
        done => Some(done.map_err(io::Error::from)),
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if let Self::Early { socket, has_asked } = line
            && !mem::replace(has_asked, true)
            && let Some(read) = at_once(read_first(socket, buffer))
        {
            return Poll::Ready(read);
        }
        Pin::new(line.known()?).poll_read(cx, buffer)
    }
}

fn read_first(socket: &TcpStream, buffer: &mut ReadBuf<'_>) -> rustix::io::Result<()> {
    ROOM.with_borrow_mut(|room| {
        let most = FIRST.min(buffer.remaining());
        let (count, _) = recv(socket, &mut room[..most], RecvFlags::empty())?;
        buffer.put_slice(&room[..count]);
        Ok(())
    })
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        if let Some(wrote) = line.send_early(|socket| send(socket, bytes, NO_SIGNAL)) {
            return Poll::Ready(wrote);
        }
        Pin::new(line.known()?).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        if let Some(wrote) = line.send_early(|socket| send_parts(socket, parts, NO_SIGNAL)) {
            return Poll::Ready(wrote);
        }
        Pin::new(line.known()?).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Known(socket) => Pin::new(socket).poll_flush(cx),
            Self::Early { .. } | Self::Lost => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Known(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Early { socket, .. } => Poll::Ready(socket.shutdown(Shutdown::Write)),
            Self::Lost => Poll::Ready(Ok(())),
        }
    }
}
