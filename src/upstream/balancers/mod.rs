//! Balancers: rules by which one of the candidates is picked. No lock, no allocation.

use std::sync::Arc;

use super::{Candidates, Endpoint};
use crate::exchange::Exchange;

mod least_requests;
mod random;
mod round_robin;

pub use self::{least_requests::LeastRequests, random::Random, round_robin::RoundRobin};

/// Picks one of the candidates.
pub trait Balancer: Send + Sync {
    /// Who shall take this exchange.
    fn pick<'c>(&self, candidates: Candidates<'c>, exchange: &Exchange) -> &'c Arc<Endpoint>;
}

/// A kind of balancer that settings can name.
pub trait Kind: 'static {
    /// What `balance` says.
    const NAME: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;

    /// One for endpoints of these weights, in their order.
    fn build(weights: &[u32]) -> Box<dyn Balancer>;
}
