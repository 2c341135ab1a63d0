//! Memory in which records are read and written. It goes from connection to connection of a worker.

use std::{cell::RefCell, ops::Range};

use super::key::{MOST_AROUND, MOST_PLAIN};

/// Two full records, and what has to be said beside them.
pub const ROOM: usize = 2 * (MOST_PLAIN + MOST_AROUND) + ASIDE;
/// For alerts and new keys, which find room behind any data.
pub const ASIDE: usize = 512;

/// So many are kept: only who cannot go on holds one for longer than a turn.
const MOST_SPARE: usize = 16;
/// And so many of them while there is little to do.
const SPARE_AT_REST: usize = 2;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Lets go of what is kept beyond a few.
pub fn tidy() {
    SPARE.with_borrow_mut(|spare| spare.truncate(SPARE_AT_REST));
}

/// Bytes that have come in, or that are to go out, from the front to the back.
pub struct Buffer {
    bytes: Box<[u8]>,
    filled: Range<usize>,
}

impl Buffer {
    /// An empty one with [`ROOM`].
    pub fn spare() -> Self {
        let bytes = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; ROOM].into_boxed_slice());
        Self { bytes, filled: 0..0 }
    }

    /// Just this, with room for nothing more.
    pub fn exactly(bytes: Vec<u8>) -> Self {
        let filled = 0..bytes.len();
        Self { bytes: bytes.into_boxed_slice(), filled }
    }

    /// It is one of those that go from connection to connection.
    pub fn is_shared(&self) -> bool {
        self.bytes.len() == ROOM
    }

    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.filled.clone()]
    }

    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled.clone()]
    }

    /// Where the front is.
    pub const fn front(&self) -> usize {
        self.filled.start
    }

    /// What stands there, needed or not.
    pub fn at(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place]
    }

    /// Behind what is filled.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled.end..]
    }

    /// So much of the room was filled.
    pub fn fill(&mut self, count: usize) {
        self.filled.end += count;
        debug_assert!(self.filled.end <= self.bytes.len(), "only what there is room for");
    }

    /// So much at the front is no longer needed.
    pub fn skip(&mut self, count: usize) {
        self.filled.start += count;
        debug_assert!(self.filled.start <= self.filled.end, "only what is there");
    }

    /// Moves what is filled to the front of all.
    pub fn compact(&mut self) {
        let length = self.filled.len();
        if self.filled.start > 0 {
            self.bytes.copy_within(self.filled.clone(), 0);
        }
        self.filled = 0..length;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.is_shared() {
            let bytes = std::mem::take(&mut self.bytes);
            // At the end of a thread there is nobody to take it.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < MOST_SPARE {
                    spare.push(bytes);
                }
            });
        }
    }
}
