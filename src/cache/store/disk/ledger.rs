//! What is known of files beside what the index has: what is on its way to them, and what is on its way out. No file is touched by who
//! holds its lock.

use std::{
    collections::{HashMap, HashSet, hash_map},
    hash::{BuildHasher, RandomState},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use crate::cache::{entry::Entry, key::Key, purge::What};

/// An answer that is to be written.
pub struct Ticket {
    /// No other one has it.
    pub number: u64,
    /// What it is stored under.
    pub key: Key,
    /// It.
    pub entry: Arc<Entry>,
    is_void: AtomicBool,
}

/// The books.
#[derive(Default)]
pub struct Ledger {
    next: u64,
    tickets: HashMap<u64, Arc<Ticket>>,
    /// How many of them there are of a target, by its hash.
    awaited: HashMap<u64, u32>,
    hashes: RandomState,
    /// What is being purged.
    walks: Vec<(u64, What)>,
    /// What was forgotten before it was known whether there is any.
    pub gone: Gone,
    /// What is to be looked for, and removed.
    rubbish: HashSet<u128>,
    /// Some of it could not be removed.
    is_stuck: bool,
    /// What was to go before the folder was ours.
    before: Vec<What>,
    /// The same by target: one may be forgotten often until then.
    targets_before: HashSet<Bytes>,
    /// The folder is to be looked through once more.
    looks_again: bool,
}

/// What became of something that was to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// There was no rubbish before.
    First,
    /// There was.
    Beside,
    /// There is so much that it is not told apart any more.
    TooMany,
}

/// Files that are there and count for nothing, unless the index has them.
#[derive(Default)]
pub struct Gone {
    targets: HashSet<u128>,
    all: bool,
}

/// Of more targets that were forgotten it is not told which.
const MOST_GONE: usize = 1 << 18;

impl Ticket {
    /// It was found that it is not to be kept.
    pub fn is_void(&self) -> bool {
        self.is_void.load(Ordering::Acquire)
    }

    /// It is not to be kept any more.
    pub fn void(&self) {
        self.is_void.store(true, Ordering::Release);
    }
}

impl Ledger {
    /// For an answer that is to be written, unless it is being purged.
    pub fn ticket(&mut self, key: &Key, entry: &Arc<Entry>) -> Option<Arc<Ticket>> {
        if self.is_purged(key.target(), entry) {
            return None;
        }
        let ticket = Arc::new(Ticket {
            number: self.number(),
            key: key.clone(),
            entry: Arc::clone(entry),
            is_void: AtomicBool::new(false),
        });
        self.tickets.insert(ticket.number, Arc::clone(&ticket));
        *self.awaited.entry(self.hashes.hash_one(key.target())).or_default() += 1;
        Some(ticket)
    }

    /// For one whose body is in a file already, unless that is being copied: then it would be once more for each who has it validated.
    pub fn copy(&mut self, key: &Key, entry: &Arc<Entry>) -> Option<Arc<Ticket>> {
        let is_it = |ticket: &Arc<Ticket>| {
            !ticket.is_void()
                && !ticket.entry.content.is_in_memory()
                && ticket.key.as_bytes() == key.as_bytes()
                && ticket.entry.head.vary.is_same(&entry.head.vary)
        };
        if self.tickets.values().any(is_it) { None } else { self.ticket(key, entry) }
    }

    /// Something of this target is to be written.
    pub fn awaits(&self, target: &[u8]) -> bool {
        self.awaited.contains_key(&self.hashes.hash_one(target))
    }

    /// It is written, or will not be.
    pub fn is_over(&mut self, ticket: &Ticket) {
        if self.tickets.remove(&ticket.number).is_none() {
            return;
        }
        if let hash_map::Entry::Occupied(mut count) = self.awaited.entry(self.hashes.hash_one(ticket.key.target())) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// It is being purged: what of it is found now may be gone in a moment.
    pub fn is_purged(&self, target: &[u8], entry: &Entry) -> bool {
        self.walks.iter().any(|(_, what)| what.holds(target, &entry.head))
    }

    /// What is meant is purged from now on until [`Self::end_walk`]; what of it is to be written will not be.
    pub fn begin_walk(&mut self, what: &What) -> u64 {
        self.void(|ticket| what.holds(ticket.key.target(), &ticket.entry.head));
        let number = self.number();
        self.walks.push((number, what.clone()));
        number
    }

    /// It is.
    pub fn end_walk(&mut self, number: u64) {
        self.walks.retain(|(own, _)| *own != number);
    }

    /// What is to be written of this target will not be, and its files are rubbish; those that nobody knows of yet, too.
    pub fn forget(&mut self, key_target: &[u8], target: u128, is_scanned: bool) -> Forgotten {
        if self.rubbish.len() >= MOST_GONE {
            return Forgotten::TooMany;
        }
        self.void(|ticket| ticket.key.target() == key_target);
        let is_first = self.rubbish.is_empty();
        self.rubbish.insert(target);
        if !is_scanned {
            self.gone.insert(target);
        }
        if is_first { Forgotten::First } else { Forgotten::Beside }
    }

    /// Files of this target are still there, though they count for nothing: they are rubbish once more.
    pub fn stays(&mut self, target: u128, is_scanned: bool) {
        self.is_stuck = true;
        // Of more than that they are found anew where the folder is looked through.
        if self.rubbish.len() >= MOST_GONE {
            self.looks_again = true;
            return;
        }
        self.rubbish.insert(target);
        if !is_scanned {
            self.gone.insert(target);
        }
    }

    /// Something has stayed: it is told once.
    pub fn is_stuck(&mut self) -> bool {
        mem::take(&mut self.is_stuck)
    }

    /// Something is still to be removed.
    pub fn has_rubbish(&self) -> bool {
        !self.rubbish.is_empty()
    }

    /// Nothing will be, and all files are rubbish.
    pub fn forget_all(&mut self) {
        self.void(|_| true);
        self.rubbish.clear();
        self.gone = Gone { targets: HashSet::new(), all: true };
        self.looks_again = true;
    }

    /// The folder is for somebody else: what is to be written will not be. The targets whose files are still to be removed, or all of them.
    pub fn leave(&mut self) -> (HashSet<u128>, bool) {
        self.void(|_| true);
        self.tickets.clear();
        self.awaited.clear();
        let is_all = mem::take(&mut self.looks_again) || self.gone.all;
        self.gone = Gone::default();
        (self.take_rubbish(), is_all)
    }

    /// What is to go as soon as the folder is ours.
    pub fn later(&mut self, what: What) {
        self.void(|ticket| what.is_at(ticket.key.target()));
        match what {
            _ if matches!(self.before.first(), Some(What::Everything)) => return,
            What::Url(targets) => self.targets_before.extend(targets),
            other => self.before.push(other),
        }
        if self.before.len() + self.targets_before.len() > MOST_GONE {
            self.before = vec![What::Everything];
            self.targets_before = HashSet::new();
        }
    }

    /// That, and nobody remembers it here any more.
    pub fn take_before(&mut self) -> Vec<What> {
        let mut before = mem::take(&mut self.before);
        if !self.targets_before.is_empty() {
            before.push(What::Url(mem::take(&mut self.targets_before).into_iter().collect()));
        }
        before
    }

    /// The folder is to be looked through once more: it is told once.
    pub fn looks_again(&mut self) -> bool {
        mem::take(&mut self.looks_again)
    }

    /// All files are known, if nothing is left to be removed.
    pub fn is_scanned(&mut self) -> bool {
        let is_scanned = self.rubbish.is_empty() && !self.looks_again;
        if is_scanned {
            self.gone = Gone::default();
        }
        is_scanned
    }

    /// Targets whose files are to be looked for.
    pub fn take_rubbish(&mut self) -> HashSet<u128> {
        mem::take(&mut self.rubbish)
    }

    fn void(&mut self, is_meant: impl Fn(&Ticket) -> bool) {
        let meant = self.tickets.values().filter(|ticket| is_meant(ticket));
        meant.for_each(|ticket| ticket.void());
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Gone {
    fn insert(&mut self, target: u128) {
        if self.targets.len() >= MOST_GONE {
            *self = Self { targets: HashSet::new(), all: true };
        }
        if !self.all {
            self.targets.insert(target);
        }
    }

    /// A file of this target counts for nothing, unless the index has it.
    pub fn has(&self, target: u128) -> bool {
        self.all || self.targets.contains(&target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_often_before_the_folder_is_ours_is_one_thing_to_do() {
        let mut books = Ledger::default();
        for path in ["a", "b", "a", "a"] {
            books.later(What::Url(vec![path.as_bytes().into()]));
        }

        let before = books.take_before();

        assert!(matches!(&before[..], [What::Url(targets)] if targets.len() == 2), "{before:?}");
        assert!(books.take_before().is_empty());
    }
}
