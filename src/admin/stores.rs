//! What is kept, tier by tier.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cache::store::{Shelf, lower::Lower};

/// Where answers are kept.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Store {
    /// `built_in` is the one of routes that name none.
    name: String,
    /// Bytes that memory may take.
    size: u64,
    /// Bytes that it takes.
    bytes: u64,
    /// Of how many targets there are answers in memory.
    targets: u64,
    /// What is below memory.
    below: Vec<Tier>,
}

/// What is below memory.
#[derive(Debug, Serialize, JsonSchema)]
struct Tier {
    /// Such as `disk`.
    tier: &'static str,
    /// Bytes that it may take, where that is known.
    size: Option<u64>,
    /// Bytes that it takes, where that is known.
    bytes: Option<u64>,
    /// Of how many targets it has answers, as far as that is known.
    targets: Option<u64>,
    /// How often it failed, since the start.
    errors: u64,
}

impl Store {
    /// As it is now.
    pub fn of(shelf: &Shelf) -> Self {
        let usage = shelf.memory.usage();
        Self {
            name: shelf.name.clone(),
            size: shelf.memory.size(),
            bytes: usage.bytes,
            targets: usage.targets,
            below: shelf.lower().iter().map(|lower| Tier::of(&**lower)).collect(),
        }
    }
}

impl Tier {
    fn of(lower: &dyn Lower) -> Self {
        let usage = lower.usage();
        Self { tier: lower.kind(), size: usage.size, bytes: usage.bytes, targets: usage.targets, errors: usage.errors }
    }
}
