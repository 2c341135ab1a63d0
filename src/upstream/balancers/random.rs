//! Anyone, the heavier more often.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Balancer, Kind};
use crate::{
    exchange::Exchange,
    upstream::{Candidates, Endpoint},
};

/// Anyone, with a chance by weight.
pub struct Random {
    state: AtomicU64,
}

impl Kind for Random {
    const NAME: &'static str = "random";
    const SUMMARY: &'static str = "any endpoint, with a chance by weight";

    fn build(_weights: &[u32]) -> Box<dyn Balancer> {
        Box::new(Self::seeded(0x9E37_79B9_7F4A_7C15))
    }
}

impl Random {
    /// One whose picks can be repeated.
    pub fn seeded(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// SplitMix64: every state once before any comes again, and one atomic addition a pick.
    fn next(&self) -> u64 {
        let state = self.state.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Balancer for Random {
    fn pick<'c>(&self, candidates: Candidates<'c>, _exchange: &Exchange) -> &'c Arc<Endpoint> {
        let sum: u64 = candidates.iter().map(|endpoint| u64::from(endpoint.weight)).sum();
        let mut point = self.next() % sum.max(1);
        for endpoint in candidates.iter() {
            match point.checked_sub(u64::from(endpoint.weight)) {
                Some(rest) => point = rest,
                None => return endpoint,
            }
        }
        candidates.nth(0)
    }
}
