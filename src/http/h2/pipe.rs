//! A stream as bytes in both directions, in frames of DATA.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions of a stream.
pub struct Pipe<G> {
    stream: SendStream<Bytes>,
    frames: RecvStream,
    /// What came in a frame and was not read yet.
    left: Bytes,
    is_shut: bool,
    /// What is to be kept as long as the stream is used.
    _guard: G,
}

impl<G> Pipe<G> {
    /// Of these two; `guard` lives as long.
    pub fn new(stream: SendStream<Bytes>, frames: RecvStream, guard: G) -> Self {
        Self { stream, frames, left: Bytes::new(), is_shut: false, _guard: guard }
    }
}

impl<G> Drop for Pipe<G> {
    /// What was not ended in order must not look as if it had been.
    fn drop(&mut self) {
        if !self.is_shut {
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}

impl<G: Unpin> AsyncRead for Pipe<G> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.frames.poll_data(cx)) {
                Some(Ok(bytes)) => self.left = bytes,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let taken = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left[..taken]);
        self.left.advance(taken);
        // From now on the other side may send as much more.
        let released = self.frames.flow_control().release_capacity(taken);
        Poll::Ready(released.map_err(io::Error::other))
    }
}

impl<G: Unpin> AsyncWrite for Pipe<G> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.stream.reserve_capacity(bytes.len());
        loop {
            let room = self.stream.capacity().min(bytes.len());
            if room > 0 {
                let sent = self.stream.send_data(Bytes::copy_from_slice(&bytes[..room]), false);
                return Poll::Ready(sent.map(|()| room).map_err(io::Error::other));
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    /// What was sent is written as soon as the other side takes it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our direction only (RFC 8441, 5).
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.is_shut, true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.stream.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}
