//! Who can take a request: a named group of endpoints and the rule by which one is picked.

use std::sync::Arc;

use self::{
    affinity::Affinity, breaker::Breaker, check::Check, counts::Counts, limit::Limit, members::Roster,
    outlier::Outlier, retry::Retry,
};
pub use self::{
    candidates::{Candidates, Places},
    endpoint::Endpoint,
    members::Members,
};
use crate::settings::upstream::TransportKind;

pub mod affinity;
pub mod balancers;
mod body_end;
pub mod breaker;
pub mod candidates;
pub mod check;
pub mod counts;
pub mod endpoint;
pub mod health;
pub mod hedge;
pub mod latency;
pub mod latency_histogram;
pub mod limit;
pub mod lineup;
pub mod members;
pub mod outlier;
pub mod retry;
pub mod selection;
#[cfg(test)]
mod tests;
mod window;

/// A named group of endpoints.
pub struct Upstream {
    /// Its name in the settings; the URL itself for a route that names one.
    pub name: Arc<str>,
    /// Who carries the requests.
    pub transport: TransportKind,
    /// When to send a request again.
    pub retry: Retry,
    /// How its endpoints are checked.
    pub check: Option<Arc<Check>>,
    /// When to leave an endpoint alone.
    pub outlier: Option<Outlier>,
    /// How clients are kept with endpoints.
    pub affinity: Option<Box<Affinity>>,
    /// When it is asked no more for a while.
    pub breaker: Option<Box<Breaker>>,
    /// How many requests it carries at once.
    pub limit: Option<Box<Limit>>,
    /// What is counted of it.
    pub counts: Arc<Counts>,
    roster: Roster,
}

impl Upstream {
    /// A group whose members stay the same.
    pub fn new(name: &str, members: Members) -> Self {
        Self::with(name, Roster::Fixed(members))
    }

    /// A group whose members may be [replaced](Self::replace): there may be none yet.
    pub fn changing(name: &str, members: Members) -> Self {
        Self::with(name, Roster::changing(members))
    }

    fn with(name: &str, roster: Roster) -> Self {
        let (transport, retry) = (TransportKind::default(), Retry::never());
        Self {
            name: name.into(),
            transport,
            retry,
            check: None,
            outlier: None,
            affinity: None,
            breaker: None,
            limit: None,
            counts: Arc::default(),
            roster,
        }
    }

    /// Takes one retry of the budget, if there is one.
    pub fn may_retry(&self) -> bool {
        let may = self.retry.budget.spend();
        if !may {
            self.counts.retries_refused.one();
        }
        may
    }

    /// Somebody wants to know how long its endpoints take to answer: where there is a choice, and a balancer that looks.
    pub fn is_timed(&self, members: &Members) -> bool {
        let compared = self.outlier.is_some_and(|outlier| outlier.latency_factor.is_some());
        members.endpoints.len() > 1 && (compared || members.balancer.wants_latency())
    }
}
