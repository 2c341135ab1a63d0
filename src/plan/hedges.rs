//! When requests of a route are hedged.

use std::sync::Arc;

use super::{Plan, routes::Drawing};
use crate::{
    settings::{Destination, HedgeSettings, Problem, RouteDefaults, Settings, hedge::HedgeRule},
    upstream::hedge::Hedge,
};

/// The hedge of a route as it is written; what is known of its requests is known from before.
pub fn hedge(route: &str, said: &RouteDefaults, before: Option<&Plan>) -> Option<Arc<Hedge>> {
    let HedgeRule::On(written) = said.hedge? else { return None };
    let known = || {
        // Each has the place that it has in the settings.
        let (routes, place) = (before?.routes.entries(), before?.settings.routes.get_index_of(route)?);
        let known = routes.get(place).filter(|entry| *entry.value.name == *route)?;
        known.value.hedge.as_ref().filter(|hedge| hedge.written == written).cloned()
    };
    known().or_else(|| Some(Arc::new(Hedge::new(written))))
}

/// Routes that ask for it where nothing can come of it.
pub fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    for (pattern, route) in &settings.routes {
        let (Some(HedgeRule::On(_)), Some(Destination::One(to))) = (route.overrides.hedge, &route.to) else { continue };
        let Some(upstream) = settings.upstreams.get(to) else { continue };
        if upstream.sticky.is_some() {
            warnings.push(format!("`{pattern}` is not hedged: `{to}` keeps clients with their endpoints"));
        } else if upstream.retry.attempts == 1 {
            warnings.push(format!("`{pattern}` is not hedged: `{to}` has one attempt for each request"));
        }
    }
    warnings
}

impl Drawing<'_> {
    /// Everything that is wrong with it.
    pub fn check_hedge(&mut self, at: &[&str], written: &RouteDefaults) {
        /// Budgets are counted in thousandths.
        const LEAST: f64 = 0.001;
        if let Some(HedgeRule::On(HedgeSettings { budget, .. })) = written.hedge
            && budget.fraction() < LEAST
        {
            let problem =
                Problem::at(at.iter().chain(&["hedge", "budget"]).copied(), "no request would ever be hedged");
            self.problems.push(problem.help("0.1% or more, such as \"5%\"; hedge = \"off\" hedges nothing"));
        }
    }
}
