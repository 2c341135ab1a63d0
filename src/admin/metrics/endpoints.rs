//! How the endpoints of every upstream are.

use std::sync::{Arc, atomic::Ordering};

use super::{Family, Labels, Value, catalogue as metrics};
use crate::{
    admin::Status,
    clock,
    upstream::{Endpoint, Upstream, health::Standing},
};

/// Each of them, up to as many as the settings say.
pub fn now(status: &Status) -> Vec<Family> {
    let plan = status.proxy().plan();
    let mut all = Vec::new();
    let mut refused = Family::of(&metrics::RETRIES_REFUSED);
    let mut failures = Family::of(&metrics::UPSTREAM_FAILURES);
    for upstream in plan.upstreams.values() {
        let of_upstream = vec![("upstream", upstream.name.to_string())];
        refused.push(of_upstream.clone(), Value::Counter(upstream.counts.retries_refused()));
        for (error, count) in upstream.counts.failures() {
            let labels = [&of_upstream[..], &[("error", error.to_owned())]].concat();
            failures.push(labels, Value::Counter(count));
        }
        all.extend(
            upstream.members().endpoints.iter().map(|endpoint| (labels(upstream, endpoint), Arc::clone(endpoint))),
        );
    }
    let left_out = all.len().saturating_sub(plan.settings.admin.max_series);
    all.truncate(plan.settings.admin.max_series);
    let now = clock::coarse();
    let gauge = |metric, value: &dyn Fn(&Endpoint) -> Option<f64>| {
        let mut family = Family::of(metric);
        for (labels, endpoint) in &all {
            if let Some(value) = value(endpoint) {
                family.push(labels.clone(), Value::Gauge(value));
            }
        }
        family
    };
    let mut ejections = Family::of(&metrics::ENDPOINT_EJECTIONS);
    for (labels, endpoint) in &all {
        ejections.push(labels.clone(), Value::Counter(endpoint.health.ejections()));
    }
    vec![
        gauge(&metrics::ENDPOINT_UP, &|endpoint| {
            Some(f64::from(u8::from(endpoint.health.standing(now) == Standing::Well)))
        }),
        gauge(&metrics::ENDPOINT_IN_FLIGHT, &|endpoint| Some(f64::from(endpoint.in_flight()))),
        gauge(&metrics::ENDPOINT_CONNECTIONS, &|endpoint| {
            let free = endpoint.target.pool.total.available_permits();
            Some(endpoint.pool.max_total.saturating_sub(free) as f64)
        }),
        gauge(&metrics::ENDPOINT_WAITING, &|endpoint| Some(endpoint.target.pool.queued.load(Ordering::Relaxed) as f64)),
        gauge(&metrics::ENDPOINT_LATENCY, &|endpoint| endpoint.latency.at(now).map(|latency| latency.as_secs_f64())),
        ejections,
        failures,
        refused,
        Family::single(&metrics::LEFT_OUT, Value::Gauge(left_out as f64)),
    ]
}

fn labels(upstream: &Upstream, endpoint: &Endpoint) -> Labels {
    vec![("upstream", upstream.name.to_string()), ("endpoint", endpoint.name.to_string())]
}
