//! The cache: what it holds.

use super::{Family, Value, catalogue as metrics};
use crate::admin::Status;

/// What each store has room for, and what is in it.
pub fn now(status: &Status) -> Vec<Family> {
    let (mut size, mut bytes, mut targets) =
        (Family::of(&metrics::CACHE_SIZE), Family::of(&metrics::CACHE_BYTES), Family::of(&metrics::CACHE_TARGETS));
    let mut purged = Family::of(&metrics::CACHE_PURGED);
    for shelf in status.proxy().plan().shelves() {
        purged.push(vec![("store", shelf.name.clone())], Value::Counter(shelf.purged()));
        let usage = shelf.memory.usage();
        for (family, value) in
            [(&mut size, shelf.memory.size()), (&mut bytes, usage.bytes), (&mut targets, usage.targets)]
        {
            family.push(vec![("store", shelf.name.clone())], Value::Gauge(value as f64));
        }
    }
    vec![size, bytes, targets, purged]
}
