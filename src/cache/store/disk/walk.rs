//! Having answers go, or be stale, by what they say: also those that nobody has come to know yet. Here files are touched, so workers
//! are not to do this.

use std::time::SystemTime;

use super::{
    folder::{Folder, names},
    name::Name,
    state::State,
    stored::Stored,
};
use crate::cache::purge::What;

impl State {
    /// Drops what is meant, or has it be stale from then on. How many?
    pub fn purge_in(&self, folder: &Folder, what: &What, soft: Option<SystemTime>) -> u64 {
        let mut count = 0;
        let mut done = |is_done: bool| count += u64::from(is_done);
        match what {
            What::Url(urls) => {
                for target in urls.iter().map(|url| folder.naming.target(url)) {
                    folder.of_target(target).for_each(|name| done(self.end(folder, &name, soft)));
                }
            }
            What::Everything if soft.is_none() => {
                folder.folders().flat_map(|below| names(&below)).for_each(|name| done(self.end(folder, &name, None)));
            }
            _ => {
                for name in folder.folders().flat_map(|below| names(&below)) {
                    if self.open(folder, &name).is_some_and(|stored| is_meant(what, &stored)) {
                        done(self.end(folder, &name, soft));
                    }
                }
            }
        }
        count
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
