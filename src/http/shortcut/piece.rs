//! Bytes that stay in the kernel: what splice(2) has moved from a socket into a pipe.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    os::fd::{BorrowedFd, OwnedFd},
};

use bytes::Bytes;
use rustix::{
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice},
};

/// As much is moved at once at most.
const MOST: usize = 256 * 1024;
/// What a pipe is to have room for, in pages of the kernel: of what a network card has put together each segment takes one.
const ROOM: usize = 256 * 1024;
/// A pipe with less than this costs more than a copy does.
const MIN_ROOM: usize = 64 * 1024;
/// So many pipes are there at most on one worker, each with something in it or spare; who finds none copies. It is what bounds the memory of clients that do not read.
const MAX_PIPES: usize = 64;
/// So many of them are kept when nothing is in them.
const MAX_SPARE: usize = 8;

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    static PIPES: Cell<usize> = const { Cell::new(0) };
}

/// What is next of a body, in a pipe.
pub struct Piece {
    /// There until the piece is dropped.
    pipe: Option<Pipe>,
    length: usize,
}

struct Pipe {
    into: OwnedFd,
    out_of: OwnedFd,
}

/// The kernel does not do this, or not with these sockets; what is to be moved can still be read and written.
pub fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|error| refusals.contains(&error))
}

impl Piece {
    /// Nothing yet, in a pipe of its own; `None` if there is no pipe to be had.
    pub fn empty() -> Option<Self> {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        spare.or_else(Pipe::new).map(|pipe| Self { pipe: Some(pipe), length: 0 })
    }

    /// So many bytes are in it.
    pub fn len(&self) -> usize {
        self.length
    }

    /// There are none in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Moves what a socket has into it, at most so much: once, while it is empty. Nothing is the end.
    ///
    /// # Errors
    /// Those of splice(2).
    pub fn fill(&mut self, socket: BorrowedFd<'_>, most: u64) -> io::Result<()> {
        let most = usize::try_from(most).unwrap_or(MOST).min(MOST);
        self.length = splice(socket, None, &self.pipe().into, None, most, FLAGS)?;
        Ok(())
    }

    /// Moves as much of it into a socket as that takes.
    ///
    /// # Errors
    /// Those of splice(2).
    pub fn pour(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let moved = splice(&self.pipe().out_of, None, socket, None, self.length, FLAGS)?;
        if moved == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.length -= moved;
        Ok(())
    }

    /// Reads it into memory.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn read_out(&mut self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.length];
        while self.length > 0 {
            let done = bytes.len() - self.length;
            let read = rustix::io::read(&self.pipe().out_of, &mut bytes[done..])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.length -= read;
        }
        Ok(bytes.into())
    }

    fn pipe(&self) -> &Pipe {
        self.pipe.as_ref().expect("it is there until the piece is dropped")
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A pipe in which something is left is of no use to anybody else.
impl Drop for Piece {
    fn drop(&mut self) {
        let Some(pipe) = self.pipe.take().filter(|_| self.length == 0) else { return };
        // A thread that ends has nowhere to keep it.
        let _ended = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MAX_SPARE {
                spare.push(pipe);
            }
        });
    }
}

impl Pipe {
    fn new() -> Option<Self> {
        if PIPES.get() == MAX_PIPES {
            return None;
        }
        let (out_of, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Who has many pipes already may get less, or none that is worth it.
        let room = fcntl_setpipe_size(&into, ROOM).or_else(|_| fcntl_getpipe_size(&into)).ok()?;
        if room < MIN_ROOM {
            return None;
        }
        PIPES.set(PIPES.get() + 1);
        Some(Self { into, out_of })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        PIPES.set(PIPES.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
    };

    use super::*;

    fn filled(bytes: &[u8]) -> Piece {
        let (mut near, far) = UnixStream::pair().expect("sockets");
        near.write_all(bytes).expect("there is room");
        let mut piece = Piece::empty().expect("a pipe");
        piece.fill(far.as_fd(), u64::MAX).expect("it has come");
        piece
    }

    #[test]
    fn what_came_goes_on_as_it_came() {
        let mut piece = filled(b"hello");
        let (near, mut far) = UnixStream::pair().expect("sockets");
        assert_eq!(piece.len(), 5);

        piece.pour(near.as_fd()).expect("there is room");

        let mut came = [0; 5];
        far.read_exact(&mut came).expect("it went out");
        assert_eq!((&came, piece.len()), (b"hello", 0));
    }

    #[test]
    fn what_cannot_be_moved_on_can_be_read() {
        let mut piece = filled(b"hello");

        assert_eq!(&piece.read_out().expect("it is there")[..], b"hello");
        assert!(piece.is_empty());
    }

    #[test]
    fn no_more_is_taken_than_was_asked_for() {
        let (mut near, far) = UnixStream::pair().expect("sockets");
        near.write_all(b"hello and more").expect("there is room");
        let mut piece = Piece::empty().expect("a pipe");

        piece.fill(far.as_fd(), 5).expect("it has come");

        assert_eq!(&piece.read_out().expect("it is there")[..], b"hello");
    }

    #[test]
    fn a_socket_that_has_nothing_says_so_and_one_that_has_ended_gives_nothing() {
        let (near, far) = UnixStream::pair().expect("sockets");
        far.set_nonblocking(true).expect("it can be");
        let mut piece = Piece::empty().expect("a pipe");

        let waits = piece.fill(far.as_fd(), 5).expect_err("nothing has come");
        drop(near);
        piece.fill(far.as_fd(), 5).expect("it has ended");

        assert_eq!((waits.kind(), piece.len()), (io::ErrorKind::WouldBlock, 0));
    }

    #[test]
    fn a_pipe_is_used_again_only_when_it_is_empty_and_there_are_only_so_many() {
        let left = filled(b"hello");
        drop(left);
        assert_eq!((PIPES.get(), SPARE.with_borrow(Vec::len)), (0, 0));

        drop(Piece::empty());
        assert_eq!((PIPES.get(), SPARE.with_borrow(Vec::len)), (1, 1));

        let all: Vec<_> = (0..MAX_PIPES).map_while(|_| Piece::empty()).collect();
        assert_eq!((all.len(), PIPES.get()), (MAX_PIPES, MAX_PIPES));
        assert!(Piece::empty().is_none());
        drop(all);
        assert_eq!((PIPES.get(), SPARE.with_borrow(Vec::len)), (MAX_SPARE, MAX_SPARE));
    }
}
