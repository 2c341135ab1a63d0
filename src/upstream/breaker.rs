//! An upstream whose requests fail is asked no more for a while.
//!
//! It looks at what becomes of requests in the end: after endpoints were left alone, and others were asked instead. So it is
//! in nobody's way as long as that helps, also where it means to ask everybody, and is what is left where it does not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{
    health::{Health, Standing, Trial},
    outlier::{self, Report},
    window::Count,
};
use crate::{
    clock,
    exchange::Awaited,
    http::{Error, Fault, StatusCode},
};

/// When to ask an upstream no more.
#[derive(Debug)]
pub struct Breaker {
    /// What was written.
    pub rules: Rules,
    /// How it went so far.
    pub circuit: Arc<Circuit>,
}

/// What was written about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// When this part of its requests fails, ..
    pub error_rate: f64,
    /// .. of at least so many.
    pub requests: u32,
    /// For so long the first time, and twice as long each time again.
    pub open: Duration,
    /// Never longer than this.
    pub longest: Duration,
    /// So many must then be answered well, one after the other.
    pub trials: u32,
}

/// How it went so far. All workers write to it, and it outlives a reload.
#[derive(Debug, Default)]
pub struct Circuit {
    /// As an endpoint has one: it is left alone, and tried with one request at a time.
    health: Health,
    /// How many of these were answered well since.
    passed: AtomicU32,
}

/// Why it stays open.
const NOT_YET: &str = "it has not recovered";

/// One request that is let through.
pub struct Passage<'b> {
    breaker: &'b Breaker,
    trial: Option<Trial<'b>>,
}

impl Breaker {
    /// Lets a request through, or tells that the upstream is not asked now.
    ///
    /// # Errors
    /// It is open, or one request is on its way that shows whether it still has to be.
    pub fn pass(&self, now: Duration) -> Result<Passage<'_>, Error> {
        let health = &self.circuit.health;
        let closed = |retry_after| Error::CircuitOpen { retry_after };
        let trial = match health.standing(now) {
            Standing::Well | Standing::FailsChecks | Standing::Drained => None,
            Standing::Ejected => {
                return Err(closed(health.ejected_until().unwrap_or_default().saturating_sub(now)));
            }
            Standing::OnTrial => Some(health.begin_trial(now).ok_or(closed(Duration::ZERO))?),
        };
        Ok(Passage { breaker: self, trial })
    }

    /// A request that was counted as answered well has failed: the answer has broken off within its body.
    pub fn broke_off(&self, name: &str, was_trial: bool, now: Duration) {
        let health = &self.circuit.health;
        let is_as_new = || health.well_since().is_some_and(|since| now.saturating_sub(since) <= self.rules.open);
        match health.standing(now) {
            Standing::Ejected => {}
            Standing::OnTrial if was_trial => self.open(name, NOT_YET, now),
            Standing::OnTrial => {}
            Standing::Well | Standing::FailsChecks | Standing::Drained if was_trial && is_as_new() => {
                self.open(name, NOT_YET, now);
            }
            Standing::Well | Standing::FailsChecks | Standing::Drained => {
                self.judge(name, health.window.recount(now), now);
            }
        }
    }

    /// Opens it, if so many failures are too many.
    fn judge(&self, name: &str, Count { requests, failures }: Count, now: Duration) {
        let share = f64::from(failures) / f64::from(requests.max(1));
        if requests >= self.rules.requests && share >= self.rules.error_rate {
            self.open(name, format_args!("{failures} of {requests} requests failed"), now);
        }
    }

    fn open(&self, name: &str, why: impl std::fmt::Display, now: Duration) {
        self.circuit.passed.store(0, Ordering::Relaxed);
        if let Some(time) = self.circuit.health.eject(self.rules.open, self.rules.longest, now) {
            log::warn!("{name} is not asked for {time:?}: {why}");
        }
    }
}

impl Passage<'_> {
    /// What became of it. Where a body is still to come, that may tell otherwise.
    pub fn ended(self, name: &str, report: Report, awaited: Option<&mut Awaited>, now: Duration) {
        let Self { breaker, trial } = self;
        let circuit = &breaker.circuit;
        if let (Some(_), Some(awaited)) = (&trial, awaited) {
            awaited.was_trial_of_upstream();
        }
        match (report, trial) {
            (Report::Nothing, _) => {}
            (Report::Failed | Report::Unreached, Some(_trial)) => breaker.open(name, NOT_YET, now),
            (Report::Well, Some(trial)) => {
                if circuit.passed.fetch_add(1, Ordering::Relaxed) + 1 >= breaker.rules.trials {
                    circuit.passed.store(0, Ordering::Relaxed);
                    trial.succeeded(now);
                    log::info!("{name} has recovered");
                }
            }
            // One that began before it was opened is no news.
            (_, None) if circuit.health.standing(now) != Standing::Well => {}
            (_, None) => {
                let failed = report.is_failure();
                let count = circuit.health.window.count(failed, now);
                if failed {
                    breaker.judge(name, count, now);
                }
            }
        }
    }
}

impl Circuit {
    /// How often it was opened since the start.
    pub fn openings(&self) -> u64 {
        self.health.ejections()
    }

    /// As operators are told.
    pub fn position(&self) -> &'static str {
        match self.health.standing(clock::coarse()) {
            Standing::Well | Standing::FailsChecks | Standing::Drained => "closed",
            Standing::Ejected => "open",
            Standing::OnTrial => "half open",
        }
    }
}

/// What an answer, or what there is instead of one, tells of the upstream.
pub fn report(answer: Result<StatusCode, &Error>) -> Report {
    match answer {
        Ok(status) if outlier::is_failure(status) => Report::Failed,
        Ok(_) => Report::Well,
        // Nobody was asked.
        Err(Error::NoEndpoint | Error::PoolExhausted | Error::Overloaded(_) | Error::CircuitOpen { .. }) => {
            Report::Nothing
        }
        Err(Error::Upgrade { .. }) => Report::Nothing,
        Err(error) if error.fault() == Fault::Upstream => Report::Failed,
        Err(_) => Report::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        error_rate: 0.5,
        requests: 10,
        open: Duration::from_secs(5),
        longest: Duration::from_secs(15),
        trials: 2,
    };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn breaker() -> Breaker {
        Breaker { rules: RULES, circuit: Arc::default() }
    }

    fn requests(breaker: &Breaker, report: Report, count: u32, now: Duration) {
        for _ in 0..count {
            breaker.pass(now).unwrap_or_else(|error| panic!("{error}")).ended("test", report, None, now);
        }
    }

    /// After how long one may come back; `None` if this one is let through.
    fn refused(breaker: &Breaker, now: Duration) -> Option<Duration> {
        match breaker.pass(now) {
            Err(Error::CircuitOpen { retry_after }) => Some(retry_after),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        }
    }

    #[test]
    fn it_opens_when_so_many_fail_and_not_before() {
        let breaker = breaker();
        requests(&breaker, Report::Failed, 4, s(100));
        requests(&breaker, Report::Well, 5, s(100));
        requests(&breaker, Report::Nothing, 50, s(100));
        assert_eq!(refused(&breaker, s(100)), None, "nine are too few");

        requests(&breaker, Report::Failed, 1, s(101));

        assert_eq!(refused(&breaker, s(102)), Some(s(4)));
    }

    #[test]
    fn it_closes_after_so_many_trials_one_after_the_other() {
        let breaker = breaker();
        requests(&breaker, Report::Failed, 10, s(100));

        let trial = breaker.pass(s(105)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(refused(&breaker, s(105)), Some(Duration::ZERO), "one at a time");
        trial.ended("test", Report::Well, None, s(106));
        let another = breaker.pass(s(106)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(refused(&breaker, s(106)), Some(Duration::ZERO), "one is not enough");
        another.ended("test", Report::Well, None, s(106));

        requests(&breaker, Report::Failed, 9, s(107));
        assert_eq!(refused(&breaker, s(107)), None, "what was before is forgotten");
    }

    #[test]
    fn a_trial_that_fails_opens_it_for_longer_and_one_that_is_left_tells_nothing() {
        let breaker = breaker();
        requests(&breaker, Report::Failed, 10, s(100));
        requests(&breaker, Report::Well, 1, s(105));
        drop(breaker.pass(s(105)).unwrap_or_else(|error| panic!("{error}")));

        requests(&breaker, Report::Failed, 1, s(105));
        assert_eq!(refused(&breaker, s(105)), Some(s(10)));
        requests(&breaker, Report::Failed, 1, s(115));
        assert_eq!(refused(&breaker, s(115)), Some(s(15)), "no longer than that");

        requests(&breaker, Report::Well, 1, s(130));
        assert_eq!(breaker.circuit.passed.load(Ordering::Relaxed), 1, "those before it count no more");
    }

    #[test]
    fn an_answer_that_breaks_off_counts_as_a_failure_and_not_twice_as_a_request() {
        let breaker = breaker();
        requests(&breaker, Report::Well, 10, s(100));
        for _ in 0..4 {
            breaker.broke_off("test", false, s(101));
        }
        assert_eq!(refused(&breaker, s(101)), None, "four of ten");

        breaker.broke_off("test", false, s(101));

        assert_eq!(refused(&breaker, s(101)), Some(s(5)));
    }

    #[test]
    fn a_trial_that_breaks_off_has_shown_nothing_if_it_does_so_soon() {
        for (closes, breaks, expected) in [(false, 106, true), (true, 106, true), (true, 112, false)] {
            let breaker = breaker();
            requests(&breaker, Report::Failed, 10, s(100));
            requests(&breaker, Report::Well, if closes { 2 } else { 1 }, s(106));

            breaker.broke_off("test", false, s(106));
            assert_eq!(refused(&breaker, s(106)), None, "one that came before it opened");
            breaker.broke_off("test", true, s(breaks));

            assert_eq!(refused(&breaker, s(breaks)).is_some(), expected, "{closes} {breaks}");
        }
    }

    #[test]
    fn what_began_before_it_opened_tells_nothing_new() {
        let breaker = breaker();
        let early = breaker.pass(s(100)).unwrap_or_else(|error| panic!("{error}"));
        requests(&breaker, Report::Failed, 10, s(100));

        early.ended("test", Report::Failed, None, s(105));

        assert_eq!(refused(&breaker, s(105)), None, "a trial is due");
    }

    #[test]
    fn nobodys_failure_is_what_no_endpoint_was_asked() {
        let limit = s(1);
        for (error, expected) in [
            (Error::NoEndpoint, Report::Nothing),
            (Error::PoolExhausted, Report::Nothing),
            (Error::ClientGone(None), Report::Nothing),
            (Error::BodyTooLarge { limit: 1 }, Report::Nothing),
            (Error::ConnectTimeout { limit }, Report::Failed),
            (Error::FirstByteTimeout { limit }, Report::Failed),
            (Error::EndpointClosed(None), Report::Failed),
        ] {
            assert_eq!(report(Err(&error)), expected, "{error}");
        }
        assert_eq!(report(Ok(StatusCode::INTERNAL_SERVER_ERROR)), Report::Well);
        assert_eq!(report(Ok(StatusCode::SERVICE_UNAVAILABLE)), Report::Failed);
    }
}
