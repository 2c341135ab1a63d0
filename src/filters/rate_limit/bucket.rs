//! When the next one may pass: the generic cell rate algorithm (ITU-T I.371), in nanoseconds.
//!
//! All that is known of a key is the time at which it will have nothing against it any more: its bucket is full then. Each request
//! moves that time on by one interval, and is refused if it would lie further ahead than the bucket is deep.

use std::time::Duration;

use crate::{filters::table::Rule, settings::rate::Rate};

/// How deep a bucket is, and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    interval: u64,
    depth: u64,
}

/// It is empty for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty(pub Duration);

/// So long at most until it is full: sums with any time that a clock shows do not overflow.
const LONGEST: u64 = 100 * 366 * 86_400 * 1_000_000_000;

impl Bucket {
    /// One that so many can be taken of at once; `None` if it took more than a hundred years to fill.
    pub fn new(rate: Rate, burst: u32) -> Option<Self> {
        let interval = u64::try_from(rate.interval().as_nanos()).ok()?;
        let depth = interval.checked_mul(burst.into()).filter(|depth| *depth <= LONGEST)?;
        Some(Self { interval, depth })
    }

    /// When it is full, with one taken now; or how long it is empty yet.
    pub fn take(self, full_at: u64, now: u64) -> Result<u64, Empty> {
        let then = full_at.max(now) + self.interval;
        match (then - now).checked_sub(self.depth) {
            Some(over @ 1..) => Err(Empty(Duration::from_nanos(over))),
            _ => Ok(then),
        }
    }

    /// From empty to full.
    pub fn fills_in(self) -> Duration {
        Duration::from_nanos(self.depth)
    }

    /// When it is full, with one put back.
    pub fn put_back(self, full_at: u64) -> u64 {
        full_at.saturating_sub(self.interval)
    }

    /// So many can be taken now.
    pub fn left(self, full_at: u64, now: u64) -> u64 {
        self.depth.saturating_sub(full_at.saturating_sub(now)) / self.interval
    }
}

/// One is taken now. Numbers are the times at which buckets are full.
pub struct Taking {
    /// What it is taken of.
    pub bucket: Bucket,
    /// In nanoseconds.
    pub now: u64,
}

impl Rule for Taking {
    type No = Empty;

    fn is_idle(&self, full_at: u64) -> bool {
        full_at < self.now
    }

    /// Later than `now`, and still not before it when it is put back: such a time the place has not had.
    fn first(&self, _: u64, shared: u64) -> Result<u64, Empty> {
        self.bucket.take(shared, self.now)
    }

    fn next(&self, full_at: u64, _: u64) -> Result<u64, Empty> {
        self.bucket.take(full_at, self.now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(rate: &str, burst: u32) -> Bucket {
        Bucket::new(rate.parse().expect("a rate"), burst).expect("it fits")
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_passes_and_then_one_an_interval() {
        let bucket = bucket("1/s", 3);
        let mut full_at = 0;
        let mut passes = |now: u64| match bucket.take(full_at, now) {
            Ok(then) => {
                full_at = then;
                Ok(bucket.left(then, now))
            }
            Err(Empty(wait)) => Err(wait),
        };

        assert_eq!([passes(SECOND), passes(SECOND), passes(SECOND)], [Ok(2), Ok(1), Ok(0)]);
        assert_eq!(passes(SECOND), Err(Duration::from_secs(1)));
        assert_eq!(passes(2 * SECOND - 1), Err(Duration::from_nanos(1)));
        assert_eq!(passes(2 * SECOND), Ok(0));
        assert_eq!(passes(100 * SECOND), Ok(2));
    }

    #[test]
    fn a_bucket_that_never_fills_is_none() {
        let rate = "1/365d".parse().expect("a rate");

        assert!(Bucket::new(rate, 99).is_some());
        assert_eq!(Bucket::new(rate, 102), None);
    }

    proptest! {
        #[test]
        fn no_more_pass_than_a_burst_and_what_flows_in(
            burst in 1u32..50,
            steps in prop::collection::vec(0u64..2 * SECOND, 1..200),
        ) {
            let bucket = bucket("3/s", burst);
            let (begin, mut now, mut full_at, mut passed) = (77 * SECOND, 77 * SECOND, 0, 0);
            for step in steps {
                now += step;
                if let Ok(then) = bucket.take(full_at, now) {
                    full_at = then;
                    passed += 1;
                }
                prop_assert!(passed <= u64::from(burst) + (now - begin) * 3 / SECOND);
            }
        }
    }
}
