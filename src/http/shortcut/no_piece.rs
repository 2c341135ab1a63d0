//! Where there is no splice(2): every byte goes through our memory.

use std::{convert::Infallible, io, os::fd::BorrowedFd};

use bytes::Bytes;

/// What is next of a body, in a pipe. There is none here.
#[derive(Debug)]
pub struct Piece(Infallible);

/// Nothing is refused that was never asked for.
pub fn is_refusal(_: &io::Error) -> bool {
    false
}

impl Piece {
    /// There is no pipe to be had.
    pub fn empty() -> Option<Self> {
        None
    }

    /// So many bytes are in it.
    pub fn len(&self) -> usize {
        match self.0 {}
    }

    /// There are none in it.
    pub fn is_empty(&self) -> bool {
        match self.0 {}
    }

    /// Moves what a socket has into it.
    ///
    /// # Errors
    /// None: there is no piece.
    pub fn fill(&mut self, _: BorrowedFd<'_>, _: u64) -> io::Result<()> {
        match self.0 {}
    }

    /// Moves as much of it into a socket as that takes.
    ///
    /// # Errors
    /// None: there is no piece.
    pub fn pour(&mut self, _: BorrowedFd<'_>) -> io::Result<()> {
        match self.0 {}
    }

    /// Reads it into memory.
    ///
    /// # Errors
    /// None: there is no piece.
    pub fn read_out(&mut self) -> io::Result<Bytes> {
        match self.0 {}
    }
}
