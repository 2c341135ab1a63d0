//! Places that are counted where there are only so many: of an upstream, and of one of its endpoints.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Who keeps count of the places of an upstream.
pub trait Gate: Send + Sync {
    /// One place more is free.
    fn left(&self);
}

/// A place at an upstream, and at one of its endpoints. Whoever waits is told when it falls.
pub struct Slot {
    gate: Arc<dyn Gate>,
    at: Option<Arc<AtomicU32>>,
}

impl Slot {
    /// A place that this gate has counted.
    pub fn of(gate: Arc<dyn Gate>) -> Self {
        Self { gate, at: None }
    }

    /// Takes one of so many places of an endpoint, if one is free, and gives up that of the one before.
    pub fn enter(&mut self, taken: &Arc<AtomicU32>, most: u32) -> bool {
        self.leave();
        let one_more = |taken: u32| (taken < most).then_some(taken + 1);
        let entered = taken.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_more).is_ok();
        if entered {
            self.at = Some(Arc::clone(taken));
        }
        entered
    }

    /// Gives up the place of an endpoint, and keeps that of the upstream. Nobody is told.
    pub fn leave(&mut self) {
        if let Some(taken) = self.at.take() {
            taken.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.leave();
        self.gate.left();
    }
}
