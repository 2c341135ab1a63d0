//! Answers in memory, as many bytes of them as there may be. Which of them are given up is decided by how often they were asked for
//! (CLOCK-Pro, by quick_cache): what is asked for once, as by who reads everything, does not drive out what is asked for often.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use quick_cache::{
    OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use smallvec::SmallVec;

use crate::cache::{
    entry::Entry,
    key::{Key, is_of_piece},
};

type Hashing = foldhash::quality::RandomState;

/// Answers by target. To look one up takes a lock for readers that the answers of a part of all targets share, for as long as it takes to
/// count a reference.
pub struct Memory {
    answers: Cache<Box<[u8]>, Arc<Variants>, ByWeight, Hashing>,
    size: u64,
    /// So many bytes are on their way here.
    growing: AtomicU64,
    /// Variants are changed by one at a time.
    writing: Mutex<()>,
}

/// What is in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes, with all that is counted beside bodies.
    pub bytes: u64,
    /// What can be asked for; of what is in pieces each of these as well.
    pub targets: u64,
}

/// The answers of one target: by what else is in their keys, and by `Vary`.
pub struct Variants {
    all: SmallVec<[Variant; 1]>,
    weight: u64,
}

/// One answer, and what is in its key beside the target: nothing, mostly.
type Variant = (Box<[u8]>, Arc<Entry>);

#[derive(Clone)]
struct ByWeight;

/// So many answers of one target are kept, the newest.
const MOST_VARIANTS: usize = 64;

/// An answer has this size, for the books that are kept of what was given up: they have room for half as many, one for each 8 KiB. With
/// fewer a scan costs more where answers are small, with more it does where they are large.
const USUAL: u64 = 4 * 1024;

/// No part is smaller, for no answer is larger than one.
const PART: u64 = 32 << 20;
const MOST_PARTS: u64 = 64;

impl Memory {
    /// So many bytes of them: heads, keys and what they cost besides are counted.
    pub fn new(size: u64) -> Self {
        let parts = usize::try_from((size / PART).clamp(1, MOST_PARTS)).unwrap_or(1);
        let options = OptionsBuilder::new()
            .shards(parts.next_power_of_two())
            .weight_capacity(size)
            .estimated_items_capacity(usize::try_from(size / USUAL).unwrap_or(usize::MAX).max(64))
            .build()
            .expect("all is given");
        let answers = Cache::with_options(options, ByWeight, Hashing::default(), DefaultLifecycle::default());
        Self { answers, size, growing: AtomicU64::new(0), writing: Mutex::default() }
    }

    /// No answer of which there may be several is larger.
    pub fn largest(size: u64) -> u64 {
        let parts = (size / PART).clamp(1, MOST_PARTS).next_power_of_two();
        size / parts / 2
    }

    /// It has room for this much of one answer, with others of its target.
    pub fn largest_here(&self) -> u64 {
        Self::largest(self.size)
    }

    /// How many bytes it may take.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it takes now.
    pub fn usage(&self) -> Usage {
        Usage { bytes: self.answers.weight(), targets: self.answers.len() as u64 }
    }

    /// What there is of a target.
    pub fn of_target(&self, key: &Key) -> Option<Arc<Variants>> {
        self.answers.get(key.target())
    }

    /// The answers of a target, the newest first, each with whether more than the target is in its key. Nobody has asked for them.
    pub fn entries(&self, target: &[u8]) -> Vec<(bool, Arc<Entry>)> {
        let variants = self.answers.peek(target);
        variants
            .iter()
            .flat_map(|variants| &variants.all)
            .map(|(rest, entry)| (!rest.is_empty(), Arc::clone(entry)))
            .collect()
    }

    /// Something is stored under this key; nobody has asked for it.
    pub fn has(&self, key: &Key) -> bool {
        self.answers.peek(key.target()).is_some_and(|variants| variants.of_key(key).next().is_some())
    }

    /// Stores an answer that was found elsewhere, unless one for the same requests has come since.
    pub fn put_older(&self, key: &Key, entry: &Arc<Entry>) -> bool {
        let one = self.lock();
        let before = self.answers.peek(key.target());
        let is_newer =
            |old: &Arc<Entry>| old.head.vary.is_same(&entry.head.vary) && old.head.came() > entry.head.came();
        let is_in_place = before.is_some_and(|before| before.of_key(key).any(is_newer));
        if !is_in_place {
            self.put_locked(one, key, entry);
        }
        !is_in_place
    }

    /// Stores an answer, in place of the one that was for the same requests.
    pub fn put(&self, key: &Key, entry: &Arc<Entry>) {
        self.put_locked(self.lock(), key, entry);
    }

    fn put_locked(&self, one: MutexGuard<'_, ()>, key: &Key, entry: &Arc<Entry>) {
        let before = self.answers.peek(key.target());
        let others = before.iter().flat_map(|before| &before.all);
        let is_other = |(of, old): &&Variant| **of != *rest(key) || !old.head.vary.is_same(&entry.head.vary);
        let mut all: SmallVec<_> = [(rest(key).into(), Arc::clone(entry))].into_iter().collect();
        all.extend(others.filter(is_other).take(MOST_VARIANTS - 1).cloned());
        self.set(one, key.target(), before.as_ref().map_or(&[], |before| &before.all), all);
    }

    /// Forgets one answer; of one in pieces also what has been made of it since.
    pub fn drop_entry(&self, key: &Key, entry: &Arc<Entry>) {
        let one = self.lock();
        let Some(before) = self.answers.peek(key.target()) else { return };
        let is_it = |old: &Arc<Entry>| {
            Arc::ptr_eq(old, entry) || entry.sliced.as_ref().is_some_and(|sliced| old.has_pieces_of(sliced))
        };
        let left: SmallVec<_> = before.all.iter().filter(|(_, old)| !is_it(old)).cloned().collect();
        if left.len() < before.all.len() {
            self.set(one, key.target(), &before.all, left);
        }
    }

    /// Forgets all answers of a target.
    pub fn forget(&self, key: &Key) {
        let one = self.lock();
        if let Some(before) = self.answers.peek(key.target()) {
            self.set(one, key.target(), &before.all, SmallVec::new());
        }
    }

    /// Drops the answers that are meant, or, with a time, has them be stale since then. How many? No lock is held for longer than one
    /// target takes, so this may go on while others read and store.
    pub fn purge(&self, is_meant: impl Fn(&[u8], &Entry) -> bool + Copy, soft: Option<SystemTime>) -> u64 {
        let has_any = |(target, variants): &(Box<[u8]>, Arc<Variants>)| {
            variants.all.iter().any(|(_, entry)| is_meant(target, entry))
        };
        let found = self.answers.iter().filter(has_any);
        let count = |(target, _): (Box<[u8]>, _)| {
            if !is_of_piece(&target) {
                return self.purge_target(&target, is_meant, soft);
            }
            // It is no answer by itself, and may be nobody's any more.
            if soft.is_none() {
                self.answers.remove(&*target);
            }
            0
        };
        found.map(count).sum()
    }

    /// The same of one target.
    pub fn purge_target(
        &self,
        target: &[u8],
        is_meant: impl Fn(&[u8], &Entry) -> bool,
        soft: Option<SystemTime>,
    ) -> u64 {
        let one = self.lock();
        let Some(before) = self.answers.peek(target) else { return 0 };
        let (meant, mut left): (SmallVec<[Variant; 1]>, SmallVec<[Variant; 1]>) =
            before.all.iter().cloned().partition(|(_, entry)| is_meant(target, entry));
        if meant.is_empty() {
            return 0;
        }
        let count = meant.len() as u64;
        if let Some(now) = soft {
            left.extend(meant.into_iter().map(|(rest, entry)| (rest, entry.expired(now))));
        }
        self.set(one, target, &before.all, left);
        count
    }

    /// These are the answers of a target now. Pieces of what is no longer among them are nobody's; there may be many, and nobody waits for
    /// their end.
    fn set(&self, one: MutexGuard<'_, ()>, target: &[u8], before: &[Variant], now: SmallVec<[Variant; 1]>) {
        let in_pieces = before.iter().filter_map(|(_, entry)| entry.sliced.as_ref());
        let gone = in_pieces.filter(|sliced| !now.iter().any(|(_, entry)| entry.has_pieces_of(sliced)));
        let gone: SmallVec<[_; 1]> = gone.cloned().collect();
        if now.is_empty() {
            self.answers.remove(target);
        } else {
            self.answers.insert(target.into(), Arc::new(Variants::of(now)));
        }
        drop(one);
        for key in gone.iter().flat_map(|sliced| sliced.keys(target)) {
            self.answers.remove(key.target());
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let _one = self.lock();
        self.answers.clear();
    }

    /// Makes room for bytes that are on their way; there is none if too many are.
    pub fn expect(&self, bytes: u64) -> bool {
        let growing = self.growing.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let has_room = growing <= self.size / 2;
        if !has_room {
            self.growing.fetch_sub(bytes, Ordering::Relaxed);
        }
        has_room
    }

    /// They have come, or will not.
    pub fn expect_no_more(&self, bytes: u64) {
        self.growing.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Variants {
    fn of(all: SmallVec<[Variant; 1]>) -> Self {
        let weight = all.iter().map(|(rest, entry)| rest.len() as u64 + entry.weight()).sum();
        Self { all, weight }
    }

    /// Those of a key, the newest first.
    pub fn of_key<'v>(&'v self, key: &'v Key) -> impl Iterator<Item = &'v Arc<Entry>> {
        self.all.iter().filter(move |(of, _)| **of == *rest(key)).map(|(_, entry)| entry)
    }
}

fn rest(key: &Key) -> &[u8] {
    &key.as_bytes()[key.target().len()..]
}

impl Weighter<Box<[u8]>, Arc<Variants>> for ByWeight {
    fn weight(&self, target: &Box<[u8]>, variants: &Arc<Variants>) -> u64 {
        target.len() as u64 + variants.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::{entry, key};

    const SIZE: u64 = 1 << 20;

    fn count(memory: &Memory, key: &Key) -> usize {
        memory.of_target(key).map_or(0, |variants| variants.of_key(key).count())
    }

    #[test]
    fn what_was_found_elsewhere_does_not_take_the_place_of_what_came_since() {
        let (memory, key, older) = (Memory::new(SIZE), key("/", None), entry(1, "a"));
        let is_newer = |entry: &Arc<Entry>| entry.head.came() > older.head.came();
        let newer = std::iter::repeat_with(|| entry(2, "a")).find(is_newer).expect("time goes on");
        memory.put(&key, &newer);

        assert!(!memory.put_older(&key, &older) && memory.put_older(&key, &entry(1, "b")));

        let kept = memory.entries(key.target());
        assert!(kept.len() == 2 && kept.iter().any(|(_, entry)| Arc::ptr_eq(entry, &newer)));
    }

    #[test]
    fn what_is_for_the_same_requests_takes_the_place_of_the_older_and_what_is_for_others_stands_beside_it() {
        let (memory, plain, with) = (Memory::new(SIZE), key("/", None), key("/", Some("1")));
        let newest = entry(3, "a");
        for (key, entry) in
            [(&plain, entry(1, "a")), (&plain, entry(2, "b")), (&with, entry(1, "a")), (&plain, Arc::clone(&newest))]
        {
            memory.put(key, &entry);
        }

        assert_eq!((count(&memory, &plain), count(&memory, &with), count(&memory, &key("/", Some("2")))), (2, 1, 0));
        let variants = memory.of_target(&plain).expect("they are there");
        assert!(variants.of_key(&plain).next().is_some_and(|first| Arc::ptr_eq(first, &newest)));
    }

    #[test]
    fn a_target_is_forgotten_with_all_that_is_of_it() {
        let (memory, keys) = (Memory::new(SIZE), [key("/a", None), key("/a", Some("1")), key("/ab", None)]);
        for key in &keys {
            memory.put(key, &entry(1, "a"));
        }

        memory.forget(&keys[0]);

        assert_eq!(keys.each_ref().map(|key| count(&memory, key)), [0, 0, 1]);
    }

    #[test]
    fn one_answer_is_forgotten_and_the_others_of_its_target_stay() {
        let (memory, key) = (Memory::new(SIZE), key("/", None));
        let (one, other) = (entry(1, "a"), entry(1, "b"));
        memory.put(&key, &one);
        memory.put(&key, &other);

        memory.drop_entry(&key, &entry(1, "a"));
        assert_eq!(count(&memory, &key), 2, "another one with the same words");
        memory.drop_entry(&key, &one);
        assert_eq!(count(&memory, &key), 1);
        memory.drop_entry(&key, &other);
        assert_eq!(memory.usage().targets, 0);
    }

    #[test]
    fn it_takes_no_more_than_it_may_and_counts_what_an_answer_costs_beside_its_bytes() {
        let (memory, empty) = (Memory::new(SIZE), entry(0, "a"));
        assert!(empty.weight() > 300, "{}", empty.weight());
        for number in 0..20_000 {
            memory.put(&key(&format!("/{number}"), None), &empty);
            assert!(memory.usage().bytes <= SIZE);
        }

        let Usage { bytes, targets } = memory.usage();

        assert!(bytes > SIZE * 9 / 10, "{bytes}");
        assert!(targets * (empty.weight() + 20) > SIZE * 8 / 10, "{targets}");
    }

    #[test]
    fn what_is_asked_for_once_does_not_drive_out_what_is_asked_for_often() {
        let memory = Memory::new(SIZE);
        let often: Vec<_> = (0..20).map(|number| key(&format!("/often/{number}"), None)).collect();
        for key in &often {
            memory.put(key, &entry(10_000, "a"));
        }
        for number in 0..2_000 {
            if number % 20 == 0 {
                often.iter().for_each(|key| drop(memory.of_target(key)));
            }
            memory.put(&key(&format!("/once/{number}"), None), &entry(10_000, "a"));
        }

        let left = often.iter().filter(|key| count(&memory, key) == 1).count();

        assert!(left >= 18, "only {left} of 20 are left");
    }

    #[test]
    fn more_than_half_of_it_is_not_on_its_way_at_once() {
        let memory = Memory::new(SIZE);

        assert!(memory.expect(SIZE / 2));
        assert!(!memory.expect(1));
        memory.expect_no_more(SIZE / 2);
        assert!(memory.expect(1));
    }
}
