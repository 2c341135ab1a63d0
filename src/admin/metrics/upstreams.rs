//! How every upstream is, as a whole.

use std::{collections::BTreeSet, sync::Arc};

use super::{Family, Labels, Metric, Value, catalogue as metrics, server::unix};
use crate::{
    admin::Status,
    plan::{Plan, Route},
    telemetry::metrics::SharedCount,
    upstream::{Upstream, counts::Counts, limit::Limit},
};

/// Each of them. What it has not got, such as a breaker, there is nothing told of.
pub fn now(status: &Status) -> Vec<Family> {
    let plan = status.proxy().plan();
    let mut families = vec![
        of_each(&plan, &metrics::RETRIES_REFUSED, |upstream| {
            Some(Value::Counter(upstream.counts.retries_refused.now()))
        }),
        failures(&plan),
    ];
    families.extend(breakers(&plan));
    families.extend(limits(&plan));
    families.extend(discovery(&plan));
    families.extend(hedges(&plan));
    families.extend(copies(&plan));
    families
}

fn of_each(plan: &Plan, metric: &'static Metric, value: impl Fn(&Arc<Upstream>) -> Option<Value>) -> Family {
    let mut family = Family::of(metric);
    for upstream in plan.upstreams.values() {
        if let Some(value) = value(upstream) {
            family.push(labels(upstream), value);
        }
    }
    family
}

fn failures(plan: &Plan) -> Family {
    let mut family = Family::of(&metrics::UPSTREAM_FAILURES);
    for upstream in plan.upstreams.values() {
        for (error, count) in upstream.counts.failures() {
            family.push(with(upstream, "error", error), Value::Counter(count));
        }
    }
    family
}

fn breakers(plan: &Plan) -> [Family; 2] {
    let mut state = Family::of(&metrics::BREAKER_STATE);
    for upstream in plan.upstreams.values() {
        if let Some(breaker) = &upstream.breaker {
            let position = breaker.circuit.position().replace(' ', "_");
            state.push(with(upstream, "state", &position), Value::Gauge(1.0));
        }
    }
    let openings = of_each(plan, &metrics::BREAKER_OPENINGS, |upstream| {
        Some(Value::Counter(upstream.breaker.as_ref()?.circuit.openings()))
    });
    [state, openings]
}

fn limits(plan: &Plan) -> [Family; 4] {
    let gauge = |metric, value: &dyn Fn(&Limit) -> Option<f64>| {
        of_each(plan, metric, |upstream| Some(Value::Gauge(value(upstream.limit.as_ref()?)?)))
    };
    let mut refused = Family::of(&metrics::LIMIT_REFUSED);
    for upstream in plan.upstreams.values() {
        if let Some(limit) = &upstream.limit {
            let by = &limit.gate.refused;
            for (reason, count) in
                [("queue_full", &by.queue_full), ("queue_timeout", &by.queue_timeout), ("shed", &by.shed)]
            {
                refused.push(with(upstream, "reason", reason), Value::Counter(count.now()));
            }
        }
    }
    [
        gauge(&metrics::LIMIT, &|limit| Some(limit.allowed()).filter(|most| *most < u32::MAX).map(f64::from)),
        gauge(&metrics::LIMIT_IN_FLIGHT, &|limit| Some(f64::from(limit.gate.in_flight()))),
        gauge(&metrics::LIMIT_WAITING, &|limit| Some(limit.gate.waiting() as f64)),
        refused,
    ]
}

fn discovery(plan: &Plan) -> [Family; 3] {
    [
        of_each(plan, &metrics::DISCOVERY_ENDPOINTS, |upstream| {
            plan.discovery(upstream).map(|_| Value::Gauge(upstream.members().endpoints.len() as f64))
        }),
        of_each(plan, &metrics::DISCOVERY_FAILURES, |upstream| {
            plan.discovery(upstream).map(|_| Value::Counter(upstream.counts.searches_failed.now()))
        }),
        of_each(plan, &metrics::DISCOVERY_SUCCESS, |upstream| {
            Some(Value::Gauge(unix(plan.discovery(upstream)?.succeeded()?)))
        }),
    ]
}

/// Of the upstreams whose routes are hedged.
fn hedges(plan: &Plan) -> [Family; 2] {
    let routes = routes(plan).filter(|route| route.hedge.is_some());
    let hedged: Names = routes.flat_map(|route| route.target.upstreams()).map(|upstream| &upstream.name).collect();
    [
        counted(plan, &hedged, &metrics::HEDGES_SENT, |counts| &counts.hedges_sent),
        counted(plan, &hedged, &metrics::HEDGES_WON, |counts| &counts.hedges_won),
    ]
}

/// Of the upstreams that get copies.
fn copies(plan: &Plan) -> [Family; 2] {
    let mirrored: Names = routes(plan).filter_map(|route| Some(&route.mirror.as_ref()?.upstream.name)).collect();
    [
        counted(plan, &mirrored, &metrics::COPIES_SENT, |counts| &counts.copies_sent),
        counted(plan, &mirrored, &metrics::COPIES_DROPPED, |counts| &counts.copies_dropped),
    ]
}

type Names<'p> = BTreeSet<&'p Arc<str>>;

fn routes(plan: &Plan) -> impl Iterator<Item = &Route> {
    plan.routes.entries().iter().map(|entry| &entry.value)
}

fn counted(plan: &Plan, of: &Names, metric: &'static Metric, count: fn(&Counts) -> &SharedCount) -> Family {
    let count = |upstream: &Upstream| Value::Counter(count(&upstream.counts).now());
    of_each(plan, metric, |upstream| of.contains(&upstream.name).then(|| count(upstream)))
}

fn labels(upstream: &Upstream) -> Labels {
    vec![("upstream", upstream.name.to_string())]
}

fn with(upstream: &Upstream, name: &'static str, value: &str) -> Labels {
    vec![("upstream", upstream.name.to_string()), (name, value.to_owned())]
}
