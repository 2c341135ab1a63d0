//! What is counted of an upstream, besides what becomes of its requests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::telemetry::metrics::SharedCount;

/// Counted where it happens, over all workers; a reload does not begin anew.
#[derive(Debug, Default)]
pub struct Counts {
    /// Retries for which there was no budget.
    pub retries_refused: SharedCount,
    /// Requests that a second endpoint was asked for as well.
    pub hedges_sent: SharedCount,
    /// Those whose answer was that of the second one.
    pub hedges_won: SharedCount,
    /// Copies of requests that were sent here.
    pub copies_sent: SharedCount,
    /// Copies that were to be sent here, and were not.
    pub copies_dropped: SharedCount,
    /// How often it was not found where its endpoints are.
    pub searches_failed: SharedCount,
    /// By the token of RFC 9209.
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counts {
    /// An attempt has failed, whether or not another one follows.
    pub fn failed(&self, token: &'static str) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner).entry(token).or_default() += 1;
    }

    /// How many did.
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
