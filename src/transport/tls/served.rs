//! TLS as its server, once rustls has shaken hands (docs/adr/0046-own-records.md). Who is served and has nothing to say
//! holds keys and no memory beside: records come and go through what all connections of a worker share.

use std::{
    fmt,
    io::{self, IoSlice},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

pub use self::{
    buffer::tidy,
    handshake::{Handshake, hear},
};
use self::{
    buffer::{Buffer, ROOM},
    parts::Parts,
    records::Records,
};

use crate::transport::send::{NO_SIGNAL, poll_send};

mod buffer;
mod handshake;
mod key;
mod parts;
mod records;
#[cfg(test)]
mod tests;

/// A client's connection, encrypted.
pub struct Served {
    socket: TcpStream,
    records: Records,
    /// What has come in and is not yet opened; behind what was opened and not yet read.
    incoming: Option<Buffer>,
    /// Where that is.
    data: Range<usize>,
    /// What is sealed and not yet sent: at most one buffer, and never an empty one.
    outgoing: Option<Buffer>,
    is_http2: bool,
}

impl Served {
    fn new(socket: TcpStream, records: Records, incoming: Option<Buffer>, is_http2: bool) -> Self {
        Self { socket, records, incoming, data: 0..0, outgoing: None, is_http2 }
    }

    /// The TCP connection below.
    pub const fn tcp(&self) -> &TcpStream {
        &self.socket
    }

    /// HTTP/2 was agreed on.
    pub const fn speaks_http2(&self) -> bool {
        self.is_http2
    }

    /// There is data, or an end, for which the kernel need not be asked.
    pub fn holds_something(&self) -> bool {
        let has_whole = |incoming: &Buffer| self.records.is_whole(incoming.filled());
        !self.data.is_empty()
            || self.records.is_over()
            || self.records.has_failed()
            || self.incoming.as_ref().is_some_and(has_whole)
    }

    /// Gives what was opened, as much as is wanted of it; false if there is nothing.
    fn give(&mut self, wanted: &mut ReadBuf<'_>) -> bool {
        let Some(incoming) = self.incoming.as_ref().filter(|_| !self.data.is_empty()) else { return false };
        let count = self.data.len().min(wanted.remaining());
        wanted.put_slice(incoming.at(self.data.start..self.data.start + count));
        self.data.start += count;
        if self.data.is_empty() && incoming.is_empty() {
            self.incoming = None;
        }
        true
    }

    /// Opens the next record that is there; false if there is none.
    fn open(&mut self) -> io::Result<bool> {
        let Some(incoming) = &mut self.incoming else { return Ok(false) };
        match self.records.open(incoming.filled_mut(), &mut self.outgoing) {
            Ok(None) => Ok(false),
            Ok(Some(opened)) => {
                let front = incoming.front();
                self.data = front + opened.data.start..front + opened.data.end;
                incoming.skip(opened.taken);
                // What comes behind the end is ignored (RFC 8446, 6.1).
                if self.records.is_over() || self.data.is_empty() && incoming.is_empty() {
                    self.incoming = None;
                }
                Ok(true)
            }
            Err(error) => {
                self.incoming = None;
                self.send_now();
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }

    /// Reads more behind what is there; false where that is all that comes.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut incoming = with_room(self.incoming.take());
        let mut room = ReadBuf::new(incoming.room());
        let polled = Pin::new(&mut self.socket).poll_read(cx, &mut room);
        let count = room.filled().len();
        incoming.fill(count);
        match polled {
            Poll::Ready(Ok(())) => {
                self.incoming = Some(incoming);
                Poll::Ready(Ok(count > 0))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                // Who has sent half a record holds that half.
                self.incoming = (!incoming.is_empty()).then(|| Buffer::exactly(incoming.filled().to_vec()));
                // An answer to a new key waits for no data of ours.
                self.send_now();
                Poll::Pending
            }
        }
    }

    /// Sends what can be sent without waiting: it is not whoever writes who reads, and is to be woken.
    fn send_now(&mut self) {
        if let Some(outgoing) = &mut self.outgoing
            && let Ok(sent) = self.socket.try_write(outgoing.filled())
        {
            outgoing.skip(sent);
            if outgoing.is_empty() {
                self.outgoing = None;
            }
        }
    }

    /// Sends all that is sealed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(outgoing) = &mut self.outgoing {
            let sent = ready!(poll_send(&self.socket, cx, outgoing.filled(), NO_SIGNAL))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outgoing.skip(sent);
            if outgoing.is_empty() {
                self.outgoing = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The same bytes where more can come behind them. A record that is not whole is shorter than that.
fn with_room(incoming: Option<Buffer>) -> Buffer {
    match incoming {
        Some(mut shared) if shared.is_shared() => {
            shared.compact();
            shared
        }
        Some(rest) => {
            let (mut shared, rest) = (Buffer::spare(), rest.filled());
            debug_assert!(rest.len() < ROOM, "what is not whole is shorter");
            shared.room()[..rest.len()].copy_from_slice(rest);
            shared.fill(rest.len());
            shared
        }
        None => Buffer::spare(),
    }
}

impl AsyncRead for Served {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, wanted: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.give(wanted) || this.records.is_over() {
                return Poll::Ready(Ok(()));
            }
            if this.records.has_failed() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if !this.open()? && !ready!(this.poll_more(cx))? {
                // Nobody has said so: it may have been cut off.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl AsyncWrite for Served {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// What is taken is sealed; what cannot be sent of it now goes out before more is taken.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        if this.records.has_said_end() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let sealed = this.records.seal(&mut Parts::of(parts), &mut this.outgoing);
        let sent = this.poll_send(cx);
        let taken = sealed.map_err(io::Error::other)?;
        match sent {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.records.say_end(&mut this.outgoing).map_err(io::Error::other)?;
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("socket", &self.socket).finish_non_exhaustive()
    }
}
