//! Numbers that are counted up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// One that one thread adds to and others read. Not for two that write: one addition would be lost. For that no core has to
/// ask another one.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// How many there are.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One that every thread adds to, also with each request: most threads have a line of memory of their own.
#[derive(Debug, Default)]
pub struct SpreadCount([Line; LINES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

const LINES: usize = 8;

thread_local! {
    static LINE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % LINES
    };
}

impl SpreadCount {
    /// One more.
    pub fn one(&self) {
        let Line(line) = &self.0[LINE.with(|line| *line)];
        line.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn now(&self) -> u64 {
        self.0.iter().map(|Line(line)| line.load(Ordering::Relaxed)).sum()
    }
}

/// One that every thread adds to: for what does not happen with each request.
#[derive(Debug, Default)]
pub struct SharedCount(AtomicU64);

impl SharedCount {
    /// One more; how many there are with it.
    pub fn one(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many there are.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_many_threads_count_is_counted() {
        let count = SpreadCount::default();

        thread::scope(|scope| {
            for _ in 0..LINES + 3 {
                scope.spawn(|| (0..1000).for_each(|_| count.one()));
            }
        });

        assert_eq!(count.now(), 1000 * (LINES as u64 + 3));
    }
}
