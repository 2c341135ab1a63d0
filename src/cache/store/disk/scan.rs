//! Getting to know what is there, beside other work: one folder after the other.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use super::{
    folder::{Folder, names},
    format::Prelude,
    name::Name,
    state::State,
};

/// How far it is.
pub struct Scan {
    folders: Box<dyn Iterator<Item = io::Result<PathBuf>>>,
    has_failed: bool,
}

/// What comes next.
pub enum Step {
    /// Another folder.
    More(Scan),
    /// The disk does not tell all, or something is still to be removed: there is no hurry.
    Later(Scan),
    /// Nothing: all is known.
    Done,
}

impl Scan {
    /// At the beginning.
    pub fn of(folder: &Folder) -> Self {
        Self { folders: Box::new(folder.folders().fuse()), has_failed: false }
    }

    /// One folder more.
    pub fn step(mut self, state: &Arc<State>, folder: &Folder) -> Step {
        let Some(next) = self.folders.next() else { return self.end(state, folder) };
        match next.and_then(|next| names(&next)) {
            Ok(names) => names.iter().for_each(|name| know(state, folder, name)),
            Err(error) => {
                state.failed("what is there cannot be looked through", error);
                self.has_failed = true;
            }
        }
        Step::More(self)
    }

    fn end(self, state: &State, folder: &Folder) -> Step {
        if self.has_failed {
            return Step::Later(Self::of(folder));
        }
        let mut books = state.ledger();
        if !books.is_scanned() {
            return Step::Later(self);
        }
        state.is_scanned.store(true, Ordering::Release);
        Step::Done
    }
}

/// Files are known by name and length; whether they are whole is found out when they are read.
fn know(state: &State, folder: &Folder, name: &Name) {
    let length = match fs::metadata(folder.path(name)) {
        Ok(about) => about.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(_) => 0,
    };
    let gone = {
        let books = state.ledger();
        if state.index.has(name) {
            return;
        }
        // One that is torn or cannot be read would take no room in the index, and never go.
        let is_one = length >= Prelude::LENGTH as u64 && !books.gone.has(name.target);
        if is_one { state.index.insert(name, length) } else { vec![*name] }
    };
    for name in &gone {
        state.remove(folder, name);
    }
}
