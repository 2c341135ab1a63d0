//! Content that has been read from a socket and that nobody has taken yet: it lies in the h2 crate, frame by frame, and the
//! crate ends a connection where its small frames become too many. A conversation of short messages is full of them.

use std::{cell::Cell, task::Context};

/// Reading in turns, so that those who take content keep up with those who send it.
#[derive(Debug, Default)]
pub struct Turn {
    read: Cell<usize>,
}

impl Turn {
    /// So many bytes were read.
    pub fn read(&self, count: usize) {
        self.read.set(self.read.get() + count);
    }

    /// It is the others' turn: nothing more is to be read before the task is polled again, which it will be.
    pub fn is_over(&self, cx: &Context<'_>) -> bool {
        let is_over = self.read.get() >= A_TURN;
        if is_over {
            self.read.set(0);
            cx.waker().wake_by_ref();
        }
        is_over
    }
}

const A_TURN: usize = 64 * 1024;

/// What the crate may be made to keep besides content: it counts a small frame as [`A_FRAME`] bytes. One stream may fill its
/// window with the shortest messages of gRPC, and all together theirs with short ones.
pub fn budget(stream_window: u64, connection_window: u64) -> usize {
    let frames = (stream_window / SHORTEST_MESSAGE).max(connection_window / SHORT_MESSAGE);
    usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(A_FRAME)
}

const A_FRAME: usize = 256;
/// Whether it is compressed, how long it is, and nothing in it.
const SHORTEST_MESSAGE: u64 = 5;
const SHORT_MESSAGE: u64 = 32;

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_turn_ends_after_so_many_bytes_and_another_begins() {
        let woken = Arc::<Woken>::default();
        let waker = Arc::clone(&woken).into();
        let (cx, turn) = (Context::from_waker(&waker), Turn::default());

        turn.read(A_TURN - 1);
        assert!(!turn.is_over(&cx));
        turn.read(1);
        assert!(turn.is_over(&cx) && !turn.is_over(&cx));

        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_budget_is_enough_for_short_messages_and_no_more() {
        assert_eq!(budget(64 << 10, 1 << 20), 8 << 20, "of the defaults for clients");
        assert_eq!(budget(320, 320), 64 * 256, "of one stream");
    }
}
