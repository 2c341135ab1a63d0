//! When an upstream is asked no more.

use std::{sync::Arc, time::Duration};

use crate::{
    settings::{BreakerSettings, Problem, UpstreamSettings},
    upstream::{
        Upstream,
        breaker::{Breaker, Rules},
    },
};

/// The breaker as it is written; how it went so far is known from before.
pub fn breaker(written: Option<&BreakerSettings>, before: Option<&Upstream>) -> Option<Box<Breaker>> {
    let written = written?;
    let known = before.and_then(|upstream| upstream.breaker.as_ref());
    let rules = Rules {
        error_rate: written.error_rate.fraction(),
        requests: written.requests,
        open: written.open.0?,
        longest: written.max_open.0.unwrap_or(Duration::MAX),
        trials: written.trials,
    };
    Some(Box::new(Breaker { rules, circuit: known.map(|known| Arc::clone(&known.circuit)).unwrap_or_default() }))
}

/// Everything that is wrong with it.
pub fn problems(name: &str, upstream: &UpstreamSettings, problems: &mut Vec<Problem>) {
    let Some(written) = &upstream.breaker else { return };
    let at = |key: &str, what: &str| Problem::at(["upstreams", name, "breaker", key], what);
    if written.error_rate.fraction() == 0.0 {
        problems.push(at("error_rate", "nobody could keep to that").help("above 0%, such as \"50%\""));
    }
    if written.open.0.is_none_or(|open| open.is_zero()) {
        problems
            .push(at("open", "an upstream is asked again some time, but not at once").help("a time such as \"5s\""));
    }
    for (key, count) in [("requests", written.requests), ("trials", written.trials)] {
        if count == 0 {
            problems.push(at(key, "no answer at all decides").help("1 or more"));
        }
    }
}
