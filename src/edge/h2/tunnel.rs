//! A stream that is handed over as bytes in both directions, in frames of DATA (RFC 8441, 5).

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{body::Content, session::Piece, stream::Channel};
use crate::http::{downstream::TakenOver, h2::frames::code};

/// A client that speaks another protocol from here on.
pub fn taken_over(channel: &Rc<Channel>, content: Content) -> TakenOver {
    let draining = channel.wire.ear.of_tunnels();
    let io = Box::new(Pipe { channel: Rc::clone(channel), content, left: Bytes::new(), is_shut: false });
    TakenOver { io, early: Bytes::new(), draining }
}

/// Both directions of a stream.
struct Pipe {
    channel: Rc<Channel>,
    content: Content,
    /// What came and was not read yet.
    left: Bytes,
    is_shut: bool,
}

impl Drop for Pipe {
    /// What was not ended in order must not look as if it had been.
    fn drop(&mut self) {
        if !self.is_shut {
            self.channel.reset(code::CANCEL);
        }
        // Nobody will read it, and the connection's window is for all.
        self.content.took(self.left.len());
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            match ready!(self.content.poll(cx)) {
                Piece::Bytes(bytes) => self.left = bytes,
                Piece::End(_) => return Poll::Ready(Ok(())),
                Piece::Gone => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
        let taken = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left[..taken]);
        self.left.advance(taken);
        // From now on the client may send as much more.
        self.content.took(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let place = self.channel.place;
        let sent = self.channel.wire.session(|session| {
            if !ready!(session.poll_turn(place, false, cx)) {
                return Poll::Ready(None);
            }
            let Some(room) = ready!(session.poll_room(place, cx)) else { return Poll::Ready(None) };
            let room = room.min(bytes.len());
            let is_sent = session.send_data(place, Bytes::copy_from_slice(&bytes[..room]), false);
            Poll::Ready(is_sent.then_some(room))
        });
        Poll::Ready(ready!(sent).ok_or(io::ErrorKind::BrokenPipe.into()))
    }

    /// What was sent is written as soon as the client takes it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our direction only.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.is_shut, true) {
            let place = self.channel.place;
            self.channel.wire.session(|session| session.send_data(place, Bytes::new(), true));
        }
        Poll::Ready(Ok(()))
    }
}
