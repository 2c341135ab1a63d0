//! How the endpoints of every upstream are.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Family, Labels, Metric, Value, catalogue as metrics};
use crate::{
    admin::Status,
    clock,
    plan::Plan,
    upstream::{Endpoint, health::Standing},
};

/// One of them.
struct Shown {
    labels: Labels,
    endpoint: Arc<Endpoint>,
    /// How long it gets less than its share once it is well.
    slow_start: Option<Duration>,
}

/// Each of them, up to as many as the settings say.
pub fn now(status: &Status) -> Vec<Family> {
    let plan = status.proxy().plan();
    let mut all = shown(&plan);
    let left_out = all.len().saturating_sub(plan.settings.admin.max_series);
    all.truncate(plan.settings.admin.max_series);
    let now = clock::coarse();
    let gauge = |metric, value: &dyn Fn(&Endpoint) -> f64| {
        of_each(&all, metric, |shown| Some(Value::Gauge(value(&shown.endpoint))))
    };
    vec![
        gauge(&metrics::ENDPOINT_UP, &|endpoint| f64::from(u8::from(endpoint.health.standing(now) == Standing::Well))),
        states(&all, now),
        gauge(&metrics::ENDPOINT_IN_FLIGHT, &|endpoint| f64::from(endpoint.in_flight())),
        gauge(&metrics::ENDPOINT_CONNECTIONS, &|endpoint| {
            let free = endpoint.target.pool.total.available_permits();
            endpoint.pool.max_total.saturating_sub(free) as f64
        }),
        gauge(&metrics::ENDPOINT_WAITING, &|endpoint| endpoint.target.pool.queued.load(Ordering::Relaxed) as f64),
        of_each(&all, &metrics::ENDPOINT_LATENCY, |shown| {
            Some(Value::Gauge(shown.endpoint.latency.at(now)?.as_secs_f64()))
        }),
        of_each(&all, &metrics::ENDPOINT_EJECTIONS, |shown| Some(Value::Counter(shown.endpoint.health.ejections()))),
        Family::single(&metrics::LEFT_OUT, Value::Gauge(left_out as f64)),
    ]
}

fn shown(plan: &Plan) -> Vec<Shown> {
    let mut all = Vec::new();
    for upstream in plan.upstreams.values() {
        let members = upstream.members();
        all.extend(members.endpoints.iter().map(|endpoint| Shown {
            labels: vec![("upstream", upstream.name.to_string()), ("endpoint", endpoint.name.to_string())],
            endpoint: Arc::clone(endpoint),
            slow_start: members.rules.slow_start,
        }));
    }
    all
}

fn of_each(all: &[Shown], metric: &'static Metric, value: impl Fn(&Shown) -> Option<Value>) -> Family {
    let mut family = Family::of(metric);
    for shown in all {
        if let Some(value) = value(shown) {
            family.push(shown.labels.clone(), value);
        }
    }
    family
}

fn states(all: &[Shown], now: Duration) -> Family {
    let mut family = Family::of(&metrics::ENDPOINT_STATE);
    for shown in all {
        let labels = [&shown.labels[..], &[("state", state(shown, now))]].concat();
        family.push(labels, Value::Gauge(1.0));
    }
    family
}

fn state(shown: &Shown, now: Duration) -> String {
    let warm_at = shown.slow_start.and_then(|slow_start| shown.endpoint.warm_at(slow_start));
    match shown.endpoint.health.standing(now) {
        Standing::Well if warm_at.is_some_and(|warm_at| now < warm_at) => "warming".to_owned(),
        standing => standing.to_string().replace(' ', "_"),
    }
}
