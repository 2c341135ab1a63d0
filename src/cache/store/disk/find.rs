//! Looking for an answer, where files may be read.

use std::{
    fmt, fs, io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    body::Place,
    folder::Folder,
    index::MOST_VARIANTS,
    name::Name,
    state::State,
    stored::{Stored, Unreadable},
};
use crate::{
    cache::{content::Content, entry::Entry, key::Key, store::lower::Told},
    http::HeaderMap,
};

/// A body that is no longer is read at once, and is in memory then.
const AT_ONCE: u64 = 256 * 1024;

/// The disk does not tell what is in a file: that has been said.
pub struct CannotTell;

impl State {
    /// The files that can have something for this key, as far as they are known; `None`: it is to be looked for by name.
    pub fn known(&self, folder: &Folder, key: &Key) -> Option<Vec<Name>> {
        let (target, rest) = (folder.naming.target(key.target()), folder.naming.rest(key));
        let marks = self.index.of(target);
        let names = || marks.into_iter().flatten().filter(|mark| mark.rest == rest).map(|mark| mark.name(target));
        self.is_scanned().then(|| names().collect())
    }

    /// The newest answer in them for a request with these fields.
    pub fn look(
        self: &Arc<Self>,
        folder: &Folder,
        key: &Key,
        headers: &HeaderMap,
        names: Option<Vec<Name>>,
    ) -> Option<Entry> {
        let names = names.unwrap_or_else(|| self.by_name(folder, key));
        let (mut newest, sealed): (Option<(Name, Stored)>, _) = (None, key.sealed());
        for name in names.into_iter().take(MOST_VARIANTS) {
            let Ok(Some(stored)) = self.open(folder, &name) else { continue };
            if stored.key != sealed {
                self.broken(folder, &name, "it has the name of another one");
            } else if stored.head.vary.matches(headers)
                && newest.as_ref().is_none_or(|(_, known)| known.head.came() <= stored.head.came())
            {
                newest = Some((name, stored));
            }
        }
        let (name, mut stored) = newest?;
        stored.head.vary.is_seen_in(headers);
        let entry = self.entry(folder, name, stored)?;
        if self.ledger().is_purged(key.target(), &entry) {
            return None;
        }
        self.counts.found.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    fn by_name(&self, folder: &Folder, key: &Key) -> Vec<Name> {
        let rest = folder.naming.rest(key);
        let mut names = self.of_target(folder, folder.naming.target(key.target()));
        names.retain(|name| name.rest == rest);
        names
    }

    /// The files of a target that count.
    fn of_target(&self, folder: &Folder, target: u128) -> Vec<Name> {
        let mut names = folder.of_target(target).unwrap_or_else(|error| {
            self.failed("what there is cannot be looked for", error);
            Vec::new()
        });
        let books = self.ledger();
        let counts = |name: &Name| self.index.has(name) || !(self.is_scanned() || books.gone.has(target));
        names.retain(counts);
        names
    }

    /// What there is of a target, for people.
    pub fn told(&self, folder: &Folder, target: &[u8]) -> Vec<Told> {
        let told = |stored: Stored| Told {
            is_keyed: stored.key.len() > target.len(),
            length: stored.body(),
            weight: stored.length(),
            head: stored.head,
        };
        let names = self.of_target(folder, folder.naming.target(target)).into_iter();
        let stored = names.filter_map(|name| self.open(folder, &name).ok().flatten());
        let is_of_use = |stored: &Stored| stored.head.groups.is_empty() || stored.since(self.process()).is_some();
        stored.filter(is_of_use).map(told).collect()
    }

    /// Opens a file, if it is there; one that is harmed is removed.
    ///
    /// # Errors
    /// The disk does not tell what is in it.
    pub fn open(&self, folder: &Folder, name: &Name) -> Result<Option<Stored>, CannotTell> {
        match Stored::open(&folder.path(name)) {
            Ok(stored) => return Ok(Some(stored)),
            Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound => self.lost(name),
            Err(Unreadable::Io(error)) => {
                self.failed("what is kept cannot be read", error);
                return Err(CannotTell);
            }
            Err(why @ Unreadable::Broken) => self.broken(folder, name, why),
        }
        Ok(None)
    }

    /// It is not what it was: it is removed.
    pub fn broken(&self, folder: &Folder, name: &Name, why: impl fmt::Display) {
        self.failed(format_args!("the file {name} was removed"), why);
        self.remove(folder, name);
    }

    /// Removes a file, and what is known of it. Was it there? What cannot be removed counts for nothing, and is tried again.
    pub fn remove(&self, folder: &Folder, name: &Name) -> bool {
        self.lost(name);
        match fs::remove_file(folder.path(name)) {
            Ok(()) => {
                folder.tidy(name);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                self.failed("a file cannot be removed", error);
                self.ledger().stays(name.target, self.is_scanned());
                false
            }
        }
    }

    fn entry(self: &Arc<Self>, folder: &Folder, name: Name, stored: Stored) -> Option<Entry> {
        let since = match stored.since(self.process()) {
            Some(since) => since,
            // Which groups another process has seen invalidated nobody knows.
            None if !stored.head.groups.is_empty() => {
                self.remove(folder, &name);
                return None;
            }
            None => Duration::ZERO,
        };
        let (head, length) = (stored.head.clone(), stored.body());
        if length > AT_ONCE {
            let open = Arc::clone(&self.open).try_acquire_owned().ok()?;
            return Some(Entry { head, content: self.there(name, stored, open), sliced: None, since });
        }
        let (content, writer) = Content::begin(Some(length));
        for index in 0..stored.blocks() {
            match stored.block(index) {
                Ok(block) => writer.push(&block),
                Err(Unreadable::Io(error)) => {
                    self.failed("what is kept cannot be read", error);
                    return None;
                }
                Err(why @ Unreadable::Broken) => {
                    self.broken(folder, &name, why);
                    return None;
                }
            }
        }
        writer.finish(None).then_some(Entry { head, content, sliced: None, since })
    }

    fn there(self: &Arc<Self>, name: Name, stored: Stored, open: OwnedSemaphorePermit) -> Arc<Content> {
        let length = stored.body();
        Content::elsewhere(length, Arc::new(Place::new(Arc::downgrade(self), name, stored, open)))
    }
}
