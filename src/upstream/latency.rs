//! How long an endpoint lately took to answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A mean that jumps up with a slow answer and comes down over `MEMORY`: the peak EWMA of Finagle. One number that all
/// workers write; of two that write at once one may be forgotten.
#[derive(Debug, Default)]
pub struct Latency {
    /// Microseconds in the upper half, and in the lower one when they were written, in milliseconds of the coarse
    /// clock. 0 is nothing known yet.
    known: AtomicU64,
}

/// After this long e-th of what was known is left. Not longer: after one slow answer an endpoint is shunned for some of these.
const MEMORY: Duration = Duration::from_secs(2);

impl Latency {
    /// An answer took so long.
    pub fn observe(&self, took: Duration, now: Duration) {
        let took = micros(took);
        let next = match self.read(now) {
            Some((known, kept)) if took < known => (f64::from(known) * kept + f64::from(took) * (1.0 - kept)) as u32,
            _ => took,
        };
        let known = u64::from(next.max(1)) << 32 | u64::from(stamp(now));
        self.known.store(known, Ordering::Relaxed);
    }

    /// An answer that nobody waits for any more would have taken at least so long.
    pub fn observe_at_least(&self, took: Duration, now: Duration) {
        if self.at(now).is_none_or(|known| known < took) {
            self.observe(took, now);
        }
    }

    /// Nothing is known any more: what was may be long ago, or of another process.
    pub fn forget(&self) {
        self.known.store(0, Ordering::Relaxed);
    }

    /// What to expect: the longer ago something was known, the less of it is left. `None` if nothing ever was.
    pub fn at(&self, now: Duration) -> Option<Duration> {
        let (known, kept) = self.read(now)?;
        Some(Duration::from_micros((f64::from(known) * kept) as u64))
    }

    /// What was known, in microseconds, and the part of it that is left.
    fn read(&self, now: Duration) -> Option<(u32, f64)> {
        let known = self.known.load(Ordering::Relaxed);
        if known == 0 {
            return None;
        }
        let (latency, written) = ((known >> 32) as u32, known as u32);
        // The clock of another core may be a little behind; a difference like that is none.
        let age = stamp(now).wrapping_sub(written).cast_signed().max(0);
        Some((latency, (-f64::from(age) / MEMORY.as_millis() as f64).exp()))
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

        let later = latency.at(ms(3_001)).expect("it is known");
        assert!(later > ms(180) && later < ms(190), "{later:?}");
    }

    #[test]
    fn fast_answers_bring_it_down_slowly() {
        let latency = Latency::default();
        latency.observe(ms(100), ms(0));
        latency.observe(ms(10), ms(200));

        let known = latency.at(ms(200)).expect("it is known");

        assert!(known > ms(90) && known < ms(93), "{known:?}");
    }

    #[test]
    fn a_clock_that_is_a_little_behind_does_no_harm() {
        let latency = Latency::default();
        latency.observe(ms(100), ms(1_000));

        assert_eq!(latency.at(ms(990)), Some(ms(100)));
    }
}
