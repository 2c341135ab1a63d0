//! A way for content past our memory: from the socket of an endpoint through a pipe to that of a client
//! (docs/adr/0041-bodies-past-our-memory.md).
//!
//! The edge opens it for an answer if all that stands between it and the body is what the proxy has put there; the body
//! leaves pieces there instead of giving bytes.

use std::cell::{Cell, RefCell};

use super::BodySize;

#[cfg_attr(not(target_os = "linux"), path = "shortcut/no_piece.rs")]
mod piece;

pub use self::piece::{Piece, is_refusal};

/// So much must be left of a body at least: below it a copy costs as little.
pub const MIN_LEFT: u64 = 64 * 1024;

/// The way to one client connection: shut, unless its edge has opened it.
#[derive(Default)]
pub struct Shortcut {
    state: Cell<State>,
    piece: RefCell<Option<Piece>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Shut,
    /// The edge asks a body how long it is, and wants to know who hears it.
    Asking,
    /// The body that knows the way did, and nobody stands between.
    Heard,
    Open,
}

impl Shortcut {
    /// Asks a body for its size, so that the body knows who is asking.
    pub fn ask(&self, size: impl FnOnce() -> BodySize) -> BodySize {
        self.state.set(State::Asking);
        let size = size();
        if self.state.get() == State::Asking {
            self.state.set(State::Shut);
        }
        size
    }

    /// For a body that was asked for its size, and that nobody has wrapped: whether it is the edge that asks.
    pub fn hear(&self) -> bool {
        let is_asked = self.state.get() == State::Asking;
        if is_asked {
            self.state.set(State::Heard);
        }
        is_asked
    }

    /// From now on the body that was heard may leave pieces here.
    pub fn open(&self) {
        if self.state.get() == State::Heard {
            self.state.set(State::Open);
        }
    }

    /// Nothing more comes this way. What is there and was not taken goes.
    pub fn shut(&self) {
        if self.state.replace(State::Shut) == State::Open {
            self.piece.take();
        }
    }

    /// The body may leave its next piece here.
    pub fn is_open(&self) -> bool {
        self.state.get() == State::Open
    }

    /// Leaves a piece for the edge.
    pub fn put(&self, piece: Piece) {
        debug_assert!(self.is_open() && !self.has_piece(), "one piece at a time, where one is expected");
        self.piece.replace(Some(piece));
    }

    /// There is a piece that is not written yet.
    pub fn has_piece(&self) -> bool {
        self.piece.borrow().is_some()
    }

    /// So many bytes are in it.
    pub fn waiting(&self) -> u64 {
        self.piece.borrow().as_ref().map_or(0, |piece| piece.len() as u64)
    }

    /// The piece, for whoever writes it; it is put back if some of it is left.
    pub fn take(&self) -> Option<Piece> {
        self.piece.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_only_for_a_body_that_has_heard_the_edge_ask() {
        let shortcut = Shortcut::default();
        assert!(!shortcut.hear());

        shortcut.ask(|| BodySize::Stream);
        shortcut.open();
        assert!(!shortcut.is_open());

        shortcut.ask(|| {
            assert!(shortcut.hear());
            BodySize::Stream
        });
        shortcut.open();
        assert!(shortcut.is_open() && !shortcut.hear());

        shortcut.shut();
        shortcut.open();
        assert!(!shortcut.is_open());
    }
}
