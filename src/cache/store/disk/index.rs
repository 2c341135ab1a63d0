//! What is on disk, as far as it is known, and what of it is to go when there is too much: by how often it was asked for there (CLOCK-Pro,
//! by quick_cache). An answer takes about a hundred bytes of memory.

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};
use smallvec::SmallVec;

use super::name::Name;

/// By target. Changes are made by who holds the lock of the ledger.
pub struct Index(Cache<u128, Marks, ByPages, foldhash::quality::RandomState, Gathering>);

/// The answers of one target, the oldest first.
pub type Marks = SmallVec<[Mark; 1]>;

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// See [`Name::rest`].
    pub rest: u64,
    /// See [`Name::vary`].
    pub vary: u64,
    /// What it takes on disk.
    pages: u32,
}

/// File systems give room in these.
const PAGE: u64 = 4096;

/// So many answers of one target are kept, the newest.
pub const MOST_VARIANTS: usize = 64;

/// An answer has this size, for the books that are kept of what was given up.
const USUAL: u64 = 32 * 1024;

impl Index {
    /// Of so many bytes at most.
    pub fn new(size: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(size / PAGE)
            .estimated_items_capacity(usize::try_from(size / USUAL).unwrap_or(usize::MAX).max(64))
            .build()
            .expect("all is given");
        Self(Cache::with_options(options, ByPages, foldhash::quality::RandomState::default(), Gathering))
    }

    /// What there is of a target, for who wants some of it.
    pub fn of(&self, target: u128) -> Option<Marks> {
        self.0.get(&target)
    }

    /// It is known.
    pub fn has(&self, name: &Name) -> bool {
        self.0.peek(&name.target).is_some_and(|marks| marks.iter().any(|mark| mark.is(name)))
    }

    /// This is there now, and so large; what has to go for it.
    pub fn insert(&self, name: &Name, bytes: u64) -> Vec<Name> {
        let mut marks = self.0.peek(&name.target).unwrap_or_default();
        marks.retain(|mark| !mark.is(name));
        let mut gone = Gone::default();
        while marks.len() >= MOST_VARIANTS {
            gone.0.push((name.target, SmallVec::from_elem(marks.remove(0), 1)));
        }
        let pages = u32::try_from(bytes.div_ceil(PAGE)).unwrap_or(u32::MAX);
        marks.push(Mark { rest: name.rest, vary: name.vary, pages });
        self.0.insert_with_lifecycle(name.target, marks, &mut gone);
        let names = |(target, marks): (u128, Marks)| marks.into_iter().map(move |mark| mark.name(target));
        let mut names: Vec<_> = gone.0.into_iter().flat_map(names).collect();
        // What was there of the target before is told, too, and most of it still is.
        names.retain(|gone| gone.target != name.target || !self.has(gone));
        names.dedup();
        names
    }

    /// This is not there any more.
    pub fn remove(&self, name: &Name) {
        let Some(mut marks) = self.0.peek(&name.target) else { return };
        marks.retain(|mark| !mark.is(name));
        if marks.is_empty() {
            self.0.remove(&name.target);
        } else {
            self.0.insert(name.target, marks);
        }
    }

    /// Nothing of this target is there any more.
    pub fn remove_target(&self, target: u128) {
        self.0.remove(&target);
    }

    /// Nothing is.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// How many bytes that takes on disk.
    pub fn bytes(&self) -> u64 {
        self.0.weight() * PAGE
    }

    /// Of how many targets there is something.
    pub fn targets(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Mark {
    fn is(&self, name: &Name) -> bool {
        (self.rest, self.vary) == (name.rest, name.vary)
    }

    /// The whole name.
    pub fn name(&self, target: u128) -> Name {
        Name { target, rest: self.rest, vary: self.vary }
    }
}

#[derive(Clone)]
struct ByPages;

impl Weighter<u128, Marks> for ByPages {
    fn weight(&self, _: &u128, marks: &Marks) -> u64 {
        marks.iter().map(|mark| u64::from(mark.pages)).sum()
    }
}

/// Has what is given up be told.
#[derive(Clone)]
struct Gathering;

#[derive(Default)]
struct Gone(Vec<(u128, Marks)>);

impl Lifecycle<u128, Marks> for Gathering {
    type RequestState = Gone;

    fn on_evict(&self, gone: &mut Gone, target: u128, marks: Marks) {
        gone.0.push((target, marks));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn name(target: u128, vary: u64) -> Name {
        Name { target, rest: 1, vary }
    }

    #[test]
    fn what_has_to_go_is_told_and_the_rest_is_within_the_size() {
        const SIZE: u64 = 16 << 20;
        let (index, mut there) = (Index::new(SIZE), HashSet::new());
        for number in 0..10_000 {
            let name = name(number, 0);
            there.insert(name);
            for gone in index.insert(&name, 10_000) {
                assert!(there.remove(&gone), "{gone} was there");
            }
            assert!(index.bytes() <= SIZE);
        }

        assert!(index.bytes() > SIZE * 98 / 100, "{}", index.bytes());
        assert_eq!(there.len() as u64, index.targets());
        assert!(there.iter().all(|name| index.has(name)));
    }

    #[test]
    fn answers_of_one_target_stand_side_by_side_and_the_oldest_goes() {
        let index = Index::new(16 << 20);
        for vary in 0..MOST_VARIANTS as u64 {
            assert_eq!(index.insert(&name(1, vary), 1), []);
        }
        assert_eq!(index.insert(&name(1, 0), 5_000), [], "in place of the one before");

        assert_eq!(index.insert(&name(1, 99), 1), [name(1, 1)]);
        index.remove(&name(1, 2));
        assert!(!index.has(&name(1, 2)) && index.has(&name(1, 3)) && index.has(&name(1, 99)));
        assert_eq!(index.bytes(), 64 * PAGE);
        index.remove_target(1);
        assert_eq!((index.of(1), index.bytes()), (None, 0));
    }

    #[test]
    fn it_takes_little_memory_for_each() {
        const COUNT: u128 = 100_000;
        let index = Index::new(COUNT as u64 * PAGE);
        for number in 0..COUNT {
            index.insert(&name(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834), 0), 1);
        }

        let each = index.0.memory_used().total() as u128 / u128::from(index.targets());

        assert!((50..=120).contains(&each), "{each} bytes");
    }

    #[test]
    fn what_is_larger_than_all_there_is_goes_at_once() {
        let index = Index::new(1 << 20);

        assert_eq!(index.insert(&name(1, 0), 2 << 20), [name(1, 0)]);
        assert_eq!(index.targets(), 0);
    }
}
