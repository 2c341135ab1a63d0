//! Getting to know what is there, beside other work: one folder after the other.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use super::{
    folder::{Folder, names},
    name::Name,
    state::State,
};

/// How far it is.
pub struct Scan(Box<dyn Iterator<Item = PathBuf>>);

impl Scan {
    /// At the beginning.
    pub fn of(folder: &Folder) -> Self {
        Self(Box::new(folder.folders()))
    }

    /// One folder more; `None` when all is known.
    pub fn step(mut self, state: &Arc<State>, folder: &Folder) -> Option<Self> {
        match self.0.next() {
            Some(next) => names(&next).for_each(|name| know(state, folder, &name)),
            None => {
                let mut books = state.ledger();
                if books.is_scanned() {
                    state.is_scanned.store(true, Ordering::Release);
                    return None;
                }
            }
        }
        Some(self)
    }
}

/// Files are known by name and length; whether they are whole is found out when they are read.
fn know(state: &State, folder: &Folder, name: &Name) {
    let Ok(about) = fs::metadata(folder.path(name)) else { return };
    let gone = {
        let books = state.ledger();
        if state.index.has(name) {
            return;
        }
        if books.gone.has(name.target) { vec![*name] } else { state.index.insert(name, about.len()) }
    };
    for name in &gone {
        state.remove(folder, name);
    }
}
