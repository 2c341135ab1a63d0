//! Filters: what happened to each kind.

use super::{Family, Value, catalogue as metrics};
use crate::admin::Status;

/// How often what has happened.
pub fn now(status: &Status) -> Vec<Family> {
    let mut events = Family::of(&metrics::FILTER_EVENTS);
    for ((filter, event), count) in status.proxy().plan().ledger.events() {
        events.push(vec![("filter", filter.into()), ("event", event.into())], Value::Counter(count));
    }
    vec![events]
}
