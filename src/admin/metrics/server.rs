//! Clients, settings and certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Family, Value, catalogue as metrics};
use crate::{admin::Status, edge::tls::Certificates};

/// How the server is.
pub fn now(status: &Status) -> Vec<Family> {
    let standing = status.standing();
    let mut reloads = Family::of(&metrics::RELOADS);
    for (outcome, count) in [("in_force", standing.attempts.in_force), ("refused", standing.attempts.refused)] {
        reloads.push(vec![("outcome", outcome.into())], Value::Counter(count));
    }
    let mut expiry = Family::of(&metrics::CERTIFICATE_EXPIRY);
    for shown in status.server().certificates().iter().flat_map(Certificates::status) {
        let file = shown.source.display().to_string();
        expiry.push(vec![("tls", shown.tls), ("file", file)], Value::Gauge(unix(shown.not_after)));
    }
    let mut dropped = Family::of(&metrics::LOG_DROPPED);
    if let Some(log) = status.proxy().access_log() {
        dropped.push(Vec::new(), Value::Counter(log.dropped()));
    }
    let mut build = Family::of(&metrics::BUILD);
    build.push(vec![("version", env!("CARGO_PKG_VERSION").into())], Value::Gauge(1.0));
    vec![
        Family::single(&metrics::DRAINING, Value::Gauge(f64::from(u8::from(status.server().is_draining())))),
        Family::single(&metrics::CONNECTIONS, Value::Gauge(status.server().connections() as f64)),
        reloads,
        Family::single(&metrics::GENERATION, Value::Gauge(standing.generation as f64)),
        dropped,
        expiry,
        build,
        Family::single(&metrics::START_TIME, Value::Gauge(unix(status.started()))),
    ]
}

/// In seconds.
pub fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
