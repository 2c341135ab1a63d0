//! Bytes that go from socket to socket without a copy: into a [`Piece`] and out of it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll, ready},
};

use tokio::{io::Interest, task::coop::poll_proceed};

use super::{dial::Stream, low_water::LowWater};
use crate::http::{Piece, shortcut::is_refusal};

/// As much is read at once elsewhere.
const READ: usize = 64 * 1024;

impl Stream {
    /// It can be spliced, as far as can be told from its kind.
    pub fn is_clear(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// Takes what has come, at most so much, into a pipe. Empty, it is the end; `None` if that cannot be done here or now:
    /// then nothing was taken. With a low-water mark, what comes fast is waited for until there is enough of it.
    pub fn poll_piece(
        &self,
        cx: &mut Context<'_>,
        most: u64,
        mut low_water: Option<&mut LowWater>,
    ) -> Poll<io::Result<Option<Piece>>> {
        match self {
            Self::Tcp(_) => {}
            // It has a mark and does not go by it.
            Self::Unix(_) => low_water = None,
            Self::Tls(_) | Self::Served(_) => return Poll::Ready(Ok(None)),
        }
        loop {
            let is_told = self.poll_read_ready(cx)?.is_ready();
            let is_over = |low_water: &mut LowWater| self.ask(|socket| low_water.is_over(socket, cx));
            if !is_told && !low_water.as_deref_mut().map_or(Ok(false), is_over)? {
                return Poll::Pending;
            }
            // Not before something has come: what waits has no pipe.
            let Some(mut piece) = Piece::empty() else { return Poll::Ready(Ok(None)) };
            let fill = |socket: BorrowedFd<'_>| {
                piece.fill(socket, most)?;
                let taken = piece.len() as u64;
                let Some(low_water) = low_water.as_deref_mut() else { return Ok(()) };
                // Nothing is known to be there any more.
                if low_water.taken(socket, taken, most - taken)? {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    Ok(())
                }
            };
            let filled = if is_told { self.try_io(Interest::READABLE, fill) } else { self.ask(fill) };
            match filled {
                Err(error) if piece.is_empty() && may_be_tried_again(&error) => {}
                Err(error) if piece.is_empty() && is_refusal(&error) => return Poll::Ready(Ok(None)),
                Err(error) if !may_be_tried_again(&error) => return Poll::Ready(Err(error)),
                _ => {
                    use_up_turn(cx, piece.len());
                    return Poll::Ready(Ok(Some(piece)));
                }
            }
        }
    }

    /// From now on the socket tells of whatever has come; without TLS one may have been told otherwise.
    pub fn lower_mark(&self, low_water: &mut LowWater) -> io::Result<()> {
        if self.is_clear() { self.ask(|socket| low_water.lower(socket)) } else { Ok(()) }
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

    /// Does this with the socket, whatever the runtime knows of it.
    fn ask<T>(&self, work: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => work(stream.as_fd()),
            Self::Unix(stream) => work(stream.as_fd()),
            Self::Tls(_) | Self::Served(_) => Err(io::ErrorKind::Unsupported.into()),
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
