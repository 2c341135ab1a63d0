//! A number that one thread adds to and others read.

use std::sync::atomic::{AtomicU64, Ordering};

/// Not for two that write: one addition would be lost. For that no core has to ask another one.
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
