//! Anyone, the heavier more often.

use std::sync::Arc;

use super::{Balancer, Kind, Nothing, dice::Loaded};
use crate::{
    exchange::Exchange,
    settings::Problems,
    upstream::{Candidates, Endpoint},
};

/// Anyone, with a chance by weight.
pub struct Random {
    dice: Loaded,
}

impl Kind for Random {
    const NAME: &'static str = "random";
    const SUMMARY: &'static str = "any endpoint, with a chance by weight";
    type Settings = Nothing;

    fn build(_: Nothing, endpoints: &[Arc<Endpoint>]) -> Result<Box<dyn Balancer>, Problems> {
        Ok(Box::new(Self { dice: Loaded::by_weight(endpoints) }))
    }
}

impl Balancer for Random {
    fn pick<'c>(&self, candidates: Candidates<'c>, _exchange: &Exchange) -> &'c Arc<Endpoint> {
        self.dice.pick(candidates)
    }
}
