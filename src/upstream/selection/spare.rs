//! Whom to ask as well, while somebody else is asked already.

use std::sync::Arc;

use super::{Endpoint, Places, Selection, Standing};
use crate::{clock, exchange::Exchange};

impl<'u> Selection<'u> {
    /// Somebody who is well and is not asked yet. A request that is not needed is for nobody else.
    pub fn spare(&self, asked: &Arc<Endpoint>, exchange: &Exchange) -> Option<&'u Arc<Endpoint>> {
        let (lineup, now) = (self.members.lineup(), clock::coarse());
        let endpoints = &self.members.endpoints;
        let may_be_picked = |place: &usize| lineup.has(*place);
        let is_spare = |place: &usize| {
            let endpoint = &endpoints[*place];
            !Arc::ptr_eq(endpoint, asked)
                && !self.tried.contains(place)
                && endpoint.health.standing(now) == Standing::Well
        };
        let places = Places::these((0..endpoints.len()).filter(may_be_picked).filter(is_spare))?;
        self.among(Some(&places), &lineup, exchange)
    }
}
