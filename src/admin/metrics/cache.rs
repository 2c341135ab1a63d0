//! The cache: what it holds.

use super::{Family, Value, catalogue as metrics};
use crate::{admin::Status, cache::store::lower::Usage};

/// What each store has room for, and what is in it.
pub fn now(status: &Status) -> Vec<Family> {
    let (mut size, mut bytes, mut targets) =
        (Family::of(&metrics::CACHE_SIZE), Family::of(&metrics::CACHE_BYTES), Family::of(&metrics::CACHE_TARGETS));
    let mut coded = Family::of(&metrics::CACHE_CODED);
    let mut purged = Family::of(&metrics::CACHE_PURGED);
    for shelf in status.proxy().plan().stores() {
        purged.push(vec![("store", shelf.name.clone())], Value::Counter(shelf.purged()));
        let usage = shelf.memory.usage();
        for (family, value) in [
            (&mut size, shelf.memory.size()),
            (&mut bytes, usage.bytes),
            (&mut coded, shelf.room.taken()),
            (&mut targets, usage.targets),
        ] {
            family.push(vec![("store", shelf.name.clone())], Value::Gauge(value as f64));
        }
    }
    let mut families = vec![size, bytes, coded, targets, purged];
    families.extend(below(status));
    families
}

/// The same of what is below memory.
fn below(status: &Status) -> [Family; 7] {
    let mut families = [
        &metrics::CACHE_TIER_SIZE,
        &metrics::CACHE_TIER_BYTES,
        &metrics::CACHE_TIER_TARGETS,
        &metrics::CACHE_TIER_FOUND,
        &metrics::CACHE_TIER_STORED,
        &metrics::CACHE_TIER_DROPPED,
        &metrics::CACHE_TIER_ERRORS,
    ]
    .map(Family::of);
    for shelf in status.proxy().plan().stores() {
        for lower in shelf.lower() {
            let Usage { size, bytes, targets, found, stored, dropped, errors } = lower.usage();
            let gauge = |value: Option<u64>| value.map(|value| Value::Gauge(value as f64));
            let counter = |value: u64| Some(Value::Counter(value));
            let values = [
                gauge(size),
                gauge(bytes),
                gauge(targets),
                counter(found),
                counter(stored),
                counter(dropped),
                counter(errors),
            ];
            for (family, value) in families.iter_mut().zip(values) {
                let labels = || vec![("store", shelf.name.clone()), ("tier", lower.kind().to_owned())];
                value.into_iter().for_each(|value| family.push(labels(), value));
            }
        }
    }
    families
}
