//! Chance: a sequence per thread, so that cores do not wait for each other, and one that can be had again.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(()));
}

/// Where this thread's sequence goes on from, so that it can be had again.
pub fn seed(state: u64) {
    STATE.set(state);
}

/// The next number of this thread: SplitMix64. It decides, and protects nothing: whoever sees some may guess others.
pub fn roll() -> u64 {
    let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    STATE.set(state);
    mix(state)
}

/// Half of the next number.
pub fn half() -> u32 {
    (roll() >> 32) as u32
}

/// A number below `sides`, of which there is at least one.
pub fn below(sides: usize) -> usize {
    // The upper half of a product: no division, and a bias of less than 2^-32.
    (((roll() >> 32) * sides as u64) >> 32) as usize
}

/// From 0 to less than 1.
pub fn part() -> f64 {
    as_part(roll())
}

/// A number as a part of all there are: from 0 to less than 1.
pub fn as_part(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

/// Yes, so often.
pub fn happens(share: f64) -> bool {
    part() < share
}

/// The same number for the same bytes, in every process of every version: FNV-1a, small, and to be spread by [`mix`].
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// Spreads what little two numbers differ by over all bits.
pub fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
