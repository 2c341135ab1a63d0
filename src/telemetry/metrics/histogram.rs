//! How long things took, in buckets.

use std::time::Duration;

use super::Count;

/// Upper ends of the buckets in microseconds; what took longer than the last is in one more.
pub const BOUNDS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// Written by one thread.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Count; BOUNDS.len() + 1],
    micros: Count,
}

/// What several of them hold together.
#[derive(Debug, Default, Clone)]
pub struct Buckets {
    /// How many took as long as that, not counted in the bucket before.
    pub counts: [u64; BOUNDS.len() + 1],
    /// How long all of them took.
    pub micros: u64,
}

impl Histogram {
    /// One more that took so long.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.micros.add(micros);
    }

    /// Counts it together with others.
    pub fn add_to(&self, sum: &mut Buckets) {
        for (sum, bucket) in sum.counts.iter_mut().zip(&self.buckets) {
            *sum += bucket.now();
        }
        sum.micros += self.micros.now();
    }
}

impl Buckets {
    /// How many there are in all.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_first_bucket_that_is_long_enough() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }

        let mut sum = Buckets::default();
        histogram.add_to(&mut sum);

        assert_eq!((sum.counts[0], sum.counts[1], sum.counts[15], sum.counts[16]), (2, 1, 1, 1));
        assert_eq!((sum.count(), sum.micros), (5, 120_001_002));
    }
}
