//! Whether an endpoint is well, as far as checks and its own traffic tell.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::window::Window;

/// What is known of an endpoint's health. All workers write to it, and it outlives a reload.
#[derive(Debug, Default)]
pub struct Health {
    fails_checks: AtomicBool,
    /// An operator wants it left alone.
    is_drained: AtomicBool,
    /// Milliseconds of the coarse clock; 0 where it is not ejected.
    ejected_until: AtomicU64,
    /// How often it was ejected since it last stayed well.
    ejections: AtomicU32,
    /// The same since ever.
    all_ejections: AtomicU64,
    failures_in_a_row: AtomicU32,
    /// The last of them gave no connection.
    was_unreached: AtomicBool,
    /// How many requests have shown since that it has not recovered.
    failed_trials: AtomicU32,
    is_tried: AtomicBool,
    /// Milliseconds of the coarse clock; 0 where it always was.
    well_since: AtomicU64,
    /// How its last requests went.
    pub window: Window,
}

/// What an endpoint is good for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It gets requests.
    Well,
    /// It was ejected for long enough: one request at a time shows whether it has recovered.
    OnTrial,
    /// Too many of its answers failed.
    Ejected,
    /// It does not pass its checks.
    FailsChecks,
    /// An operator wants it left alone.
    Drained,
}

/// One request that shows whether an endpoint has recovered; there is no second one while it is under way.
#[derive(Debug)]
pub struct Trial<'e> {
    health: &'e Health,
    began: Duration,
}

/// Counts what changed of any endpoint: who has chosen from a lineup that is older draws up another.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// The number of changes so far.
pub fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

static EJECTED: LazyLock<watch::Sender<()>> = LazyLock::new(|| watch::Sender::new(()));

/// Tells whenever any endpoint is ejected, for who is on no request's way and looks after them.
pub fn ejected() -> watch::Receiver<()> {
    EJECTED.subscribe()
}

impl Health {
    /// What it is good for at this time of the coarse clock.
    pub fn standing(&self, now: Duration) -> Standing {
        if self.is_drained() { Standing::Drained } else { self.condition(now) }
    }

    /// The same, whatever an operator wants.
    pub fn condition(&self, now: Duration) -> Standing {
        if self.fails_checks.load(Ordering::Relaxed) {
            return Standing::FailsChecks;
        }
        match self.ejected_until() {
            None => Standing::Well,
            Some(until) if now < until => Standing::Ejected,
            Some(_) => Standing::OnTrial,
        }
    }

    /// It gets no more requests but of clients that stay with it, whatever becomes of the others, or is one like others
    /// again. Says whether that is news.
    pub fn drain(&self, drained: bool) -> bool {
        let is_news = self.is_drained.swap(drained, Ordering::Relaxed) != drained;
        if is_news {
            changed();
        }
        is_news
    }

    /// An operator wants it left alone.
    pub fn is_drained(&self) -> bool {
        self.is_drained.load(Ordering::Relaxed)
    }

    /// When its ejection ends, or ended.
    pub fn ejected_until(&self) -> Option<Duration> {
        known(self.ejected_until.load(Ordering::Relaxed))
    }

    /// Since when it is well, if it once was not, or came later than others.
    pub fn well_since(&self) -> Option<Duration> {
        known(self.well_since.load(Ordering::Relaxed))
    }

    /// It is well from now on: it is new among others, or has recovered.
    pub fn is_well_since(&self, now: Duration) {
        self.well_since.store(millis(now), Ordering::Relaxed);
        changed();
    }

    /// An answer that was none of a failing endpoint.
    pub fn went_well(&self) {
        // Read first: all cores would wait for each other to write what is there already.
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
            self.was_unreached.store(false, Ordering::Relaxed);
        }
    }

    /// One failure more, of one that gave no connection or failed later; how many there are in a row.
    pub fn failed(&self, unreached: bool) -> u32 {
        self.was_unreached.store(unreached, Ordering::Relaxed);
        self.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// It gets no request for a time: `base`, and twice as long each time again, at most `longest`, until it has been
    /// well for as long as the last one. Returns that time, or `None` if somebody else did so just now.
    pub fn eject(&self, base: Duration, longest: Duration, now: Duration) -> Option<Duration> {
        let ejections = self.ejections.load(Ordering::Relaxed);
        let stayed_well =
            self.well_since().is_some_and(|since| now.saturating_sub(since) > doubled(base, ejections, longest));
        let is_over = self.ejected_until.load(Ordering::Relaxed) == 0;
        let ejections = if stayed_well && is_over { 0 } else { ejections };
        self.leave_alone(doubled(base, ejections, longest), ejections + 1, now)
    }

    /// The same once a request has soon shown that it has not recovered: for as long as before. The next one can be sent
    /// again, too, and costs its client little; so there is no reason to let an endpoint wait that may be well by now.
    pub fn eject_again(&self, base: Duration, longest: Duration, now: Duration) -> Option<Duration> {
        let ejections = self.ejections.load(Ordering::Relaxed).max(1);
        let time = self.leave_alone(doubled(base, ejections - 1, longest), ejections, now)?;
        self.failed_trials.fetch_add(1, Ordering::Relaxed);
        Some(time)
    }

    fn leave_alone(&self, time: Duration, ejections: u32, now: Duration) -> Option<Duration> {
        let before = self.ejected_until.load(Ordering::Relaxed);
        if known(before).is_some_and(|until| now < until) {
            return None;
        }
        let until = millis(now + time);
        self.ejected_until.compare_exchange(before, until, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        self.ejections.store(ejections, Ordering::Relaxed);
        self.all_ejections.fetch_add(1, Ordering::Relaxed);
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        self.window.forget();
        changed();
        EJECTED.send_replace(());
        Some(time)
    }

    /// From when on any request shows whether it has recovered, also one that cannot be sent again: `base` after its ejection
    /// has ended, and twice as long each time that one has shown that it has not.
    pub fn overdue_at(&self, base: Duration, longest: Duration) -> Option<Duration> {
        Some(self.ejected_until()? + doubled(base, self.failed_trials.load(Ordering::Relaxed), longest))
    }

    /// It cannot have recovered before this: nobody is to find that out with a request.
    pub fn stays_ejected(&self, until: Duration) {
        let until = millis(until);
        let longer = |before: u64| (before != 0 && before < until).then_some(until);
        // Whoever has drawn up a lineup looks again when the ejection would have ended.
        let _ = self.ejected_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, longer);
    }

    /// Its ejection ends now: what it was ejected for is over, and how often it was before tells nothing of what is there now.
    /// Says whether that is news.
    pub fn may_be_tried(&self, now: Duration) -> bool {
        let now = millis(now);
        let sooner = |before: u64| (before > now).then_some(now);
        let is_news = self.ejected_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sooner).is_ok();
        if is_news {
            self.ejections.store(1, Ordering::Relaxed);
            self.failed_trials.store(0, Ordering::Relaxed);
            changed();
        }
        is_news
    }

    /// What it was ejected for was, at last, that it gave no connection. Asked again, it is not: of a trial it tells nothing.
    pub fn take_unreached(&self) -> bool {
        self.was_unreached.swap(false, Ordering::Relaxed)
    }

    /// How often it was ejected since the start.
    pub fn ejections(&self) -> u64 {
        self.all_ejections.load(Ordering::Relaxed)
    }

    /// To send it one request, if nobody does so yet.
    pub fn begin_trial(&self, now: Duration) -> Option<Trial<'_>> {
        let first = self.is_tried.compare_exchange(false, true, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        first.then_some(Trial { health: self, began: now })
    }

    /// Checks have found that it is well, or not. Says whether that is news.
    pub fn checked(&self, well: bool, now: Duration) -> bool {
        let was_well = !self.fails_checks.swap(!well, Ordering::Relaxed);
        if was_well == well {
            return false;
        }
        if well {
            self.well_since.store(millis(now), Ordering::Relaxed);
        }
        changed();
        true
    }
}

impl Trial<'_> {
    /// It was answered: the endpoint is one like others again.
    pub fn succeeded(self, now: Duration) {
        self.health.ejected_until.store(0, Ordering::Relaxed);
        self.health.failed_trials.store(0, Ordering::Relaxed);
        self.health.is_well_since(now);
    }

    /// Its client has waited for so long.
    pub fn took(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.health.is_tried.store(false, Ordering::Relaxed);
    }
}

/// How it is told to operators.
impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Well => "well",
            Self::OnTrial => "on trial",
            Self::Ejected => "ejected",
            Self::FailsChecks => "fails checks",
            Self::Drained => "drained",
        })
    }
}

fn changed() {
    CHANGES.fetch_add(1, Ordering::Release);
}

/// So many times twice as long, but no longer than this.
fn doubled(base: Duration, times: u32, longest: Duration) -> Duration {
    base.saturating_mul(1 << times.min(20)).min(longest)
}

fn known(at: u64) -> Option<Duration> {
    (at != 0).then(|| Duration::from_millis(at))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_secs(60);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_ejection_ends_with_a_trial_and_lasts_longer_each_time() {
        let health = Health::default();
        assert_eq!(health.eject(BASE, LONGEST, s(100)), Some(s(10)));
        assert_eq!(health.eject(BASE, LONGEST, s(101)), None, "it is ejected already");
        assert_eq!((health.standing(s(109)), health.standing(s(110))), (Standing::Ejected, Standing::OnTrial));

        assert_eq!(health.eject(BASE, LONGEST, s(110)), Some(s(20)), "the trial failed");
        assert_eq!(health.eject(BASE, LONGEST, s(130)), Some(s(40)));
        assert_eq!(health.eject(BASE, LONGEST, s(170)), Some(s(60)));

        health.begin_trial(s(230)).expect("nobody else does").succeeded(s(230));
        assert_eq!(health.standing(s(230)), Standing::Well);
        assert_eq!(health.eject(BASE, LONGEST, s(235)), Some(s(60)), "it was well for a moment only");
        health.begin_trial(s(300)).expect("nobody else does").succeeded(s(300));
        assert_eq!(health.eject(BASE, LONGEST, s(400)), Some(s(10)), "it has been well for long");
    }

    #[test]
    fn a_trial_that_fails_lets_the_next_one_wait_no_longer_unless_its_client_pays() {
        let health = Health::default();
        let overdue = || health.overdue_at(BASE, LONGEST);
        assert_eq!(health.eject(BASE, LONGEST, s(100)), Some(s(10)));
        assert_eq!(overdue(), Some(s(120)));

        assert_eq!(health.eject_again(BASE, LONGEST, s(110)), Some(s(10)));
        assert_eq!(overdue(), Some(s(140)));
        assert_eq!(health.eject_again(BASE, LONGEST, s(120)), Some(s(10)));
        assert_eq!(overdue(), Some(s(170)));

        health.begin_trial(s(130)).expect("nobody else does").succeeded(s(130));
        assert_eq!(health.eject(BASE, LONGEST, s(135)), Some(s(20)), "it was well for a moment only");
        assert_eq!(overdue(), Some(s(165)), "that no client has paid for");
        assert_eq!(health.eject_again(BASE, LONGEST, s(155)), Some(s(20)));
    }

    #[test]
    fn an_ejection_goes_on_while_it_must_and_ends_when_it_need_not() {
        let health = Health::default();
        health.stays_ejected(s(105));
        assert!(!health.may_be_tried(s(100)) && health.ejected_until().is_none(), "it is well");
        health.eject(BASE, LONGEST, s(100));
        let before = changes();

        health.stays_ejected(s(105));
        assert_eq!(health.ejected_until(), Some(s(110)), "longer as it is");
        health.stays_ejected(s(120));
        assert_eq!(health.standing(s(119)), Standing::Ejected);

        assert!(health.may_be_tried(s(119)) && !health.may_be_tried(s(119)));
        assert_eq!(health.standing(s(119)), Standing::OnTrial);
        assert!(changes() > before);
    }

    #[test]
    fn what_was_over_counts_no_more() {
        let health = Health::default();
        for at in [100, 200, 300] {
            health.eject(BASE, LONGEST, s(at));
        }
        assert!(health.may_be_tried(s(301)));

        assert_eq!(health.eject_again(BASE, LONGEST, s(302)), Some(s(10)));
    }

    #[test]
    fn there_is_one_trial_at_a_time_and_who_gives_up_leaves_it_to_others() {
        let health = Health::default();
        let trial = health.begin_trial(s(1)).expect("nobody else does");
        assert!(health.begin_trial(s(2)).is_none());
        assert_eq!(trial.took(s(3)), s(2));

        drop(trial);

        assert!(health.begin_trial(s(3)).is_some());
    }

    #[test]
    fn whoever_fails_its_checks_is_not_well_until_it_passes_them() {
        let health = Health::default();
        let before = changes();

        assert!(health.checked(false, s(1)) && !health.checked(false, s(2)));
        assert_eq!(health.standing(s(2)), Standing::FailsChecks);
        assert!(health.checked(true, s(3)));

        assert_eq!((health.standing(s(3)), health.well_since()), (Standing::Well, Some(s(3))));
        assert!(changes() >= before + 2);
    }
}
