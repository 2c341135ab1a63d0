//! Which settings are in force, and what became of the last attempt to put others in force.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use crate::settings::{Origins, Problem};

/// What the reloader has to say of itself; shared with whoever is asked.
#[derive(Debug, Clone)]
pub struct Standing(Arc<Mutex<State>>);

/// It, at one point in time.
#[derive(Debug, Clone)]
pub struct State {
    /// The number of the plan in force.
    pub generation: u64,
    /// Since when.
    pub since: SystemTime,
    /// The files that are read, whether they are there or not; the later over the earlier.
    pub files: Vec<PathBuf>,
    /// Where what is in force was written.
    pub origins: Arc<Origins>,
    /// How many attempts there were.
    pub attempts: Attempts,
    /// The last attempt, if nothing came of it.
    pub refused: Option<Refused>,
}

/// To put other settings or certificates in force.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempts {
    /// They are.
    pub in_force: u64,
    /// Nothing has changed.
    pub refused: u64,
}

/// An attempt that changed nothing.
#[derive(Debug, Clone)]
pub struct Refused {
    /// When.
    pub at: SystemTime,
    /// Why, as the log has it.
    pub why: String,
    /// The same one by one, where the settings are wrong.
    pub problems: Vec<Problem>,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} is in force", self.generation)?;
        if self.refused.is_some() { f.write_str("; what is written by now is refused: see the log") } else { Ok(()) }
    }
}

impl Standing {
    /// The first plan is in force from now on.
    pub fn first(files: Vec<PathBuf>, origins: &Arc<Origins>) -> Self {
        let origins = Arc::clone(origins);
        let state = State {
            generation: 1,
            since: SystemTime::now(),
            files,
            origins,
            attempts: Attempts::default(),
            refused: None,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// What it is now.
    pub fn now(&self) -> State {
        self.state().clone()
    }

    /// Another plan is in force. It may be of the settings as they were, with other certificates, while what is written
    /// by now stays refused.
    pub(super) fn accepted(&self, generation: u64, stays_refused: bool) {
        let mut state = self.state();
        (state.generation, state.since) = (generation, SystemTime::now());
        state.attempts.in_force += 1;
        if !stays_refused {
            state.refused = None;
        }
    }

    /// There was an attempt, and nothing has changed.
    pub(super) fn refused(&self, why: String, problems: Vec<Problem>) {
        let mut state = self.state();
        state.attempts.refused += 1;
        state.refused = Some(Refused { at: SystemTime::now(), why, problems });
    }

    /// What is in force was written there.
    pub(super) fn was_written(&self, origins: &Arc<Origins>) {
        self.state().origins = Arc::clone(origins);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
