//! A part for each worker of what filters remember, so that none waits for another.

use std::sync::{
    Mutex, TryLockError,
    atomic::{AtomicUsize, Ordering},
};

/// More threads than this share parts.
const PARTS: usize = 64;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PART: usize = NEXT.fetch_add(1, Ordering::Relaxed) % PARTS;
}

/// One `T` for each worker; all of them go when it does.
pub struct PerWorker<T>(Box<[Mutex<T>]>);

impl<T: Default> Default for PerWorker<T> {
    fn default() -> Self {
        Self((0..PARTS).map(|_| Mutex::default()).collect())
    }
}

impl<T> PerWorker<T> {
    /// This worker's own. `None` if it has to share it and another has it just now: nobody waits.
    pub fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        match self.0[PART.with(|part| *part)].try_lock() {
            Ok(mut own) => Some(look(&mut own)),
            Err(TryLockError::Poisoned(own)) => Some(look(&mut own.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
