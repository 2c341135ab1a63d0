//! Having answers go, or be stale, by what they say: also those that nobody has come to know yet. Here files are touched, so workers
//! are not to do this. Where the disk does not tell what there is, more goes than is meant: nothing that is meant stays.

use std::time::SystemTime;

use super::{folder::Folder, ledger::Forgotten, name::Name, state::State, stored::Stored};
use crate::cache::purge::What;

impl State {
    /// Drops what is meant, or has it be stale from then on. How many?
    pub fn purge_in(&self, folder: &Folder, what: &What, soft: Option<SystemTime>) -> u64 {
        match what {
            What::Url(urls) => urls.iter().map(|url| self.purge_target(folder, url, soft)).sum(),
            What::Everything if soft.is_none() => self.purge_all(folder, soft, |_| true),
            _ => self.purge_all(folder, soft, |name| match self.open(folder, name) {
                Ok(stored) => stored.is_some_and(|stored| is_meant(what, &stored)),
                // It may be meant, and may be read another time.
                Err(_) => true,
            }),
        }
    }

    fn purge_target(&self, folder: &Folder, target: &[u8], soft: Option<SystemTime>) -> u64 {
        match folder.of_target(folder.naming.target(target)) {
            Ok(names) => names.iter().map(|name| u64::from(self.end(folder, name, soft))).sum(),
            Err(error) => {
                self.failed("what is to go cannot be looked for", error);
                if self.forget_target(folder, target) == Forgotten::TooMany {
                    self.forget_all();
                }
                0
            }
        }
    }

    fn purge_all(&self, folder: &Folder, soft: Option<SystemTime>, is_meant: impl Fn(&Name) -> bool) -> u64 {
        let (mut count, mut problem) = (0, None);
        for name in folder.files() {
            match name {
                Ok(name) => count += u64::from(is_meant(&name) && self.end(folder, &name, soft)),
                Err(error) => problem = Some(error),
            }
        }
        if let Some(error) = problem {
            self.failed("what is to go cannot be looked for", error);
            self.forget_all();
        }
        count
    }

    /// Nothing that is meant counts any more.
    pub fn forget_meant(&self, folder: &Folder, what: &What) {
        match what {
            What::Url(urls) => {
                if urls.iter().any(|url| self.forget_target(folder, url) == Forgotten::TooMany) {
                    self.forget_all();
                }
            }
            _ => self.forget_all(),
        }
    }

    /// Nothing of this target counts any more: its files are to be removed.
    pub fn forget_target(&self, folder: &Folder, target: &[u8]) -> Forgotten {
        let mut books = self.ledger();
        let name = folder.naming.target(target);
        self.index.remove_target(name);
        books.forget(target, name, self.is_scanned())
    }

    fn end(&self, folder: &Folder, name: &Name, soft: Option<SystemTime>) -> bool {
        match soft.map(|now| Stored::expire(&folder.path(name), now)) {
            Some(Ok(())) => true,
            // What cannot be made stale is made to go.
            Some(Err(_)) | None => self.remove(folder, name),
        }
    }
}

/// By its target, which is what is before the first line feed of its key.
fn is_meant(what: &What, stored: &Stored) -> bool {
    let target = stored.key.split(|byte| *byte == b'\n').next().unwrap_or_default();
    what.holds(target, &stored.head)
}
