//! What happens to filters, by name.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::count::SpreadCount;

/// Counts one thing that happens.
#[derive(Debug, Clone, Default)]
pub struct Event(Arc<SpreadCount>);

/// A filter, and what happens to it. Both are words of the source, never of a client.
pub type Name = (&'static str, &'static str);

/// All of them.
#[derive(Debug, Default)]
pub struct Events(RwLock<BTreeMap<Name, Event>>);

impl Event {
    /// It has happened.
    pub fn happened(&self) {
        self.0.one();
    }

    /// How often it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.now()
    }
}

impl Events {
    /// The one of this name.
    pub fn named(&self, name: Name) -> Event {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return known.clone();
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone()
    }

    /// How often each has happened.
    pub fn counts(&self) -> Vec<(Name, u64)> {
        let events = self.0.read().unwrap_or_else(PoisonError::into_inner);
        events.iter().map(|(name, event)| (*name, event.count())).collect()
    }
}
