//! How the last requests went, in two numbers.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Requests and failures of the last [`LENGTH`] or two. All workers write to it; when it moves on some may be lost.
#[derive(Debug, Default)]
pub struct Window {
    /// Which [`LENGTH`] of the coarse clock `current` is.
    number: AtomicU64,
    /// Requests in the upper half, failures in the lower one.
    current: AtomicU64,
    /// The same of the one before.
    previous: AtomicU64,
}

/// What was before that is forgotten.
const LENGTH: Duration = Duration::from_secs(10);
const REQUEST: u64 = 1 << 32;

/// Requests and failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// All requests.
    pub requests: u32,
    /// Those that failed.
    pub failures: u32,
}

impl Window {
    /// One request more. Returns all that are counted.
    pub fn count(&self, failed: bool, now: Duration) -> Count {
        self.move_on(now);
        self.add(REQUEST + u64::from(failed))
    }

    /// One that was counted as good has failed after all.
    pub fn recount(&self, now: Duration) -> Count {
        self.move_on(now);
        self.add(1)
    }

    fn add(&self, one: u64) -> Count {
        let current = self.current.fetch_add(one, Ordering::Relaxed).wrapping_add(one);
        let (current, previous) = (Count::of(current), Count::of(self.previous.load(Ordering::Relaxed)));
        Count { requests: current.requests + previous.requests, failures: current.failures + previous.failures }
    }

    /// Begins anew.
    pub fn forget(&self) {
        self.current.store(0, Ordering::Relaxed);
        self.previous.store(0, Ordering::Relaxed);
    }

    fn move_on(&self, now: Duration) {
        let (number, here) = (now.as_secs() / LENGTH.as_secs(), self.number.load(Ordering::Relaxed));
        if number <= here || self.number.compare_exchange(here, number, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let last = self.current.swap(0, Ordering::Relaxed);
        self.previous.store(if number == here + 1 { last } else { 0 }, Ordering::Relaxed);
    }
}

impl Count {
    fn of(packed: u64) -> Self {
        Self { requests: (packed >> 32) as u32, failures: packed as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_the_last_two_lengths() {
        let window = Window::default();
        let at = Duration::from_secs;
        window.count(false, at(1000));
        assert_eq!(window.recount(at(1000)), Count { requests: 1, failures: 1 });
        assert_eq!(window.count(false, at(1009)), Count { requests: 2, failures: 1 });
        assert_eq!(window.count(true, at(1010)), Count { requests: 3, failures: 2 });
        assert_eq!(window.count(false, at(1020)), Count { requests: 2, failures: 1 });
        assert_eq!(window.count(false, at(1050)), Count { requests: 1, failures: 0 });
    }
}
