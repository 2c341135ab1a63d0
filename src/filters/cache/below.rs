//! What memory does not have may be in a tier below it.

use std::sync::Arc;

use super::{Desk, Found, asked::Asked, fetch::Errand};
use crate::{
    cache::{entry::now, policy::Use},
    exchange::Exchange,
    filters::Next,
    http::Response,
};

impl Desk {
    /// Answers with what is below memory, or sends it on.
    pub async fn seek(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        next: Next<'_>,
        asked: Asked,
        mut errand: Errand,
    ) -> Response {
        // What is stale in memory is no newer below it.
        if !self.shelf.lower().is_empty() && !errand.validates() {
            match Box::pin(self.look_below(exchange, &asked, errand, next)).await {
                Ok(response) => return response,
                Err(sent) => errand = sent,
            }
        }
        if asked.ask(&self.rules).wishes.only_if_cached {
            return self.nothing_stored();
        }
        self.fetch(exchange, next, asked, errand).await
    }

    /// What is there takes its way up into memory, so that whoever waits for the same has it, too.
    async fn look_below(
        self: &Arc<Self>,
        exchange: &Exchange,
        asked: &Asked,
        mut errand: Errand,
        next: Next<'_>,
    ) -> Result<Response, Errand> {
        let ask = asked.ask(&self.rules);
        let Some((mut entry, place)) = self.shelf.find_below(&asked.key, &ask).await else { return Err(errand) };
        let Some(usage) = self.usage(&ask, &entry, now()) else { return Err(errand) };
        if !matches!(usage, Use::Fresh | Use::Stale | Use::WhileRevalidating) {
            return Err(errand.with(Found { entry, usage, below: Some(place) }, asked));
        }
        if let Some(lead) = errand.lead.take() {
            match self.shelf.lift(&asked.key, entry, lead) {
                Ok(lifted) => entry = lifted,
                Err(lead) => {
                    errand.lead = Some(lead);
                    return Err(errand);
                }
            }
        }
        let found = Found { entry, usage, below: Some(place) };
        self.from_store(exchange, asked, Some(&found), next).await.ok_or(errand)
    }
}
