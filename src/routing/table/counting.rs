//! Hashing that counts: how often a lookup asks a map is what it costs, and unlike time it is exact.

use std::{cell::Cell, hash::BuildHasher};

thread_local! {
    static PROBES: Cell<usize> = const { Cell::new(0) };
}

#[derive(Default, Clone)]
pub struct Hashing(foldhash::fast::RandomState);

impl BuildHasher for Hashing {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        PROBES.with(|probes| probes.set(probes.get() + 1));
        self.0.build_hasher()
    }
}

/// How often maps were asked meanwhile.
pub(super) fn probes_of(work: impl FnOnce()) -> usize {
    let before = PROBES.get();
    work();
    PROBES.get() - before
}
