//! Endpoints whose answers fail are left alone for a while.

use std::{sync::Arc, time::Duration};

use super::{
    Endpoint, Members, Upstream,
    health::{Standing, Trial},
};
use crate::{
    exchange::{BodyEnd, Trials},
    http::StatusCode,
};

/// When to leave an endpoint alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// After so many failures in a row.
    pub consecutive: Option<u32>,
    /// When this part of its requests fails.
    pub error_rate: Option<f64>,
    /// When it takes so many times as long as the one in the middle.
    pub latency_factor: Option<f64>,
    /// For so long the first time, and twice as long each time again.
    pub eject: Duration,
    /// Never longer than this.
    pub longest: Duration,
    /// No more than this part of the endpoints at once.
    pub most: f64,
}

/// How an attempt ended, as far as it tells of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It answered, to the last byte where that was waited for.
    Well,
    /// It broke off, kept us waiting, or said itself that it cannot answer.
    Failed,
    /// It gave no connection.
    Unreached,
    /// It was not its doing.
    Nothing,
}

impl Report {
    /// An endpoint that is well would have answered.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Unreached)
    }
}

/// An answer that says that there is none.
pub fn is_failure(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Of fewer requests no part tells anything.
const FEWEST: u32 = 20;
/// How long it takes an endpoint is compared with the others once in so many requests.
const COMPARED_EVERY: u32 = 32;
/// Faster than this is nothing to be ejected for, whatever the others do.
const FAST: Duration = Duration::from_millis(10);

/// An endpoint among others, and what may become of it.
struct Case<'c> {
    upstream: &'c Upstream,
    members: &'c Members,
    endpoint: &'c Endpoint,
    outlier: &'c Outlier,
}

impl Upstream {
    /// Learns from an attempt at one of its members.
    pub fn heed(
        &self,
        members: &Members,
        endpoint: &Endpoint,
        report: Report,
        trial: Option<Trial<'_>>,
        now: impl Fn() -> Duration,
    ) {
        if let Some(case) = self.case(members, endpoint) {
            case.heed(report, trial, now);
        }
    }

    /// What becomes of the answers of these members matters.
    pub fn looks_for_outliers(&self, members: &Members) -> bool {
        self.outlier.is_some() && members.endpoints.len() > 1
    }

    /// Learns how an answer of one of its members ended whose head was good.
    pub(super) fn heed_end(&self, endpoint: &Endpoint, end: BodyEnd, now: impl Fn() -> Duration) {
        let members = self.members();
        let Some(case) = self.case(&members, endpoint) else { return };
        match end {
            BodyEnd::Whole => case.heed(Report::Well, None, now),
            BodyEnd::Cut(Trials { of_endpoint: true, .. }) if case.is_as_new(now()) => case.eject_again(now()),
            BodyEnd::Cut(_) => case.heed(Report::Failed, None, now),
        }
    }

    fn case<'c>(&'c self, members: &'c Members, endpoint: &'c Endpoint) -> Option<Case<'c>> {
        let outlier = self.outlier.as_ref().filter(|_| self.looks_for_outliers(members))?;
        Some(Case { upstream: self, members, endpoint, outlier })
    }
}

impl Case<'_> {
    fn heed(&self, report: Report, trial: Option<Trial<'_>>, now: impl Fn() -> Duration) {
        match (report, trial) {
            (Report::Nothing, _) => {}
            (Report::Well, Some(trial)) => {
                trial.succeeded(now());
                self.endpoint.latency.forget();
                log::info!("{} of {} has recovered", self.endpoint.name, self.upstream.name);
            }
            // Whoever has it wait for long is not asked to do so as often.
            (Report::Failed | Report::Unreached, Some(trial)) if trial.took(now()) > self.outlier.eject => {
                self.eject("it has not recovered", now());
            }
            (Report::Failed | Report::Unreached, Some(_trial)) => self.eject_again(now()),
            (Report::Well, None) => {
                self.endpoint.health.went_well();
                if self.outlier.counts() {
                    self.count(false, now());
                }
            }
            (Report::Failed | Report::Unreached, None) => {
                let failures = self.endpoint.health.failed(report == Report::Unreached);
                if self.outlier.consecutive.is_some_and(|most| failures >= most) {
                    self.leave_alone(format_args!("{failures} failures in a row"), now());
                } else if self.outlier.counts() {
                    self.count(true, now());
                }
            }
        }
    }

    /// It has recovered so lately that its trial still tells of it.
    fn is_as_new(&self, now: Duration) -> bool {
        self.endpoint.health.well_since().is_some_and(|since| now.saturating_sub(since) <= self.outlier.eject)
    }

    fn count(&self, failed: bool, now: Duration) {
        let count = self.endpoint.health.window.count(failed, now);
        if count.requests < FEWEST {
            return;
        }
        let rate = f64::from(count.failures) / f64::from(count.requests);
        if failed && self.outlier.error_rate.is_some_and(|most| rate >= most) {
            let what = format_args!("{} of {} requests failed", count.failures, count.requests);
            return self.leave_alone(what, now);
        }
        if let (Some(factor), true) = (self.outlier.latency_factor, count.requests.is_multiple_of(COMPARED_EVERY))
            && let Some((own, usual)) = self.slower_than_others(factor, now)
        {
            self.leave_alone(format_args!("it takes {own:?} where others take {usual:?}"), now);
        }
    }

    /// Its latency and that of the endpoint in the middle, if it is so many times as long.
    fn slower_than_others(&self, factor: f64, now: Duration) -> Option<(Duration, Duration)> {
        let own = self.endpoint.latency.at(now).filter(|own| *own > FAST)?;
        let all = &self.members.endpoints;
        let mut known: Vec<Duration> = all.iter().filter_map(|other| other.latency.at(now)).collect();
        // Of two nobody knows which one is the usual.
        if known.len() < 3 {
            return None;
        }
        let middle = known.len() / 2;
        let usual = *known.select_nth_unstable(middle).1;
        (own > usual.mul_f64(factor)).then_some((own, usual))
    }

    /// Ejects it, unless as many are as may be.
    fn leave_alone(&self, why: impl std::fmt::Display, now: Duration) {
        let out = |one: &&Arc<Endpoint>| matches!(one.health.standing(now), Standing::Ejected | Standing::OnTrial);
        let all = &self.members.endpoints;
        let ejected = all.iter().filter(out).count();
        if (ejected + 1) as f64 <= (self.outlier.most * all.len() as f64).max(1.0) {
            self.eject(why, now);
        }
    }

    fn eject(&self, why: impl std::fmt::Display, now: Duration) {
        if let Some(time) = self.endpoint.health.eject(self.outlier.eject, self.outlier.longest, now) {
            log::warn!("{} of {} gets no requests for {time:?}: {why}", self.endpoint.name, self.upstream.name);
        }
    }

    fn eject_again(&self, now: Duration) {
        if let Some(time) = self.endpoint.health.eject_again(self.outlier.eject, self.outlier.longest, now) {
            let (name, upstream) = (&self.endpoint.name, &self.upstream.name);
            // As often as it is tried, and no news.
            log::debug!("{name} of {upstream} gets no requests for another {time:?}: it has not recovered");
        }
    }
}

impl Outlier {
    fn counts(&self) -> bool {
        self.error_rate.is_some() || self.latency_factor.is_some()
    }
}
