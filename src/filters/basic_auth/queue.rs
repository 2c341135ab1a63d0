//! Requests that wait until their password is looked at, and are not more than so many.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many may wait.
const MOST: usize = 256;

/// Counts those that wait.
pub struct Queue(AtomicUsize);

/// One of them, until it falls.
pub struct Waiting<'q>(&'q Queue);

impl Queue {
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// `None` if as many wait as may.
    pub fn enter(&self) -> Option<Waiting<'_>> {
        let enter = |waiting| (waiting < MOST).then_some(waiting + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).ok().map(|_| Waiting(self))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_and_fifty_six_wait_and_no_more() {
        let queue = Queue::new();
        let mut waiting: Vec<_> = (0..256).map(|_| queue.enter().expect("there is room")).collect();

        assert!(queue.enter().is_none());
        waiting.pop();
        assert!(queue.enter().is_some(), "who has had his turn makes room");
    }
}
