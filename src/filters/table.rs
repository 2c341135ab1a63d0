//! What is known of keys that clients choose: one number for each, in memory that does not grow, shared by workers without a lock.
//!
//! A key has a place in one set of fifteen. A place is given to another key only if its own has nothing against it: whoever floods
//! the table with new keys makes it forget nobody. Where no place of a set can be given away, what is new there shares one
//! number: it gets less than a place of its own would give it, never more.
//!
//! A number is changed by comparing and swapping it. A place changes hands while its number reads `MOVING`, so that who has
//! found his key there, and comes too late, fails to swap: for that, **a place's numbers never come back** once it has another key, which is for
//! a [`Rule`] to see to. Who puts a new key into a set does so alone, so that no key has two places.

use std::{
    hash::{BuildHasher, RandomState},
    hint,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::*},
    thread,
};

use crate::settings::Problem;

/// So many keys share a set: with its numbers it is four cache lines.
const WAYS: usize = 15;

/// A place is being given to another key.
const MOVING: u64 = u64::MAX;

/// With 34 bytes for each this is 340 MB.
const MOST_KEYS: u32 = 10_000_000;

/// What there is room for where settings do not say.
pub fn a_hundred_thousand() -> u32 {
    100_000
}

/// What is wrong with room for so many.
pub fn check_room(max_keys: u32) -> Option<Problem> {
    let what = || format!("{max_keys} keys cannot be kept");
    let help = || format!("1 to {MOST_KEYS}; each takes 34 bytes");
    (!(1..=MOST_KEYS).contains(&max_keys)).then(|| Problem::at(["max_keys"], what()).help(help()))
}

/// Numbers by key.
pub struct Table {
    sets: Box<[Set]>,
    seed: RandomState,
}

#[derive(Default)]
#[repr(align(64))]
struct Set {
    tags: [AtomicU64; WAYS],
    is_being_changed: AtomicBool,
    numbers: [AtomicU64; WAYS],
    /// Of the keys that have no place.
    shared: AtomicU64,
}

/// Where the number of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    tag: u64,
    set: u32,
    way: u32,
}

/// What numbers mean.
pub trait Rule {
    /// Why one cannot be changed.
    type No;

    /// The place of a key with this number can be given away: it would be the same if the key were new. One of 0 always can.
    fn is_idle(&self, number: u64) -> bool;

    /// The number of a key that is new, in place of an idle one. It has to differ from all that the place has had. What
    /// those who share a number have against them may be this key's.
    fn first(&self, idle: u64, shared: u64) -> Result<u64, Self::No>;

    /// What a number becomes.
    fn next(&self, number: u64, shared: u64) -> Result<u64, Self::No>;
}

impl Table {
    /// One where so many keys have a place of their own: of a thousand that many of them, one or none shares. It takes 34 bytes a key.
    pub fn with_room_for(keys: u32) -> Self {
        let sets = (2 * keys as usize).div_ceil(WAYS).max(1);
        Self { sets: (0..sets).map(|_| Set::default()).collect(), seed: RandomState::new() }
    }

    /// So many keys were asked to have room.
    pub fn has_room_for(&self, keys: u32) -> bool {
        self.sets.len() == (2 * keys as usize).div_ceil(WAYS).max(1)
    }

    /// What it takes, in bytes.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// Makes a hash of a key that nobody can choose another for: whoever starts a table throws the dice.
    pub fn seed(&self) -> &impl BuildHasher {
        &self.seed
    }

    /// Changes the number of the key with this hash.
    pub fn change<R: Rule>(&self, hash: u64, rule: &R) -> (Place, Result<u64, R::No>) {
        let (tag, index) = self.place(hash);
        let set = &self.sets[index];
        let (way, outcome) = loop {
            if let Some(done) = set.change(tag, rule).or_else(|| set.insert(tag, rule)) {
                break done;
            }
        };
        (Place { tag, set: index as u32, way: way as u32 }, outcome)
    }

    /// The number of the key with this hash. For one that is new it is what those have in common that found no place.
    pub fn number(&self, hash: u64) -> u64 {
        let (tag, index) = self.place(hash);
        let set = &self.sets[index];
        set.number(tag).unwrap_or_else(|| set.shared.load(Acquire))
    }

    /// Its tag and its set.
    fn place(&self, hash: u64) -> (u64, usize) {
        let tag = hash.max(1);
        // The upper half of a product: no division.
        (tag, (((tag >> 32) * self.sets.len() as u64) >> 32) as usize)
    }

    /// The number at a place, unless it is another key's by now.
    pub fn number_at(&self, place: Place) -> Option<u64> {
        let set = &self.sets[place.set as usize];
        let Some(number) = set.numbers.get(place.way as usize) else { return Some(set.shared.load(Acquire)) };
        let known = number.load(Acquire);
        (known != MOVING && set.tags[place.way as usize].load(Acquire) == place.tag).then_some(known)
    }

    /// Changes the number at a place, unless it is another key's by now.
    pub fn change_at(&self, place: Place, change: impl Fn(u64) -> u64) {
        let set = &self.sets[place.set as usize];
        let Some(number) = set.numbers.get(place.way as usize) else {
            let _always = set.shared.fetch_update(AcqRel, Acquire, |shared| Some(change(shared)));
            return;
        };
        loop {
            let known = number.load(Acquire);
            if known == MOVING || set.tags[place.way as usize].load(Acquire) != place.tag {
                return;
            }
            if number.compare_exchange_weak(known, change(known), AcqRel, Relaxed).is_ok() {
                return;
            }
        }
    }
}

impl Place {
    /// It is one that keys have in common.
    pub fn is_shared(self) -> bool {
        self.way as usize == WAYS
    }
}

type Done<R> = (usize, Result<u64, <R as Rule>::No>);

impl Set {
    /// The number of a key that has a place here, and does not just get or lose it.
    fn number(&self, tag: u64) -> Option<u64> {
        let way = self.tags.iter().position(|known| known.load(Relaxed) == tag)?;
        let number = self.numbers[way].load(Acquire);
        (number != MOVING && self.tags[way].load(Acquire) == tag).then_some(number)
    }

    /// Changes the number of a key that has a place here.
    fn change<R: Rule>(&self, tag: u64, rule: &R) -> Option<Done<R>> {
        let way = self.tags.iter().position(|known| known.load(Relaxed) == tag)?;
        loop {
            let number = self.numbers[way].load(Acquire);
            if number == MOVING {
                hint::spin_loop();
                continue;
            }
            // After the number: as long as that is what it was, so is this.
            if self.tags[way].load(Acquire) != tag {
                return None;
            }
            match rule.next(number, self.shared.load(Acquire)) {
                Err(no) => return Some((way, Err(no))),
                Ok(next) => {
                    if self.numbers[way].compare_exchange_weak(number, next, AcqRel, Relaxed).is_ok() {
                        return Some((way, Ok(next)));
                    }
                }
            }
        }
    }

    /// Gives it a place, or what is shared. `None` if another thread has just given it one.
    fn insert<R: Rule>(&self, tag: u64, rule: &R) -> Option<Done<R>> {
        let _changing = Changing::begin(self);
        if self.tags.iter().any(|known| known.load(Relaxed) == tag) {
            return None;
        }
        let shared = self.shared.load(Acquire);
        for (way, number) in self.numbers.iter().enumerate() {
            let idle = number.load(Acquire);
            if idle != 0 && !rule.is_idle(idle) {
                continue;
            }
            let first = match rule.first(idle, shared) {
                Ok(first) => first,
                Err(no) => return Some((WAYS, Err(no))),
            };
            // If this fails, its key is back.
            if number.compare_exchange(idle, MOVING, AcqRel, Relaxed).is_ok() {
                self.tags[way].store(tag, Release);
                number.store(first, Release);
                return Some((way, Ok(first)));
            }
        }
        self.share(rule)
    }

    fn share<R: Rule>(&self, rule: &R) -> Option<Done<R>> {
        loop {
            let number = self.shared.load(Acquire);
            let next = match rule.next(number, 0) {
                Ok(next) => next,
                Err(no) => return Some((WAYS, Err(no))),
            };
            if self.shared.compare_exchange_weak(number, next, AcqRel, Relaxed).is_ok() {
                return Some((WAYS, Ok(next)));
            }
        }
    }
}

/// This thread alone puts keys into the set. It takes some tens of nanoseconds.
struct Changing<'s>(&'s Set);

impl<'s> Changing<'s> {
    fn begin(set: &'s Set) -> Self {
        let mut tries = 0;
        while set.is_being_changed.swap(true, Acquire) {
            tries += 1;
            // Whoever it is has been stopped by the kernel.
            if tries > 100 { thread::yield_now() } else { hint::spin_loop() }
        }
        Self(set)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.is_being_changed.store(false, Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Numbers are counts below a version, at most so many.
    struct AtMost(u64);

    const COUNT: u64 = 0xFFFF_FFFF;

    impl Rule for AtMost {
        type No = ();

        fn is_idle(&self, number: u64) -> bool {
            number & COUNT == 0
        }

        fn first(&self, idle: u64, shared: u64) -> Result<u64, ()> {
            if shared & COUNT < self.0 { Ok((idle | COUNT).wrapping_add(2)) } else { Err(()) }
        }

        fn next(&self, number: u64, shared: u64) -> Result<u64, ()> {
            if (number & COUNT) + (shared & COUNT) < self.0 { Ok(number + 1) } else { Err(()) }
        }
    }

    #[test]
    fn keys_have_places_of_their_own_until_a_set_is_full_and_then_share_one() {
        let table = Table::with_room_for(1);
        let passes = |key: u64| table.change(key, &AtMost(2));

        for key in 1..=15 {
            assert_eq!((passes(key).1.is_ok(), passes(key).1.is_ok(), passes(key).1), (true, true, Err(())), "{key}");
        }
        let (place, _) = passes(100);
        assert!(place.is_shared());
        assert!(passes(101).1.is_ok(), "the second that all of them share");
        assert_eq!((passes(102).1, passes(100).1), (Err(()), Err(())));

        table.change_at(place, |number| number - 1);
        assert!(passes(103).1.is_ok());
    }

    #[test]
    fn a_number_can_be_looked_at_and_that_of_a_new_key_is_what_those_without_a_place_share() {
        let table = Table::with_room_for(1);
        assert_eq!(table.number(1), 0);

        for key in 1..=15 {
            table.change(key, &AtMost(1)).1.expect("a place");
        }
        assert_eq!((table.number(15) & COUNT, table.number(16)), (1, 0), "looking changes nothing");
        table.change(16, &AtMost(1)).1.expect("what is shared");

        assert_eq!((table.number(15) & COUNT, table.number(16), table.number(17)), (1, 1, 1));
    }

    #[test]
    fn a_place_is_given_away_only_if_its_key_has_nothing_against_it() {
        let table = Table::with_room_for(1);
        let places: Vec<_> = (1..=15).map(|key| table.change(key, &AtMost(1)).0).collect();

        table.change_at(places[4], |number| number - 1);
        let (place, outcome) = table.change(100, &AtMost(1));

        assert!(outcome.is_ok() && !place.is_shared());
        table.change_at(places[4], |number| number - 1);
        assert_eq!(table.change(100, &AtMost(1)).1, Err(()), "who had the place before changes nothing any more");
        assert_eq!(table.change(1, &AtMost(1)).1, Err(()), "the others are still known");
    }

    #[test]
    fn what_new_keys_have_shared_is_against_them_when_they_get_a_place() {
        let table = Table::with_room_for(1);
        let first = table.change(1, &AtMost(1)).0;
        for key in 2..=16 {
            assert!(table.change(key, &AtMost(1)).1.is_ok());
        }

        table.change_at(first, |number| number - 1);

        assert_eq!(table.change(16, &AtMost(1)).1, Err(()));
    }

    /// Threads come and go with a few keys, of which more than a set has places for are there at once. Of each there are
    /// never more at once than there may be.
    #[test]
    fn threads_that_fight_for_places_never_get_more_than_one_key_may_have() {
        const MOST: u32 = 2;
        let table = Table::with_room_for(1);
        let inside: Vec<AtomicU32> = (0..40).map(|_| AtomicU32::new(0)).collect();
        let passed = AtomicU64::new(0);

        thread::scope(|scope| {
            for number in 0..4_u64 {
                let (table, inside, passed) = (&table, &inside, &passed);
                scope.spawn(move || {
                    let mut held = std::collections::VecDeque::new();
                    let mut key = number;
                    for _ in 0..20_000 {
                        key = (key * 7 + 3 + number) % 40;
                        let (place, outcome) = table.change(key + 1, &AtMost(MOST.into()));
                        if outcome.is_ok() {
                            let now = inside[key as usize].fetch_add(1, SeqCst) + 1;
                            assert!(now <= MOST, "{now} of key {key}");
                            passed.fetch_add(1, Relaxed);
                            held.push_back((key, place));
                        }
                        // Who is refused leaves, too: else all of them could wait for one another.
                        if (held.len() > 6 || outcome.is_err())
                            && let Some((key, place)) = held.pop_front()
                        {
                            inside[key as usize].fetch_sub(1, SeqCst);
                            table.change_at(place, |number| number - 1);
                        }
                    }
                    for (key, place) in held {
                        inside[key as usize].fetch_sub(1, SeqCst);
                        table.change_at(place, |number| number - 1);
                    }
                });
            }
        });

        assert!(passed.load(Relaxed) > 1000);
        let all_idle =
            table.sets[0].numbers.iter().chain([&table.sets[0].shared]).all(|number| number.load(SeqCst) & COUNT == 0);
        assert!(all_idle, "each that has come has gone");
    }

    #[test]
    fn with_as_many_keys_as_there_may_be_about_one_of_a_thousand_shares() {
        let table = Table::with_room_for(100_000);
        // Bits that look as if they were thrown (splitmix64).
        let hash = |key: u64| {
            let mixed = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let keys = (1..=100_000_u64).map(|number| hash(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));

        let shared = keys.filter(|key| table.change(*key, &AtMost(100_000)).0.is_shared()).count();

        assert!((30..300).contains(&shared), "{shared}");
    }

    #[test]
    fn it_takes_as_much_memory_as_it_says() {
        let table = Table::with_room_for(100_000);

        assert_eq!(table.memory() / 100_000, 34);
        assert!(table.has_room_for(100_000) && !table.has_room_for(100_100));
    }
}
