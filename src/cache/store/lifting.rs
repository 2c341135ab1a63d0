//! The way up: what is found below memory is read there once, and goes on in memory.

use std::{sync::Arc, time::Duration};

use super::{Shelf, lower::Pen};
use crate::cache::{
    entry::{Entry, moment},
    filling::Filling,
    flight::Lead,
    key::Key,
    policy::Ask,
};

impl Shelf {
    /// What the tiers below memory have for this request, and which of them had it. What was invalidated since it was put is not there.
    pub async fn find_below(&self, key: &Key, ask: &Ask<'_>) -> Option<(Arc<Entry>, &'static str)> {
        for lower in &self.lower {
            let begun = moment();
            if let Some(entry) = lower.find(key, ask.headers).await
                && !self.groups.has_invalidated(ask.target, &entry)
            {
                // Until now nothing has made it old: it is as if it were asked for now.
                return Some((Arc::new(Entry { since: begun, ..entry }), lower.kind()));
            }
        }
        None
    }

    /// Takes what was found below into memory, for all who wait for it, and those who come later. What has become old meanwhile is not
    /// for them, nor for who has looked for it.
    ///
    /// # Errors
    /// It has: he has to ask for it.
    pub fn lift(self: &Arc<Self>, key: &Key, entry: Arc<Entry>, lead: Lead) -> Result<Arc<Entry>, Lead> {
        if lead.is_doomed() || self.has_purged(key, &entry) {
            return Err(lead);
        }
        let fits = entry.content.length().is_some_and(|length| length <= self.memory.largest_here());
        if entry.content.is_in_memory() {
            self.put_lifted(key, &entry, Some(&lead));
            return Ok(entry);
        }
        match entry.content.read(None).filter(|_| fits) {
            Some(body) => Ok(self.lifting(key, entry.since, lead).begin(entry.head.clone(), body).0),
            // Each reads it where it is.
            None => {
                lead.came(&entry);
                Ok(entry)
            }
        }
    }

    fn lifting(self: &Arc<Self>, key: &Key, since: Duration, lead: Lead) -> Filling {
        Filling {
            key: key.clone(),
            shelf: Arc::clone(self),
            lead: Some(lead),
            since,
            max_object: self.memory.largest_here(),
            length: None,
            stored: None,
            in_flight: None,
            awaited: None,
            is_lifted: true,
        }
    }

    /// Begins to put what is too large for memory below, while it comes, unless it is too old already.
    pub(in crate::cache) fn begin_below(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        lead: Option<&Lead>,
    ) -> Option<Box<dyn Pen>> {
        // A piece means nothing to another process.
        if key.is_of_piece() || self.is_too_old(key, entry, lead) {
            return None;
        }
        let pen = self.lower.iter().find_map(|lower| lower.begin(key, entry));
        // What makes it old from now on hears of it there.
        pen.filter(|_| !self.is_too_old(key, entry, lead))
    }

    /// Whole now, in memory: it is there, unless it has become old.
    pub(in crate::cache) fn put_lifted(&self, key: &Key, entry: &Arc<Entry>, lead: Option<&Lead>) -> bool {
        if self.is_too_old(key, entry, lead) {
            return false;
        }
        if !self.memory.put_older(key, entry) {
            return false;
        }
        let is_too_old = self.is_too_old(key, entry, lead);
        if is_too_old {
            self.memory.drop_entry(key, entry);
        }
        !is_too_old
    }
}
