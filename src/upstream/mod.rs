//! Who can take a request: a named group of endpoints and the rule by which one is picked.

use std::sync::Arc;

use self::balancers::Balancer;
pub use self::{candidates::Candidates, endpoint::Endpoint};
use crate::settings::upstream::TransportKind;

pub mod balancers;
pub mod candidates;
pub mod endpoint;
pub mod latency;
pub mod retry;

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
    /// How many endpoints to try in all.
    pub attempts: u32,
}

impl Upstream {
    /// Somebody wants to know how long its endpoints take to answer: where there is a choice, and a balancer that looks.
    pub fn is_timed(&self) -> bool {
        self.endpoints.len() > 1 && self.balancer.wants_latency()
    }
}
