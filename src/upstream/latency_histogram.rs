//! How the times that requests took are spread.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// Counts of times, four for each doubling from 4 us on, so that a percentile is no more than a quarter too long. All workers write
/// to it without a lock, and the older a time the less it counts: all counts are halved after so many more, and after a minute.
#[derive(Debug)]
pub struct LatencyHistogram {
    counts: [AtomicU32; BUCKETS],
    seen: AtomicU32,
    /// When they last were halved, in milliseconds of the coarse clock.
    halved: AtomicU64,
    /// What is asked for, and what it was when it was last looked for, in microseconds; 0 where too few are known.
    share: f64,
    percentile: AtomicU32,
}

/// Four for each power of two from the second on.
const BUCKETS: usize = 4 * 30;

/// Of less nobody knows how they are spread.
const FEWEST: u32 = 100;

/// With so many, old ones go.
const MOST: u32 = 4096;

/// The percentile is looked for as often as this.
const EVERY: u32 = 20;

const MEMORY: Duration = Duration::from_secs(60);

impl LatencyHistogram {
    /// Nothing is known yet. `share` of all times will be below the percentile.
    pub fn new(share: f64) -> Self {
        let counts = std::array::from_fn(|_| AtomicU32::new(0));
        Self { counts, seen: AtomicU32::new(0), halved: AtomicU64::new(0), share, percentile: AtomicU32::new(0) }
    }

    /// Something took so long.
    pub fn observe(&self, took: Duration, now: Duration) {
        self.counts[bucket(took)].fetch_add(1, Ordering::Relaxed);
        let seen = self.seen.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if seen.is_multiple_of(EVERY) {
            self.look(now);
        }
    }

    /// What `share` of all times are below; `None` where too few are known.
    pub fn percentile(&self) -> Option<Duration> {
        let known = self.percentile.load(Ordering::Relaxed);
        (known != 0).then(|| Duration::from_micros(known.into()))
    }

    fn look(&self, now: Duration) {
        let total: u32 = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let found = if total < FEWEST { 0 } else { self.find(total) };
        self.percentile.store(found, Ordering::Relaxed);
        let now = now.as_millis() as u64;
        let halved = self.halved.load(Ordering::Relaxed);
        let is_old = now.saturating_sub(halved) >= MEMORY.as_millis() as u64;
        // One of those who see it does it; the first time there is nothing old.
        if (total >= MOST || is_old)
            && self.halved.compare_exchange(halved, now.max(halved + 1), Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && halved != 0
        {
            self.halve();
        }
    }

    /// The end of the bucket that the one in question is in.
    fn find(&self, total: u32) -> u32 {
        let mut left = (f64::from(total) * self.share).ceil() as u32;
        for (bucket, count) in self.counts.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if left <= count {
                return end(bucket);
            }
            left -= count;
        }
        // Somebody has halved them meanwhile.
        self.percentile.load(Ordering::Relaxed)
    }

    fn halve(&self) {
        for count in &self.counts {
            let gone = count.load(Ordering::Relaxed).div_ceil(2);
            count.fetch_sub(gone, Ordering::Relaxed);
        }
    }
}

fn bucket(time: Duration) -> usize {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(4);
    let power = micros.ilog2() - 2;
    (power * 4 + (micros >> power) - 4) as usize
}

/// The first time, in microseconds, that is in the next bucket.
fn end(bucket: usize) -> u32 {
    let (power, quarter) = (bucket / 4, bucket % 4);
    u32::try_from((quarter as u64 + 5) << power).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn of_a_few_times_nothing_is_known() {
        let histogram = LatencyHistogram::new(0.95);
        (1..FEWEST).for_each(|_| histogram.observe(ms(5), NOW));
        assert_eq!(histogram.percentile(), None);

        histogram.observe(ms(5), NOW);

        assert!(histogram.percentile().is_some());
    }

    #[test]
    fn what_is_rare_is_above_the_percentile() {
        let histogram = LatencyHistogram::new(0.95);
        for number in 0..200 {
            histogram.observe(if number % 25 == 0 { ms(900) } else { ms(10) }, NOW);
        }

        let known = histogram.percentile().expect("there are enough");

        assert!(known >= ms(10) && known <= ms(13), "{known:?}");
    }

    #[test]
    fn what_was_is_forgotten_with_time_and_with_what_came_since() {
        let histogram = LatencyHistogram::new(0.5);
        (0..1000).for_each(|_| histogram.observe(ms(500), NOW));
        // Twice the memory without a word: a quarter is left.
        histogram.look(NOW + MEMORY);
        histogram.look(NOW + 2 * MEMORY);
        (0..400).for_each(|_| histogram.observe(ms(1), NOW + 2 * MEMORY));
        assert!(histogram.percentile().is_some_and(|known| known < ms(2)), "{histogram:?}");

        (0..3 * MOST).for_each(|_| histogram.observe(ms(80), NOW + 2 * MEMORY));

        assert!(histogram.percentile().is_some_and(|known| known > ms(79)));
        let total: u32 = histogram.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert!(total <= MOST, "{total}");
    }

    proptest! {
        #[test]
        fn a_time_is_in_a_bucket_that_ends_a_quarter_behind_it_at_most(micros in 4u32..) {
            let end = u64::from(end(bucket(Duration::from_micros(micros.into()))));
            let micros = u64::from(micros);
            prop_assert!(end > micros || end == u64::from(u32::MAX));
            prop_assert!(end <= micros + micros / 4 + 1, "{} ends at {}", micros, end);
        }
    }
}
