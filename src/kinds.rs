//! How settings name a filter or a balancer: two tables that can be read.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    filters::{self, Kind, Step},
    settings::{self, Problems},
    upstream::{
        Endpoint,
        balancers::{self, Balancer},
    },
};

/// The kinds of filters and balancers that settings can name.
#[derive(Clone)]
pub struct Kinds {
    filters: Vec<FilterKind>,
    balancers: Vec<BalancerKind>,
}

/// One kind of filter.
#[derive(Clone, Copy)]
pub struct FilterKind {
    /// The key in a route's settings.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    build: fn(&Value, &[String]) -> Result<Step, Problems>,
}

/// One kind of balancer.
#[derive(Clone, Copy)]
pub struct BalancerKind {
    /// What `balance` says.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    build: BuildBalancer,
}

type BuildBalancer = fn(&Value, &[Arc<Endpoint>], &[String]) -> Result<Box<dyn Balancer>, Problems>;

impl Kinds {
    /// Those that come with the house, filters in the order in which a request passes them.
    pub fn built_in() -> Self {
        Self {
            filters: vec![filter_kind::<filters::header_rules::HeaderRules>()],
            balancers: vec![
                balancer_kind::<balancers::P2c>(),
                balancer_kind::<balancers::RoundRobin>(),
                balancer_kind::<balancers::LeastRequests>(),
                balancer_kind::<balancers::Random>(),
                balancer_kind::<balancers::ConsistentHash>(),
            ],
        }
    }

    /// Adds a kind of filter; one of the same name is replaced.
    pub fn add_filter<K: Kind>(&mut self) {
        self.filters.retain(|kind| kind.name != K::NAME);
        self.filters.push(filter_kind::<K>());
    }

    /// Adds a kind of balancer; one of the same name is replaced.
    pub fn add_balancer<K: balancers::Kind>(&mut self) {
        self.balancers.retain(|kind| kind.name != K::NAME);
        self.balancers.push(balancer_kind::<K>());
    }

    /// All kinds of filters.
    pub fn filters(&self) -> &[FilterKind] {
        &self.filters
    }

    /// All kinds of balancers.
    pub fn balancers(&self) -> &[BalancerKind] {
        &self.balancers
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::built_in()
    }
}

impl FilterKind {
    /// Makes the step from what is written at the key `at`, or says everything that is wrong with it.
    pub fn build(&self, settings: &Value, at: &[String]) -> Result<Step, Problems> {
        (self.build)(settings, at)
    }
}

fn filter_kind<K: Kind>() -> FilterKind {
    FilterKind { name: K::NAME, summary: K::SUMMARY, build: build_filter::<K> }
}

impl BalancerKind {
    /// Makes one for these endpoints from what is written at the key `at`, or says everything that is wrong with it.
    ///
    /// # Errors
    /// Each with its place.
    pub fn build(
        &self,
        settings: &Value,
        endpoints: &[Arc<Endpoint>],
        at: &[String],
    ) -> Result<Box<dyn Balancer>, Problems> {
        (self.build)(settings, endpoints, at)
    }
}

fn build_filter<K: Kind>(written: &Value, at: &[String]) -> Result<Step, Problems> {
    let settings: K::Settings = settings::read(written, at)?;
    K::build(settings).map_err(|wrong| placed(wrong, at, K::SUMMARY))
}

fn build_balancer<K: balancers::Kind>(
    written: &Value,
    endpoints: &[Arc<Endpoint>],
    at: &[String],
) -> Result<Box<dyn Balancer>, Problems> {
    let settings: K::Settings = settings::read(written, at)?;
    K::build(settings, endpoints).map_err(|wrong| placed(wrong, at, K::SUMMARY))
}

/// Problems of a kind, where its settings stand.
fn placed(Problems(wrong): Problems, at: &[String], summary: &str) -> Problems {
    let placed = wrong.into_iter().map(|problem| {
        let problem = problem.inside(at);
        if problem.help.is_some() { problem } else { problem.help(summary) }
    });
    Problems(placed.collect())
}

fn balancer_kind<K: balancers::Kind>() -> BalancerKind {
    BalancerKind { name: K::NAME, summary: K::SUMMARY, build: build_balancer::<K> }
}
