//! Where answers are kept.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use self::{groups::Groups, memory::Memory, purges::Purges};
use super::{
    entry::{Entry, moment, now},
    flight::{Flights, Lead},
    key::{Key, Target},
    purge::What,
};

pub mod groups;
pub mod memory;
pub mod purges;

/// A store and what is under way to it: one for all routes that name it, over reloads.
pub struct Shelf {
    /// What it is called.
    pub name: String,
    /// What is stored.
    pub memory: Memory,
    /// What is being fetched.
    pub flights: Arc<Flights>,
    /// What was invalidated by name.
    pub groups: Groups,
    purges: Purges,
    purged: AtomicU64,
}

impl Shelf {
    /// One of this size in bytes.
    pub fn new(name: &str, size: u64) -> Self {
        Self {
            name: name.to_owned(),
            memory: Memory::new(size),
            flights: Arc::default(),
            groups: Groups::default(),
            purges: Purges::default(),
            purged: AtomicU64::new(0),
        }
    }

    /// Stores an answer, unless it was invalidated or purged since it was asked for.
    pub fn put(&self, key: &Key, entry: &Arc<Entry>, lead: Option<&Lead>) {
        let is_too_old = || lead.is_some_and(Lead::is_doomed) || self.has_purged(key, entry);
        if is_too_old() {
            return;
        }
        self.memory.put(key, entry);
        // In this order: what is purged from now on is found in the store.
        if is_too_old() {
            self.memory.drop_entry(key, entry);
        }
    }

    /// What is on its way, or was until now, is not to be kept: it was purged since it was asked for.
    pub fn has_purged(&self, key: &Key, entry: &Entry) -> bool {
        self.purges.has_purged(key.target(), entry)
    }

    /// Drops these answers, and what is on its way of them will not be kept. Softly: those that are here become stale instead. How many were here?
    pub fn purge(&self, what: &What, is_soft: bool) -> u64 {
        let when = moment();
        self.purges.remember(what, when);
        self.flights.doom_all(|target| what.is_at(target));
        let (is_meant, soft) =
            (|target: &[u8], entry: &Entry| entry.since <= when && what.holds(target, &entry.head), is_soft.then(now));
        let count = match what {
            What::Url(urls) => urls.iter().map(|url| self.memory.purge_target(url, is_meant, soft)).sum(),
            _ => self.memory.purge(is_meant, soft),
        };
        self.purged.fetch_add(count, Ordering::Relaxed);
        count
    }

    /// How many answers were purged, ever.
    pub fn purged(&self) -> u64 {
        self.purged.load(Ordering::Relaxed)
    }

    /// All answers of this target are too old from now on, and so are those on their way.
    pub fn forget(&self, target: &Key) {
        self.flights.doom(target.target());
        self.memory.forget(target);
    }

    /// All answers of this group of an origin are too old from now on.
    pub fn forget_group(&self, origin: Target<'_>, group: &str) {
        if !self.groups.invalidate(origin, group, moment()) {
            self.memory.clear();
        }
    }
}
