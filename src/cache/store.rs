//! Where answers are kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use self::{groups::Groups, lower::Lower, memory::Memory, purges::Purges};
use super::{
    codings::Room,
    entry::{Entry, moment, now},
    flight::{Flights, Lead},
    key::{Key, Target},
    purge::What,
};

pub mod disk;
pub mod groups;
mod lifting;
pub mod lower;
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
    /// For what is kept of it in other codings.
    pub room: Arc<Room>,
    /// What was invalidated by name.
    pub groups: Groups,
    lower: Vec<Box<dyn Lower>>,
    purges: Purges,
    purged: AtomicU64,
    /// When it was made.
    pub made: Duration,
}

/// What is kept in other codings may take this part as much again.
const OF_CODINGS: u64 = 8;

impl Shelf {
    /// One of this size in bytes.
    pub fn new(name: &str, size: u64) -> Self {
        Self {
            name: name.to_owned(),
            memory: Memory::new(size),
            flights: Arc::default(),
            room: Room::new(size / OF_CODINGS),
            groups: Groups::default(),
            lower: Vec::new(),
            purges: Purges::default(),
            purged: AtomicU64::new(0),
            made: moment(),
        }
    }

    /// With this tier below those that it has.
    #[must_use]
    pub fn over(mut self, lower: Box<dyn Lower>) -> Self {
        self.lower.push(lower);
        self
    }

    /// The tiers below memory.
    pub fn lower(&self) -> &[Box<dyn Lower>] {
        &self.lower
    }

    /// No larger answer is kept.
    pub fn largest(&self) -> u64 {
        let below = self.lower.iter().map(|lower| lower.largest()).max();
        self.memory.largest_here().max(below.unwrap_or(0))
    }

    /// Stores an answer, unless it was invalidated or purged since it was asked for: `false`.
    pub fn put(&self, key: &Key, entry: &Arc<Entry>, lead: Option<&Lead>) -> bool {
        if self.is_too_old(key, entry, lead) {
            return false;
        }
        if entry.content.is_in_memory() {
            self.memory.put(key, entry);
        }
        for lower in &self.lower {
            match (key.is_of_piece(), &entry.sliced) {
                (false, None) => lower.put(key, entry),
                // What is in pieces means nothing to another process, and what is older there no more either.
                (false, Some(_)) => lower.let_go(key.target()),
                (true, _) => {}
            }
        }
        // In this order: what is purged from now on is found in the store.
        let is_too_old = self.is_too_old(key, entry, lead);
        if is_too_old {
            self.drop_entry(key, entry);
        }
        !is_too_old
    }

    /// It was invalidated or purged since it was asked for.
    pub fn is_too_old(&self, key: &Key, entry: &Entry, lead: Option<&Lead>) -> bool {
        lead.is_some_and(Lead::is_doomed) || self.has_purged(key, entry)
    }

    /// Forgets an answer; below memory all of its target, which costs no more than asking again.
    pub fn drop_entry(&self, key: &Key, entry: &Arc<Entry>) {
        self.memory.drop_entry(key, entry);
        self.let_go_below(key);
    }

    /// What is below memory of a target is not as it is now.
    pub fn let_go_below(&self, key: &Key) {
        self.lower.iter().for_each(|lower| lower.let_go(key.target()));
    }

    /// What is on its way, or was until now, is not to be kept: it was purged since it was asked for.
    pub fn has_purged(&self, key: &Key, entry: &Entry) -> bool {
        self.purges.has_purged(key.target(), entry)
    }

    /// Drops these answers, and what is on its way of them will not be kept. Softly: those that are here become stale instead. How many were here?
    /// What is in memory and below it counts once. Where something is below, this may take a while.
    pub fn purge(&self, what: &What, is_soft: bool) -> u64 {
        self.purge_below(what, is_soft, |_| true)
    }

    /// The same where others have said so, by a tier that knows it already.
    pub fn hear(&self, what: &What, is_soft: bool, by: &str) -> u64 {
        self.purge_below(what, is_soft, |lower| lower.kind() != by)
    }

    fn purge_below(&self, what: &What, is_soft: bool, is_to_know: impl Fn(&dyn Lower) -> bool) -> u64 {
        let (mut when, soft) = (self.is_purged_now(what), is_soft.then(now));
        let lower = self.lower.iter().filter(|lower| is_to_know(&***lower));
        let below = lower.map(|lower| lower.purge(what, soft)).max().unwrap_or(0);
        if !self.lower.is_empty() {
            // What was found there before it was gone is on its way up.
            when = self.is_purged_now(what);
        }
        let is_meant = |target: &[u8], entry: &Entry| entry.since <= when && what.holds(target, &entry.head);
        let in_memory = match what {
            What::Url(urls) => urls.iter().map(|url| self.memory.purge_target(url, is_meant, soft)).sum(),
            _ => self.memory.purge(is_meant, soft),
        };
        let count = below.max(in_memory);
        self.purged.fetch_add(count, Ordering::Relaxed);
        count
    }

    /// What is on its way of it is not kept.
    fn is_purged_now(&self, what: &What) -> Duration {
        let when = moment();
        self.purges.remember(what, when);
        self.flights.doom_all(|target| what.is_at(target));
        when
    }

    /// How many answers were purged, ever.
    pub fn purged(&self) -> u64 {
        self.purged.load(Ordering::Relaxed)
    }

    /// All answers of this target are too old from now on, and so are those on their way.
    pub fn forget(&self, target: &Key) {
        self.flights.doom(target.target());
        if !self.lower.is_empty() {
            self.lower.iter().for_each(|lower| lower.forget(target.target()));
            // What was found there before is on its way up.
            self.flights.doom(target.target());
        }
        self.memory.forget(target);
    }

    /// All answers of this group of an origin are too old from now on.
    pub fn forget_group(&self, origin: Target<'_>, group: &str) {
        self.lower.iter().for_each(|lower| lower.forget_group(group));
        if !self.groups.invalidate(origin, group, moment()) {
            self.lower.iter().for_each(|lower| lower.forget_all());
            self.memory.clear();
        }
    }
}

#[cfg(test)]
mod tests;
