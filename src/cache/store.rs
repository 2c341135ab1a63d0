//! Where answers are kept.

use std::sync::Arc;

use self::{groups::Groups, memory::Memory};
use super::{
    entry::moment,
    flight::Flights,
    key::{Key, Target},
};

pub mod groups;
pub mod memory;

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
}

impl Shelf {
    /// One of this size in bytes.
    pub fn new(name: &str, size: u64) -> Self {
        Self { name: name.to_owned(), memory: Memory::new(size), flights: Arc::default(), groups: Groups::default() }
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
