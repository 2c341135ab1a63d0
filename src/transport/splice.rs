//! Bytes that go from socket to socket without a copy: into a [`Piece`] and out of it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll, ready},
};

use tokio::{io::Interest, task::coop::poll_proceed};

use super::dial::Stream;
use crate::http::{Piece, shortcut::is_refusal};

/// As much is read at once elsewhere.
const READ: usize = 64 * 1024;

impl Stream {
    /// It can be spliced, as far as can be told from its kind.
    pub fn is_clear(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// Takes what has come, at most so much, into a pipe. Empty, it is the end; `None` if that cannot be done here or now:
    /// then nothing was taken.
    pub fn poll_piece(&self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<Option<Piece>>> {
        loop {
            if !self.is_clear() {
                return Poll::Ready(Ok(None));
            }
            ready!(self.poll_read_ready(cx))?;
            // Not before something has come: what waits has no pipe.
            let Some(mut piece) = Piece::empty() else { return Poll::Ready(Ok(None)) };
            match self.try_io(Interest::READABLE, |socket| piece.fill(socket, most)) {
                Ok(()) => {
                    use_up_turn(cx, piece.len());
                    return Poll::Ready(Ok(Some(piece)));
                }
                Err(error) if may_be_tried_again(&error) => {}
                Err(error) if is_refusal(&error) => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes all of a piece. `moved` is set when a byte went out.
    pub fn poll_pour(&self, cx: &mut Context<'_>, piece: &mut Piece, moved: &mut bool) -> Poll<io::Result<()>> {
        while !piece.is_empty() {
            ready!(self.poll_write_ready(cx))?;
            match self.try_io(Interest::WRITABLE, |socket| piece.pour(socket)) {
                Ok(()) => *moved = true,
                Err(error) if may_be_tried_again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tls(stream) => stream.get_ref().0.poll_write_ready(cx),
            Self::Served(stream) => stream.tcp().poll_write_ready(cx),
        }
    }

    /// What would block is known to, from then on.
    fn try_io(&self, interest: Interest, work: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, || work(stream.as_fd())),
            Self::Unix(stream) => stream.try_io(interest, || work(stream.as_fd())),
            Self::Tls(_) | Self::Served(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// What is as large as many reads is to count as many: others have their turns meanwhile.
fn use_up_turn(cx: &mut Context<'_>, moved: usize) {
    for _ in 1..moved.div_ceil(READ) {
        match poll_proceed(cx) {
            Poll::Ready(turn) => turn.made_progress(),
            Poll::Pending => break,
        }
    }
}

fn may_be_tried_again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
