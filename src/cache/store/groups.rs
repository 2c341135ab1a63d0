//! Groups of answers (RFC 9875): which of them were invalidated, and when. What is in one and older is not used any more.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use crate::cache::{entry::Entry, key::Target};

/// What was invalidated. Answers are not looked for: they are asked when somebody wants to use them.
#[derive(Default)]
pub struct Groups(RwLock<HashMap<Box<[u8]>, Duration>>);

/// So many are remembered.
const MOST: usize = 4096;

impl Groups {
    /// Answers of this group of an origin are old from now on; `false` if it cannot be remembered, and all answers have to go.
    #[must_use]
    pub fn invalidate(&self, origin: Target<'_>, group: &str, now: Duration) -> bool {
        let mut groups = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= MOST {
            groups.clear();
            return false;
        }
        groups.insert(name(origin, group), now);
        true
    }

    /// It is in a group that was invalidated since it was asked for.
    pub fn has_invalidated(&self, origin: Target<'_>, entry: &Entry) -> bool {
        if entry.head.groups.is_empty() {
            return false;
        }
        let groups = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of = |group: &str| groups.get(&*name(origin, group)).is_some_and(|when| *when >= entry.since);
        !groups.is_empty() && entry.head.groups.iter().any(|group| of(group))
    }
}

/// Groups are those of one origin: another one can have some of the same names.
fn name(origin: Target<'_>, group: &str) -> Box<[u8]> {
    [origin.scheme(), "://", origin.authority, "\n", group].concat().into_bytes().into()
}
