//! Whoever carries least, for its weight.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{Balancer, Kind, Nothing};
use crate::{
    exchange::Exchange,
    settings::Problems,
    upstream::{Candidates, Endpoint},
};

/// The endpoint with the fewest exchanges in flight for its weight, over all workers. Among equals each in turn.
/// Where there are very many, so many of them are compared, others each time.
#[derive(Default)]
pub struct LeastRequests {
    start: AtomicUsize,
}

/// What a worker has the time for: half a microsecond (`cargo bench --bench picking`).
const MOST_COMPARED: usize = 256;

impl Kind for LeastRequests {
    const NAME: &'static str = "least_requests";
    const SUMMARY: &'static str = "the endpoint with the fewest requests in flight, by weight";
    type Settings = Nothing;

    fn build(_: Nothing, _endpoints: &[Arc<Endpoint>]) -> Result<Box<dyn Balancer>, Problems> {
        Ok(Box::<Self>::default())
    }
}

impl Balancer for LeastRequests {
    fn pick<'c>(&self, candidates: Candidates<'c>, _exchange: &Exchange) -> &'c Arc<Endpoint> {
        let start = self.start.fetch_add(1, Ordering::Relaxed);
        let mut best = candidates.nth(start);
        for offset in 1..candidates.len().min(MOST_COMPARED) {
            let other = candidates.nth(start.wrapping_add(offset));
            // Compared crosswise: load / weight without a division.
            let (ours, theirs) = (u64::from(best.in_flight()), u64::from(other.in_flight()));
            if theirs * u64::from(best.weight) < ours * u64::from(other.weight) {
                best = other;
            }
        }
        best
    }
}
