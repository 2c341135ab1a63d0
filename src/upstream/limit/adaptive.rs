//! How many requests endpoints carry without getting slower: found out while they do.
//!
//! What is asked of an endpoint beyond what it can do waits there, and shows as latency. So the limit follows the ratio between the
//! latency of an endpoint that has little to do and that of now: it grows by its root while the two are alike, and falls as they
//! part. The first one is measured anew now and then, for a moment in which little is let in; else it would become what it
//! is measured against.

use std::{
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

/// A limit that is found out. All workers write to it, and it outlives a reload.
#[derive(Debug)]
pub struct Adaptive {
    allowed: AtomicU32,
    heard: Heard,
    /// From here on an attempt takes long, in microseconds.
    slow: AtomicU64,
    /// When the next step is due, in milliseconds of the coarse clock.
    due: AtomicU64,
    control: Mutex<Control>,
}

/// What was heard since the last step.
#[derive(Debug, Default)]
struct Heard {
    answers: AtomicU32,
    failures: AtomicU32,
    micros: AtomicU64,
    most_in_flight: AtomicU32,
}

/// The same for one step.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// The mean, in seconds.
    latency: f64,
    /// The part that failed.
    failed: f64,
    most_in_flight: f64,
}

/// Decides.
#[derive(Debug)]
struct Control {
    limit: f64,
    /// The latency of an endpoint with little to do, in seconds.
    base: Option<f64>,
    look: Look,
    /// When to measure it anew.
    next_look: Duration,
}

/// How far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is not done now.
    None,
    /// Little is let in, and what was there before ends.
    Emptying,
    /// What is heard is of an endpoint with little to do.
    Measuring,
}

/// Between which it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Never less.
    pub least: u32,
    /// Never more.
    pub most: u32,
}

/// What it begins with.
const FIRST: u32 = 20;
/// So many times the latency of an endpoint with little to do is nothing to worry about: what takes part in it varies by itself.
const TOLERANCE: f64 = 1.5;
/// How much of the limit is let in while that latency is measured.
const GLANCE: f64 = 0.25;
/// How often.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The first time, for what is known until then may be of an endpoint that has too much to do already.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Where a larger part fails, the limit falls whatever the latency: failures are fast, and time-outs have none.
const MOST_FAILED: f64 = 0.1;
const BACK_OFF: f64 = 0.8;
/// Fewer answers tell nothing.
const FEWEST: u32 = 10;
const SHORTEST_STEP: Duration = Duration::from_millis(100);
const LONGEST_STEP: Duration = Duration::from_secs(2);

impl Adaptive {
    /// Nothing is known yet.
    pub fn new(Bounds { least, most }: Bounds) -> Self {
        let allowed = FIRST.clamp(least.min(most), most);
        let control = Control { limit: allowed.into(), base: None, look: Look::None, next_look: Duration::ZERO };
        Self {
            allowed: allowed.into(),
            heard: Heard::default(),
            slow: AtomicU64::new(0),
            due: AtomicU64::new(0),
            control: Mutex::new(control),
        }
    }

    /// How many requests may be under way now.
    pub fn allowed(&self) -> u32 {
        self.allowed.load(Ordering::Relaxed)
    }

    /// An attempt takes long after this time. If its client leaves then, the endpoint is likely to have it still, and nobody else will
    /// ever tell that it was slow: it counts as a failure.
    pub fn is_slow(&self, after: Duration) -> bool {
        after.as_micros() >= self.slow.load(Ordering::Relaxed).into()
    }

    /// An attempt has ended: after how long it was answered, or `None` if it failed. Says whether more may be under way than before.
    pub fn heed(&self, answered: Option<Duration>, in_flight: u32, bounds: Bounds, now: Duration) -> bool {
        self.heard.note(answered, in_flight);
        let now_is = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        if now_is < self.due.load(Ordering::Relaxed) || self.heard.count() < FEWEST {
            return false;
        }
        let mut control = match self.control.try_lock() {
            Ok(control) => control,
            Err(TryLockError::Poisoned(control)) => control.into_inner(),
            // Another worker takes the step.
            Err(TryLockError::WouldBlock) => return false,
        };
        if now_is < self.due.load(Ordering::Relaxed) {
            return false;
        }
        let sample = self.heard.take();
        let before = self.allowed.swap(control.step(sample, bounds, now), Ordering::Relaxed);
        let slow = control.base.map_or(0.0, |base| TOLERANCE * base * 1e6);
        self.slow.store(slow as u64, Ordering::Relaxed);
        let step = Duration::from_secs_f64(2.0 * sample.latency).clamp(SHORTEST_STEP, LONGEST_STEP);
        self.due.store(now_is + step.as_millis() as u64, Ordering::Relaxed);
        self.allowed() > before
    }
}

impl Heard {
    fn note(&self, answered: Option<Duration>, in_flight: u32) {
        match answered {
            Some(after) => {
                self.micros.fetch_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
                self.answers.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Read first: all cores would wait for each other to write what is there already.
        if self.most_in_flight.load(Ordering::Relaxed) < in_flight {
            self.most_in_flight.fetch_max(in_flight, Ordering::Relaxed);
        }
    }

    fn count(&self) -> u32 {
        self.answers.load(Ordering::Relaxed).saturating_add(self.failures.load(Ordering::Relaxed))
    }

    /// What others note meanwhile may count half; it is a mean of many.
    fn take(&self) -> Sample {
        let take = |count: &AtomicU32| f64::from(count.swap(0, Ordering::Relaxed));
        let (answers, failures) = (take(&self.answers), take(&self.failures));
        let seconds = self.micros.swap(0, Ordering::Relaxed) as f64 / 1e6;
        Sample {
            latency: seconds / answers.max(1.0),
            failed: failures / (answers + failures).max(1.0),
            most_in_flight: take(&self.most_in_flight),
        }
    }
}

impl Control {
    /// How many may be under way from now on.
    fn step(&mut self, sample: Sample, bounds: Bounds, now: Duration) -> u32 {
        let (least, most) = (f64::from(bounds.least.min(bounds.most)), f64::from(bounds.most));
        match self.look {
            Look::None => self.follow(sample),
            Look::Emptying => {}
            Look::Measuring if sample.failed <= MOST_FAILED => self.base = Some(sample.latency),
            Look::Measuring => {}
        }
        self.limit = self.limit.clamp(least, most);
        let is_due = self.is_due(sample, now);
        self.look = match self.look {
            Look::None if is_due => Look::Emptying,
            Look::Emptying => Look::Measuring,
            Look::None | Look::Measuring => Look::None,
        };
        let let_in = if self.look == Look::None { self.limit } else { (self.limit * GLANCE).max(least) };
        let_in.round() as u32
    }

    /// What is known of an endpoint whose limit is not needed is fresh in any case.
    fn is_due(&mut self, sample: Sample, now: Duration) -> bool {
        if self.next_look.is_zero() {
            self.next_look = now + FIRST_LOOK;
        }
        let is_due = self.look == Look::None && now >= self.next_look && self.is_needed(sample);
        if is_due {
            self.next_look = now + LOOK_EVERY;
        }
        is_due
    }

    fn is_needed(&self, sample: Sample) -> bool {
        sample.most_in_flight >= self.limit / 2.0
    }

    fn follow(&mut self, sample: Sample) {
        if sample.failed > MOST_FAILED {
            self.limit *= BACK_OFF;
            return;
        }
        let base = self.base.get_or_insert(sample.latency);
        if sample.latency < *base {
            // One step may be fast by chance.
            *base += (sample.latency - *base) * 0.2;
        }
        let gradient = (TOLERANCE * *base / sample.latency.max(f64::MIN_POSITIVE)).clamp(0.5, 1.0);
        let more = if self.is_needed(sample) { self.limit.sqrt() } else { 0.0 };
        self.limit = self.limit * gradient + more;
    }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use proptest::prelude::*;

    use super::*;
    use crate::chance;

    const BOUNDS: Bounds = Bounds { least: 4, most: 1000 };

    /// An endpoint that does so many things at once; what is more waits. More is always asked than it can do.
    struct Simulated {
        adaptive: Adaptive,
        now: f64,
        at_once: usize,
        takes: f64,
        /// How long clients wait. What they have asked for is done in any case.
        patience: f64,
        /// When each of those that it does will be done.
        busy: BinaryHeap<Reverse<u64>>,
        /// When answers come, and when they were asked for.
        answers: BinaryHeap<Reverse<(u64, u64)>>,
    }

    struct Outcome {
        per_second: f64,
        latency: f64,
    }

    impl Simulated {
        fn new(at_once: usize, takes: f64) -> Self {
            let (busy, answers) = (BinaryHeap::new(), BinaryHeap::new());
            let (adaptive, patience) = (Adaptive::new(BOUNDS), 1e6);
            Self { adaptive, now: 1000.0, at_once, takes, patience, busy, answers }
        }

        /// For so long; what came of the last half of it.
        fn run(&mut self, seconds: f64) -> Outcome {
            let (half, end) = (self.now + seconds / 2.0, self.now + seconds);
            let (mut answered, mut waited) = (0, 0.0);
            while self.now < end {
                while self.answers.len() < self.adaptive.allowed() as usize {
                    self.ask();
                }
                let Reverse((done, asked)) = self.answers.pop().expect("somebody was asked");
                self.now = done as f64 / 1e6;
                let latency = Duration::from_micros(done - asked);
                let in_flight = self.answers.len() as u32 + 1;
                let has_left = latency.as_secs_f64() >= self.patience;
                if !has_left || self.adaptive.is_slow(latency) {
                    let answered = (!has_left).then_some(latency);
                    self.adaptive.heed(answered, in_flight, BOUNDS, Duration::from_secs_f64(self.now));
                }
                if self.now > half && !has_left {
                    answered += 1;
                    waited += latency.as_secs_f64();
                }
            }
            Outcome { per_second: f64::from(answered) / (seconds / 2.0), latency: waited / f64::from(answered) }
        }

        fn ask(&mut self) {
            let now = (self.now * 1e6) as u64;
            while self.busy.len() > self.at_once {
                self.busy.pop();
            }
            let begins =
                if self.busy.len() < self.at_once { now } else { self.busy.pop().map_or(now, |free| free.0.max(now)) };
            let takes = self.takes * (0.5 + chance::part());
            let done = begins + (takes * 1e6) as u64;
            self.busy.push(Reverse(done));
            let leaves = now.saturating_add((self.patience * 1e6) as u64);
            self.answers.push(Reverse((done.min(leaves), now)));
        }

        fn can(&self) -> f64 {
            self.at_once as f64 / self.takes
        }
    }

    fn is_good(simulated: &Simulated, outcome: &Outcome) -> Result<(), TestCaseError> {
        let Outcome { per_second, latency } = outcome;
        let allowed = simulated.adaptive.allowed();
        prop_assert!(*per_second > 0.9 * simulated.can(), "{per_second} of {} a second, {allowed}", simulated.can());
        prop_assert!(*latency < 4.0 * simulated.takes, "{latency} s instead of {}, {allowed}", simulated.takes);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

        #[test]
        fn it_finds_what_an_endpoint_can_do_and_follows_when_that_changes(
            (at_once, then, takes, then_takes) in (5usize..200, 5usize..200, 5u32..200, 5u32..200),
            seed in any::<u64>(),
        ) {
            chance::seed(seed);
            let milliseconds = |number: u32| f64::from(number) / 1000.0;
            let mut simulated = Simulated::new(at_once, milliseconds(takes));
            let outcome = simulated.run(60.0);
            is_good(&simulated, &outcome)?;

            (simulated.at_once, simulated.takes) = (then, milliseconds(then_takes));
            let outcome = simulated.run(90.0);
            is_good(&simulated, &outcome)?;
        }
    }

    #[test]
    fn clients_that_leave_too_early_to_see_an_answer_do_not_keep_it_from_seeing_that_there_is_none() {
        chance::seed(7);
        let mut simulated = Simulated::new(20, 0.05);
        simulated.patience = 0.25;
        simulated.adaptive.control.lock().expect("nobody panics").limit = 800.0;
        simulated.adaptive.allowed.store(800, Ordering::Relaxed);

        let outcome = simulated.run(60.0);

        is_good(&simulated, &outcome).unwrap_or_else(|wrong| panic!("{wrong}"));
    }

    fn sample(latency: f64, failed: f64, most_in_flight: f64) -> Sample {
        Sample { latency, failed, most_in_flight }
    }

    fn control(limit: f64) -> Control {
        Control { limit, base: Some(0.02), look: Look::None, next_look: Duration::MAX }
    }

    #[test]
    fn it_grows_only_where_it_is_needed() {
        let (mut needed, mut idle) = (control(100.0), control(100.0));

        assert_eq!(needed.step(sample(0.02, 0.0, 60.0), BOUNDS, Duration::ZERO), 110);
        assert_eq!(idle.step(sample(0.02, 0.0, 10.0), BOUNDS, Duration::ZERO), 100);
    }

    #[test]
    fn it_falls_with_latency_and_with_failures_and_stays_within_its_bounds() {
        let mut slow = control(100.0);
        assert_eq!(slow.step(sample(0.04, 0.0, 100.0), BOUNDS, Duration::ZERO), 85, "3/4 and the root");
        let mut failing = control(100.0);
        assert_eq!(failing.step(sample(0.001, 0.2, 100.0), BOUNDS, Duration::ZERO), 80);

        let mut last = 100;
        for _ in 0..50 {
            last = failing.step(sample(0.001, 0.2, 100.0), BOUNDS, Duration::ZERO);
        }
        assert_eq!(last, BOUNDS.least);
    }

    #[test]
    fn what_an_endpoint_with_little_to_do_takes_is_measured_anew() {
        let mut control = control(100.0);
        control.next_look = Duration::from_secs(5);
        let now = Duration::from_secs(5);

        assert_eq!(control.step(sample(0.03, 0.0, 100.0), BOUNDS, now), 28, "a quarter");
        assert_eq!(control.step(sample(9.0, 0.0, 100.0), BOUNDS, now), 28, "of those before it");
        assert_eq!(control.step(sample(0.025, 0.0, 28.0), BOUNDS, now), 110, "as before");

        assert_eq!(control.base, Some(0.025));
        assert_eq!(control.next_look, Duration::from_secs(15));
    }
}
