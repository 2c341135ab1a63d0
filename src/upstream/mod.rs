//! Who can take a request: a named group of endpoints and the rule by which one is picked.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use self::{
    balancers::Balancer,
    check::Check,
    lineup::{Lineup, Rules},
    outlier::Outlier,
    retry::Retry,
};
pub use self::{
    candidates::{Candidates, Places},
    endpoint::Endpoint,
};
use crate::{clock, settings::upstream::TransportKind};

pub mod balancers;
pub mod candidates;
pub mod check;
pub mod endpoint;
pub mod health;
pub mod latency;
pub mod lineup;
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
    /// Its endpoints; never empty.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The rule by which one is picked.
    pub balancer: Box<dyn Balancer>,
    /// Who carries the requests.
    pub transport: TransportKind,
    /// When to send a request again.
    pub retry: Retry,
    /// Who may be picked, besides being well.
    pub rules: Rules,
    /// How its endpoints are checked.
    pub check: Option<Arc<Check>>,
    /// When to leave an endpoint alone.
    pub outlier: Option<Outlier>,
    lineup: ArcSwap<Lineup>,
}

impl Upstream {
    /// A group of these endpoints, of which there is at least one.
    pub fn new(name: &str, endpoints: Vec<Arc<Endpoint>>, balancer: Box<dyn Balancer>, rules: Rules) -> Self {
        let lineup = ArcSwap::from_pointee(Lineup::of(&endpoints, &rules, clock::coarse()));
        let (transport, retry, outlier) = (TransportKind::default(), Retry::never(), None);
        Self { name: name.into(), endpoints, balancer, transport, retry, rules, check: None, outlier, lineup }
    }

    /// Somebody wants to know how long its endpoints take to answer: where there is a choice, and a balancer that looks.
    pub fn is_timed(&self) -> bool {
        let compared = self.outlier.is_some_and(|outlier| outlier.latency_factor.is_some());
        self.endpoints.len() > 1 && (compared || self.balancer.wants_latency())
    }

    /// Who may be picked now. Whoever first asks after a change draws it up.
    pub fn lineup(&self) -> Guard<Arc<Lineup>> {
        let lineup = self.lineup.load();
        if lineup.is_current(clock::coarse) {
            return lineup;
        }
        self.lineup.store(Arc::new(Lineup::of(&self.endpoints, &self.rules, clock::coarse())));
        self.lineup.load()
    }
}
