//! Who has a folder within this process. A store of other settings takes it over as soon as it is wanted: the one before may be held for
//! long yet, by workers that have nothing to do.

use std::sync::{Mutex, PoisonError, mpsc::Sender};

use super::writer::Job;

/// Of one folder.
#[derive(Default)]
pub struct Tenancy(Mutex<Option<Sender<Job>>>);

impl Tenancy {
    /// It is for who hears this from now on; the one before is told to leave it.
    pub(super) fn take_over(&self, jobs: &Sender<Job>) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(jobs.clone());
        if let Some(before) = before {
            let _it_may_have_ended = before.send(Job::Close);
        }
    }
}
