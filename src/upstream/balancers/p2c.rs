//! The better of two: the power of two choices.

use std::{sync::Arc, time::Duration};

use super::{Balancer, Kind, Nothing, dice::Loaded};
use crate::{
    clock,
    exchange::Exchange,
    settings::Problems,
    upstream::{Candidates, Endpoint},
};

/// Two endpoints by chance, by weight, and of them the one where a request is likely to be answered first: fewer in
/// flight for its weight, times how long it lately took. That is nearly as good as to compare them all, costs the same
/// for two and for thousands, and workers that do not know of each other do not all run to the same one.
/// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001; latency as in Finagle's peak EWMA.)
pub struct P2c {
    dice: Loaded,
}

/// What is faster than this differs by chance.
const FLOOR: Duration = Duration::from_millis(1);
/// Who has not answered yet gets one request, and no second before that.
const UNKNOWN: Duration = Duration::from_secs(60);
/// Whoever is better by less is not better.
const CLEARLY: f64 = 1.2;

impl Kind for P2c {
    const NAME: &'static str = "p2c";
    const SUMMARY: &'static str = "of two endpoints by chance the one that will likely answer first";
    type Settings = Nothing;

    fn build(_: Nothing, endpoints: &[Arc<Endpoint>]) -> Result<Box<dyn Balancer>, Problems> {
        Ok(Box::new(Self { dice: Loaded::by_weight(endpoints) }))
    }
}

impl Balancer for P2c {
    fn pick<'c>(&self, candidates: Candidates<'c>, _exchange: &Exchange) -> &'c Arc<Endpoint> {
        let first = self.dice.pick(candidates);
        let Some(second) = self.another(candidates, first) else { return first };
        let now = clock::coarse();
        if cost(first, now) > cost(second, now) * CLEARLY { second } else { first }
    }

    fn wants_latency(&self) -> bool {
        true
    }
}

impl P2c {
    /// Another one than this.
    fn another<'c>(&self, candidates: Candidates<'c>, than: &Arc<Endpoint>) -> Option<&'c Arc<Endpoint>> {
        const THROWS: u32 = 4;
        if candidates.len() == 1 {
            return None;
        }
        let mut thrown = (0..THROWS).map(|_| self.dice.pick(candidates));
        thrown.find(|other| !Arc::ptr_eq(other, than)).or_else(|| {
            // The heaviest came every time.
            candidates.iter().find(|other| !Arc::ptr_eq(other, than))
        })
    }
}

/// How long a request would wait here, in seconds, as far as can be told.
fn cost(endpoint: &Endpoint, now: Duration) -> f64 {
    let in_flight = endpoint.in_flight();
    let latency = match endpoint.latency.at(now) {
        Some(latency) => latency.max(FLOOR),
        None if in_flight > 0 => UNKNOWN,
        None => FLOOR,
    };
    latency.as_secs_f64() * (f64::from(in_flight) / f64::from(endpoint.weight.max(1)) + 1.0)
}
