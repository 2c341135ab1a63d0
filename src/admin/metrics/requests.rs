//! What becomes of requests, by route and upstream.

use super::{Family, Labels, Value, catalogue as metrics};
use crate::{
    admin::Status,
    telemetry::metrics::{BOUNDS, Buckets, CLASSES, Names, Sums},
};

/// Everything that was counted so far.
pub fn now(status: &Status) -> Vec<Family> {
    let sums = status.proxy().plan().ledger.sums();
    vec![
        each(&sums, &metrics::REQUESTS, |family, labels, sums| {
            for (class, count) in CLASSES.iter().zip(sums.classes).filter(|(_, count)| *count > 0) {
                family.push(with(&labels, "class", class), Value::Counter(count));
            }
        }),
        each(&sums, &metrics::ERRORS, |family, labels, sums| {
            for (error, count) in &sums.errors {
                family.push(with(&labels, "error", error), Value::Counter(*count));
            }
        }),
        each(&sums, &metrics::DURATION, |family, labels, sums| family.push(labels, histogram(&sums.duration))),
        each(&sums, &metrics::FIRST_BYTE, |family, labels, sums| {
            if sums.head.count() > 0 {
                family.push(labels, histogram(&sums.head));
            }
        }),
        each(&sums, &metrics::RECEIVED, |family, labels, sums| family.push(labels, Value::Counter(sums.received))),
        each(&sums, &metrics::RECEIVED_SPLICED, |family, labels, sums| {
            family.push(labels, Value::Counter(sums.received_spliced));
        }),
        each(&sums, &metrics::SENT, |family, labels, sums| family.push(labels, Value::Counter(sums.sent))),
        each(&sums, &metrics::SPLICED, |family, labels, sums| family.push(labels, Value::Counter(sums.spliced))),
        each(&sums, &metrics::RETRIES, |family, labels, sums| family.push(labels, Value::Counter(sums.retries))),
    ]
}

fn each(
    sums: &[(Names, Sums)],
    metric: &'static super::Metric,
    mut push: impl FnMut(&mut Family, Labels, &Sums),
) -> Family {
    let mut family = Family::of(metric);
    for ((route, upstream), sums) in sums {
        push(&mut family, vec![("route", route.to_string()), ("upstream", upstream.to_string())], sums);
    }
    family
}

fn with(labels: &Labels, name: &'static str, value: &str) -> Labels {
    let mut labels = labels.clone();
    labels.push((name, value.to_owned()));
    labels
}

fn histogram(buckets: &Buckets) -> Value {
    let bounds = BOUNDS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
    Value::Histogram {
        sum: buckets.micros as f64 / 1e6,
        count: buckets.count(),
        buckets: bounds.zip(buckets.counts).collect(),
    }
}
