//! When a second endpoint is asked as well, because the first one takes longer than most.

use std::time::Duration;

use super::{latency_histogram::LatencyHistogram, retry::Budget};
use crate::{
    clock,
    settings::{HedgeSettings, hedge::HedgeAt},
};

/// When the requests of a route are hedged, and what is known of them. It outlives a reload.
#[derive(Debug)]
pub struct Hedge {
    /// What was written.
    pub written: HedgeSettings,
    /// How many second requests there may be.
    pub budget: Budget,
    /// How long the first ones took, where that decides.
    times: Option<LatencyHistogram>,
}

/// Sooner nobody is asked as well, whatever the percentile: the request would cost more than it gains.
const SOONEST: Duration = Duration::from_millis(1);

/// So many second requests at once, before anything was earned.
const BURST: u32 = 10;

impl Hedge {
    /// Of which nothing is known yet.
    pub fn new(written: HedgeSettings) -> Self {
        let times = match written.at {
            HedgeAt::Percentile(number) => Some(LatencyHistogram::new(f64::from(number) / 100.0)),
            HedgeAt::After(_) => None,
        };
        Self { written, budget: Budget::new(written.budget.fraction(), BURST), times }
    }

    /// How long to wait for the first one; `None` as long as nobody knows.
    pub fn delay(&self) -> Option<Duration> {
        match self.written.at {
            HedgeAt::Percentile(_) => Some(self.times.as_ref()?.percentile()?.max(SOONEST)),
            HedgeAt::After(time) => Some(time),
        }
    }

    /// An answer came after so long, whoever it came from: of who was first asked and was not the first to answer it is known that it
    /// would have taken longer. Without these, the slow ones, the percentile would sink and sink.
    pub fn observe(&self, took: Duration) {
        if let Some(times) = &self.times {
            times.observe(took, clock::coarse());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Share;

    #[test]
    fn nobody_is_asked_as_well_at_once_however_fast_the_others_are() {
        let hedge = Hedge::new(HedgeSettings { at: HedgeAt::Percentile(95), budget: Share::percent(5) });
        assert_eq!(hedge.delay(), None);

        (0..200).for_each(|_| hedge.observe(Duration::from_micros(80)));

        assert_eq!(hedge.delay(), Some(SOONEST));
    }
}
