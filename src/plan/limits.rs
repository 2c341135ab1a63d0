//! How many requests an upstream carries at once.

use std::{sync::Arc, time::Duration};

use crate::{
    http::HeaderName,
    settings::{LimitSettings, Problem, UpstreamSettings},
    upstream::{
        Upstream,
        limit::{Adaptive, Bounds, Limit, Rules},
    },
};

/// The limit as it is written; who is counted and who waits is as it was before.
pub fn limit(written: Option<&LimitSettings>, before: Option<&Upstream>) -> Option<Box<Limit>> {
    let written = written?;
    let known = before.and_then(|upstream| upstream.limit.as_ref());
    let rules = Rules {
        requests: written.requests.unwrap_or(u32::MAX),
        least: written.least,
        per_endpoint: written.per_endpoint.unwrap_or(u32::MAX),
        sheddable: written.sheddable.fraction(),
        class_field: written.class_header.as_ref().and_then(|name| name.parse().ok()),
        queue: written.queue,
        patience: written.queue_timeout.0.unwrap_or(Duration::MAX),
    };
    let adaptive = written.adaptive.then(|| {
        let found = known.and_then(|known| known.adaptive.as_ref().map(Arc::clone));
        found.unwrap_or_else(|| Arc::new(Adaptive::new(Bounds { least: rules.least, most: rules.requests })))
    });
    Some(Box::new(Limit { rules, gate: known.map(|known| Arc::clone(&known.gate)).unwrap_or_default(), adaptive }))
}

/// Everything that is wrong with it.
pub fn problems(name: &str, upstream: &UpstreamSettings, problems: &mut Vec<Problem>) {
    let Some(written) = &upstream.limit else { return };
    let at = |keys: &[&str], what: &str| Problem::at(["upstreams", name, "limit"].iter().chain(keys).copied(), what);
    if written.requests.or(written.per_endpoint).is_none() {
        problems.push(at(&[], "nothing is limited").help("requests = 500, or per_endpoint = 100"));
    }
    for (key, most) in [("requests", written.requests), ("per_endpoint", written.per_endpoint)] {
        if most == Some(0) {
            problems.push(at(&[key], "no request could be sent").help("1 or more"));
        }
    }
    if written.adaptive && written.requests.is_none() {
        let what = "what is found out must end somewhere";
        problems
            .push(at(&["adaptive"], what).help("requests = 1000, or what the endpoints could carry at the very best"));
    }
    if written.adaptive && (written.least == 0 || written.requests.is_some_and(|most| written.least > most)) {
        problems.push(at(&["least"], "not between nothing and `requests`").help("1 or more, such as 5"));
    }
    if written.class_header.as_ref().is_some_and(|name| name.parse::<HeaderName>().is_err()) {
        problems.push(at(&["class_header"], "not a header field name").help("a token such as \"x-request-class\""));
    }
    if written.queue > 0 && written.queue_timeout.0.is_none_or(|time| time.is_zero()) {
        let help = "a time such as \"1s\"; `queue = 0` lets nobody wait";
        problems.push(at(&["queue_timeout"], "who waits must be told some time").help(help));
    }
}
