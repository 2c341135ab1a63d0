//! Balancers: rules by which one of the candidates is picked. No lock, no allocation.

use std::sync::Arc;

use serde::{Deserialize, de::DeserializeOwned};

use super::{Candidates, Endpoint};
use crate::{exchange::Exchange, settings::Problems};

mod consistent_hash;
mod dice;
mod least_requests;
mod p2c;
mod random;
mod round_robin;
#[cfg(test)]
mod tests;

pub use self::{
    consistent_hash::ConsistentHash, least_requests::LeastRequests, p2c::P2c, random::Random, round_robin::RoundRobin,
};

/// Picks one of the candidates.
pub trait Balancer: Send + Sync {
    /// Who shall take this exchange.
    fn pick<'c>(&self, candidates: Candidates<'c>, exchange: &Exchange) -> &'c Arc<Endpoint>;

    /// It looks at [`Endpoint::latency`], which is measured only then.
    fn wants_latency(&self) -> bool {
        false
    }
}

/// A kind of balancer that settings can name.
pub trait Kind: 'static {
    /// What `balance` says.
    const NAME: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;
    /// What can be written beside `policy`; [`Nothing`] where there is nothing to say.
    type Settings: DeserializeOwned;

    /// One for these endpoints, in their order, or everything that is wrong with the settings. The keys of its problems
    /// begin below `balance`. Where endpoints come and go each set of them gets a balancer of its own; with none of them yet
    /// nobody is picked.
    fn build(settings: Self::Settings, endpoints: &[Arc<Endpoint>]) -> Result<Box<dyn Balancer>, Problems>;
}

/// The settings of a kind that has none.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}
