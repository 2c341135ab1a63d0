//! A large answer that is kept in pieces of one size. Its own entry has no body, and is stored under its key as any other; the pieces are
//! stored beside it, under keys that only this entry leads to: when it goes, they are nobody's.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::key::Key;

/// What the pieces are of.
pub struct Sliced {
    /// Of this process's.
    number: u64,
    size: u64,
    length: u64,
    is_lost: AtomicBool,
}

/// No answer has more pieces: it is not kept.
pub const MOST: u64 = 65_536;

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Sliced {
    /// An answer of this length in pieces of this size; `None` if these were too many.
    pub fn new(size: u64, length: u64) -> Option<Arc<Self>> {
        (length.div_ceil(size) <= MOST).then(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            Arc::new(Self { number, size, length, is_lost: AtomicBool::new(false) })
        })
    }

    /// How long the whole answer is.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The piece that this byte is in.
    pub fn piece_at(&self, at: u64) -> u64 {
        at / self.size
    }

    /// The first and the last byte of a piece.
    pub fn bounds(&self, piece: u64) -> (u64, u64) {
        let first = piece * self.size;
        (first, (first + self.size).min(self.length) - 1)
    }

    /// What a piece of this target is stored under.
    pub fn key(&self, target: &[u8], piece: u64) -> Key {
        Key::of_piece(target, self.number, piece)
    }

    /// The keys of all its pieces.
    pub fn keys(&self, target: &[u8]) -> impl Iterator<Item = Key> {
        (0..self.length.div_ceil(self.size)).map(|piece| self.key(target, piece))
    }

    /// Endpoints have something else by now: no more pieces of it can be had.
    pub fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// No more pieces of it can be had.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_of_one_size_but_the_last() {
        let sliced = Sliced::new(10, 25).expect("a few");

        assert_eq!([0, 1, 2].map(|piece| sliced.bounds(piece)), [(0, 9), (10, 19), (20, 24)]);
        assert_eq!([0, 9, 10, 24].map(|at| sliced.piece_at(at)), [0, 0, 1, 2]);
        assert_eq!(sliced.keys(b"http://a/").count(), 3);
        assert!(Sliced::new(10, 10 * MOST).is_some() && Sliced::new(10, 10 * MOST + 1).is_none());
    }

    #[test]
    fn no_two_answers_share_a_piece_and_no_request_has_its_key() {
        let [one, other] = [(); 2].map(|()| Sliced::new(10, 25).expect("a few"));

        assert_ne!(one.key(b"http://a/", 0), other.key(b"http://a/", 0));
        assert_ne!(one.key(b"http://a/", 0), one.key(b"http://a/", 1));
        let key = one.key(b"http://a/", 0);
        assert!(key.target() == key.as_bytes() && key.is_of_piece() && key.target().starts_with(b"http://a/\n"));
    }
}
