//! What one process may let pass of what several share: it leases parts of a window, ahead of its requests.
//!
//! Time is cut into windows, alike for all. Of each key so many may pass in a window; a process that has leased some lets so many pass
//! without asking. What it lets pass before it has heard anything is one lease at most, so all of them together let pass what may, and
//! at most one lease more for each process.

use std::{cell::Cell, convert::Infallible, time::Duration};

use super::bucket::Bucket;
use crate::{filters::table::Rule, settings::Share};

/// How much time is shared out at once, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// So many may pass of a key.
    pub quota: u32,
    /// In so many milliseconds.
    pub length: u64,
    /// So many are leased at once.
    pub lease: u32,
}

/// Counts in a number are this many bits.
const COUNT_BITS: u32 = 23;
const MOST: u32 = 4_000_000;

impl Window {
    /// The time in which a bucket fills, or several of them: shorter than a second none is. `None` if more pass in it than can
    /// be counted.
    pub fn of(bucket: Bucket, burst: u32, share: Share) -> Option<Self> {
        let fills_in = bucket.fills_in();
        let times = Duration::from_secs(1).as_nanos().div_ceil(fills_in.as_nanos()).max(1);
        let quota = u32::try_from(u128::from(burst) * times).ok().filter(|quota| *quota <= MOST)?;
        let length = u64::try_from((fills_in.as_nanos() * times).div_ceil(1_000_000)).ok()?;
        let lease = (f64::from(quota) * share.fraction()) as u32;
        Some(Self { quota, length, lease: lease.max(1) })
    }

    /// The number of the window at this time since 1970, and for how long it lasts yet.
    pub fn at(self, now: Duration) -> (u64, Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        (now / self.length, Duration::from_millis(self.length - now % self.length))
    }
}

/// What a process knows of a key in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// The lower bits of the window's number.
    pub window: u16,
    /// Nothing more can be leased in it.
    pub is_over: bool,
    /// More was asked for, and has not come yet.
    pub is_asked: bool,
    /// So many have passed.
    pub spent: u32,
    /// So many were leased.
    pub leased: u32,
}

impl Holding {
    /// As a number of a table.
    pub fn packed(self) -> u64 {
        let flags = u64::from(self.is_over) << 1 | u64::from(self.is_asked);
        (u64::from(self.window) << 2 | flags) << (2 * COUNT_BITS)
            | u64::from(self.spent) << COUNT_BITS
            | u64::from(self.leased)
    }

    /// The same, read again.
    pub fn of(number: u64) -> Self {
        let count = |shift: u32| (number >> shift) as u32 & ((1 << COUNT_BITS) - 1);
        let flags = number >> (2 * COUNT_BITS);
        Self {
            window: (flags >> 2) as u16,
            is_over: flags & 2 != 0,
            is_asked: flags & 1 != 0,
            spent: count(COUNT_BITS),
            leased: count(0),
        }
    }

    /// So many are to be asked for: what has passed without a lease, and a lease.
    pub fn wants(self, window: Window) -> u32 {
        self.spent.saturating_sub(self.leased) + window.lease
    }

    /// What comes of having asked for so many, if all have asked for `total` of a window by now.
    #[must_use]
    pub fn answered(self, wanted: u32, total: u64, window: Window) -> Self {
        let beyond = total.saturating_sub(window.quota.into());
        let got = u64::from(wanted).saturating_sub(beyond) as u32;
        Self { is_asked: false, is_over: total >= window.quota.into(), leased: self.leased + got, ..self }
    }
}

/// One is to pass in this window.
pub struct Spending {
    window: u16,
    lease: u32,
    outcome: Cell<Outcome>,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// It passes.
    pub passes: bool,
    /// More is to be leased.
    pub asks: bool,
    /// Nothing more will come in this window.
    pub is_over: bool,
}

impl Spending {
    /// In the window of this number.
    pub fn new(number: u64, window: Window) -> Self {
        Self { window: number as u16, lease: window.lease, outcome: Cell::default() }
    }

    /// What has become of it.
    pub fn outcome(&self) -> Outcome {
        self.outcome.get()
    }

    /// Threads need not agree to the millisecond on when a window begins.
    fn is_later_than(&self, holding: Holding) -> bool {
        (1..1 << 15).contains(&self.window.wrapping_sub(holding.window))
    }

    fn spend(&self, mut holding: Holding) -> u64 {
        let may_pass = holding.leased + if holding.is_over { 0 } else { self.lease };
        let passes = holding.spent < may_pass;
        holding.spent += u32::from(passes);
        let runs_out = may_pass.saturating_sub(holding.spent) <= self.lease / 2;
        let asks = runs_out && !holding.is_over && !holding.is_asked;
        holding.is_asked |= asks;
        self.outcome.set(Outcome { passes, asks, is_over: holding.is_over });
        holding.packed()
    }
}

impl Rule for Spending {
    type No = Infallible;

    fn is_idle(&self, number: u64) -> bool {
        self.is_later_than(Holding::of(number))
    }

    /// In another window than all that the place has had. Who shared may have been this key.
    fn first(&self, _: u64, shared: u64) -> Result<u64, Infallible> {
        let shared = Holding::of(shared);
        let spent = if shared.window == self.window { shared.spent.min(self.lease) } else { 0 };
        Ok(self.spend(Holding { window: self.window, spent, ..Holding::default() }))
    }

    fn next(&self, number: u64, _: u64) -> Result<u64, Infallible> {
        let known = Holding::of(number);
        let is_new = number == 0 || self.is_later_than(known);
        Ok(self.spend(if is_new { Holding { window: self.window, ..Holding::default() } } else { known }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(rate: &str, burst: u32, share: &str) -> Window {
        let bucket = Bucket::new(rate.parse().expect("a rate"), burst).expect("it fits");
        Window::of(bucket, burst, share.parse().expect("a share")).expect("it can be counted")
    }

    #[test]
    fn a_window_is_as_long_as_a_bucket_takes_to_fill_and_no_shorter_than_a_second() {
        for (rate, burst, quota, length, lease) in [
            ("100/1m", 100, 100, 60_000, 10),
            ("100/1m", 50, 50, 30_000, 5),
            ("100/s", 10, 100, 1_000, 10),
            ("1/1h", 1, 1, 3_600_000, 1),
        ] {
            assert_eq!(window(rate, burst, "10%"), Window { quota, length, lease }, "{rate} {burst}");
        }
    }

    #[test]
    fn a_holding_is_read_as_it_was_packed() {
        let holding = Holding { window: 65_535, is_over: true, is_asked: false, spent: 8_388_607, leased: 4_000_000 };

        assert_eq!(Holding::of(holding.packed()), holding);
        assert_eq!(Holding::of(0), Holding::default());
    }

    proptest! {
        /// Whichever process is asked, and whenever the store answers.
        #[test]
        fn all_processes_together_let_pass_what_may_and_a_lease_each(
            processes in 1_usize..5,
            steps in prop::collection::vec((0_usize..5, prop::bool::ANY), 1..400),
            quota in 1_u32..60,
        ) {
            let window = Window { quota, length: 1000, lease: (quota / 10).max(1) };
            let mut holdings = vec![0_u64; processes];
            let (mut total, mut passed) = (0_u64, 0_u32);
            for (process, answers) in steps {
                let holding = &mut holdings[process % processes];
                if answers {
                    let known = Holding::of(*holding);
                    if known.is_asked {
                        let wanted = known.wants(window);
                        total += u64::from(wanted);
                        *holding = known.answered(wanted, total, window).packed();
                    }
                } else {
                    let rule = Spending::new(0, window);
                    let Ok(next) = rule.next(*holding, 0);
                    *holding = next;
                    passed += u32::from(rule.outcome().passes);
                }
            }
            prop_assert!(passed <= quota + processes as u32 * window.lease, "{passed}");
        }
    }
}
