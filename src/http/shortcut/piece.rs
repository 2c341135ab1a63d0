//! Bytes that stay in the kernel: what splice(2) has moved from a socket into a pipe.

use std::{
    cell::RefCell,
    fmt, io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use rustix::{
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice},
};

/// As much is moved at once at most. The more, the less a byte costs (docs/performance.md).
const MOST: usize = 1024 * 1024;
/// What a pipe has room for, as long as all of them have less than half of what they may have, and then.
const LARGE: usize = 1024 * 1024;
const SMALL: usize = 256 * 1024;
/// With less than this it costs more than a copy does.
const MIN_ROOM: usize = 64 * 1024;
/// What all pipes of the process have room for; who finds none copies. It bounds what clients that do not read cost the
/// kernel, and leaves enough of the 64 MiB that a user without more rights has for all of his pipes (pipe(7)).
const ALL: usize = 16 * 1024 * 1024;
/// So many are kept on a worker when nothing is in them.
const MAX_SPARE: usize = 4;

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// What the pipes that there are have room for.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// What is next of a body, in a pipe.
pub struct Piece {
    /// There until the piece is dropped.
    pipe: Option<Pipe>,
    length: usize,
}

struct Pipe {
    into: OwnedFd,
    out_of: OwnedFd,
    room: usize,
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
        let wanted = next_room(TAKEN.load(Ordering::Relaxed))?;
        let (out_of, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Whose user has many pipes gets less, or none that is worth it.
        let set = [wanted, SMALL].into_iter().find_map(|room| fcntl_setpipe_size(&into, room).ok());
        let room = set.or_else(|| fcntl_getpipe_size(&into).ok()).filter(|room| *room >= MIN_ROOM)?;
        TAKEN.fetch_add(room, Ordering::Relaxed);
        Some(Self { into, out_of, room })
    }
}

/// What the next one is to have room for, if there is to be one more.
fn next_room(taken: usize) -> Option<usize> {
    match taken {
        ALL.. => None,
        taken if taken < ALL / 2 => Some(LARGE),
        _ => Some(SMALL),
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.room, Ordering::Relaxed);
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
    fn a_pipe_is_used_again_only_when_it_is_empty() {
        drop(filled(b"hello"));
        assert_eq!(SPARE.with_borrow(Vec::len), 0);

        drop(Piece::empty());
        assert_eq!(SPARE.with_borrow(Vec::len), 1);

        let all: Vec<_> = (0..2 * MAX_SPARE).map_while(|_| Piece::empty()).collect();
        assert_eq!((all.len(), SPARE.with_borrow(Vec::len)), (2 * MAX_SPARE, 0));
        drop(all);
        assert_eq!(SPARE.with_borrow(Vec::len), MAX_SPARE);
    }

    #[test]
    fn there_is_so_much_room_for_all_and_the_first_have_most_of_it() {
        let mut rooms = Vec::new();
        while let Some(room) = next_room(rooms.iter().sum()) {
            rooms.push(room);
        }

        let large = rooms.iter().filter(|room| **room == LARGE).count();
        assert_eq!((rooms.iter().sum::<usize>(), large, rooms.len()), (ALL, 8, 40));
    }
}
