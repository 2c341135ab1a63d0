//! What is counted of an upstream, besides what becomes of its requests.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counted where something goes wrong, over all workers; a reload does not begin anew.
#[derive(Debug, Default)]
pub struct Counts {
    retries_refused: AtomicU64,
    /// By the token of RFC 9209.
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counts {
    /// There was no budget for a retry.
    pub fn retry_refused(&self) {
        self.retries_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How often there was none.
    pub fn retries_refused(&self) -> u64 {
        self.retries_refused.load(Ordering::Relaxed)
    }

    /// An attempt has failed, whether or not another one follows.
    pub fn failed(&self, token: &'static str) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner).entry(token).or_default() += 1;
    }

    /// How many did.
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
