//! How long an endpoint lately took to answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The slowest of its last answers, each counted for less the longer ago it was, and for nothing after `MEMORY`: like the peak EWMA
/// of Finagle it jumps up with a slow answer and comes down with time, but it also does so while nobody asks, and all the way. One
/// number that all workers write, and few answers do; of two that write at once one may be forgotten.
#[derive(Debug, Default)]
pub struct Latency {
    /// Microseconds in the upper half, and in the lower one when they were written, in milliseconds of the coarse
    /// clock. 0 is nothing known yet.
    known: AtomicU64,
}

/// After one slow answer an endpoint is shunned for so long at most, however slow that was.
const MEMORY: Duration = Duration::from_millis(1_500);

impl Latency {
    /// An answer took so long, or would have taken at least so long when nobody waited for it any more.
    pub fn observe(&self, took: Duration, now: Duration) {
        if self.at(now).is_none_or(|known| known <= took) {
            let known = u64::from(micros(took).max(1)) << 32 | u64::from(stamp(now));
            self.known.store(known, Ordering::Relaxed);
        }
    }

    /// Nothing is known any more: what was may be long ago, or of another process.
    pub fn forget(&self) {
        self.known.store(0, Ordering::Relaxed);
    }

    /// What to expect: the longer ago something was known, the less of it is left. `None` if nothing ever was.
    pub fn at(&self, now: Duration) -> Option<Duration> {
        let known = self.known.load(Ordering::Relaxed);
        if known == 0 {
            return None;
        }
        let (latency, written) = ((known >> 32) as u32, known as u32);
        // The clock of another core may be a little behind; a difference like that is none.
        let age = stamp(now).wrapping_sub(written).cast_signed().max(0);
        let left = (1.0 - f64::from(age) / MEMORY.as_millis() as f64).max(0.0);
        Some(Duration::from_micros((f64::from(latency) * left) as u64))
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Milliseconds, cut to what an age needs.
fn stamp(now: Duration) -> u32 {
    now.as_millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn nothing_is_known_of_who_never_answered() {
        assert_eq!(Latency::default().at(ms(5)), None);
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_with_time() {
        let latency = Latency::default();
        latency.observe(ms(2), ms(1_000));
        latency.observe(ms(500), ms(1_001));
        assert_eq!(latency.at(ms(1_001)), Some(ms(500)));

        assert_eq!(latency.at(ms(1_751)), Some(ms(250)));
        assert_eq!([2_501, 9_000].map(|at| latency.at(ms(at))), [Some(ms(0)); 2]);

        latency.observe(ms(3), ms(2_501));
        assert_eq!(latency.at(ms(2_501)), Some(ms(3)), "what is forgotten counts no more");
    }

    #[test]
    fn fast_answers_neither_bring_it_down_nor_keep_it_up() {
        let latency = Latency::default();
        latency.observe(ms(1_000), ms(0));
        for at in 1..=3_000 {
            latency.observe(ms(10), ms(at));
            let known = latency.at(ms(at)).expect("it is known");
            let expected = 1_000_u64.saturating_sub(at * 1_000 / 1_500).max(10);
            assert!(known.abs_diff(ms(expected)) <= ms(1), "{known:?} at {at}");
        }
    }

    #[test]
    fn a_clock_that_is_a_little_behind_does_no_harm() {
        let latency = Latency::default();
        latency.observe(ms(100), ms(1_000));

        assert_eq!(latency.at(ms(990)), Some(ms(100)));
    }
}
