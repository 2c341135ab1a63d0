//! What is written to the client: what is in memory, and behind it a piece of an answer that is not.

use std::{
    io,
    task::{Context, Poll, ready},
};

use super::{Line, Wire};
use crate::http::shortcut::{MIN_LEFT, is_refusal};

impl Wire {
    /// The body that has heard us ask may leave pieces, if there is enough of it and the client's socket takes them.
    pub fn open_shortcut(&self, length: u64) {
        let may_pour = |line: &mut Line| line.known().is_ok_and(|socket| socket.is_clear());
        if length >= MIN_LEFT && self.line.borrow_mut().as_mut().is_some_and(may_pour) {
            self.shortcut.open();
        }
    }

    /// Nothing is left to write.
    pub fn is_written(&self) -> bool {
        self.output.borrow().is_empty() && !self.shortcut.has_piece()
    }

    /// What is to be written is all there will be if the answer ends with it: the request has ended, and nothing has come behind
    /// it.
    pub fn may_be_last(&self) -> bool {
        self.is_body_complete() && self.input.borrow().is_empty() && !self.shortcut.has_piece()
    }

    /// Writes all that is there. `moved` is set when a byte went out.
    pub(super) fn poll_write_to(
        &self,
        line: &mut Line,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        ready!(self.output.borrow_mut().poll_write(cx, line, moved))?;
        let Some(mut piece) = self.shortcut.take() else { return Poll::Ready(Ok(())) };
        match line.known()?.poll_pour(cx, &mut piece, moved) {
            Poll::Pending => {
                self.shortcut.put(piece);
                Poll::Pending
            }
            // It is read into memory, and what follows comes that way from the start.
            Poll::Ready(Err(error)) if is_refusal(&error) => {
                self.shortcut.shut();
                let mut output = self.output.borrow_mut();
                output.put(piece.read_out()?, b"");
                output.poll_write(cx, line, moved)
            }
            Poll::Ready(poured) => Poll::Ready(poured),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{future::poll_fn, io::Write, os::fd::AsFd};

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;
    use crate::{
        edge::h1::Visit,
        http::{BodySize, Piece},
    };

    #[actix_rt::test]
    async fn what_a_socket_does_not_take_from_a_pipe_is_read_and_written() {
        let (near, mut far) = tokio::net::UnixStream::pair().expect("sockets");
        let (mut from, to) = std::os::unix::net::UnixStream::pair().expect("sockets");
        from.write_all(b"a piece").expect("there is room");
        let mut piece = Piece::empty().expect("a pipe");
        piece.fill(to.as_fd(), MIN_LEFT).expect("it has come");
        // Nothing is spliced into what is appended to (splice(2), EINVAL).
        fcntl_setfl(&near, OFlags::APPEND | OFlags::NONBLOCK).expect("it may be changed");
        let wire = Wire::new(Visit::at(crate::transport::dial::Stream::Unix(near)));
        wire.output.borrow_mut().lines.extend_from_slice(b"a head, ");
        wire.shortcut.ask(|| {
            wire.shortcut.hear();
            BodySize::Sized(MIN_LEFT)
        });
        wire.open_shortcut(MIN_LEFT);
        wire.shortcut.put(piece);

        poll_fn(|cx| wire.poll_write(cx)).await.expect("it is taken");

        assert!(wire.is_written() && !wire.shortcut.is_open());
        drop(wire);
        let mut came = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut far, &mut came).await.expect("text");
        assert_eq!(came, "a head, a piece");
    }
}
