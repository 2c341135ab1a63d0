//! Who comes in, by where.

use super::{Family, Metric, Value, catalogue as metrics};
use crate::{
    admin::Status,
    edge::{ListensAt, counts::Counts},
    telemetry::metrics::SharedCount,
};

/// Each address that is listened on.
pub fn now(status: &Status) -> Vec<Family> {
    let all = status.server().listening();
    let encrypted: Vec<ListensAt> = all.iter().filter(|listener| listener.tls.is_some()).cloned().collect();
    vec![
        each(&all, &metrics::ACCEPTED, |counts| &counts.accepted),
        each(&all, &metrics::PARKED, |counts| &counts.parked),
        by(&all, &metrics::REFUSED, "reason", |Counts { refused, .. }| {
            [
                ("server", &refused.server),
                ("listener", &refused.listener),
                ("address", &refused.address),
                ("proxy_header", &refused.proxy_header),
            ]
        }),
        by(&encrypted, &metrics::HANDSHAKES, "outcome", |Counts { handshakes, .. }| {
            [
                ("full", &handshakes.full),
                ("resumed", &handshakes.resumed),
                ("failed", &handshakes.failed),
                ("late", &handshakes.late),
            ]
        }),
        each(&all, &metrics::HTTP2_CONNECTIONS, |counts| &counts.http2.connections),
        by(&all, &metrics::HTTP2_RESETS, "by", |Counts { http2, .. }| {
            [("client", &http2.resets_by_clients), ("proxy", &http2.resets_by_us)]
        }),
    ]
}

fn each(all: &[ListensAt], metric: &'static Metric, count: fn(&Counts) -> &SharedCount) -> Family {
    let mut family = Family::of(metric);
    for listener in all {
        let labels = vec![("listener", listener.address.to_string())];
        family.push(labels, Value::Counter(count(&listener.counts).now()));
    }
    family
}

fn by<const N: usize>(
    all: &[ListensAt],
    metric: &'static Metric,
    label: &'static str,
    counts: fn(&Counts) -> [(&str, &SharedCount); N],
) -> Family {
    let mut family = Family::of(metric);
    for listener in all {
        for (what, count) in counts(&listener.counts) {
            let labels = vec![("listener", listener.address.to_string()), (label, what.to_owned())];
            family.push(labels, Value::Counter(count.now()));
        }
    }
    family
}
