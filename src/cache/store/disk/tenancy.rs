//! Who has a folder within this process. A store of other settings takes it over as soon as it is wanted: the one before may be held for
//! long yet, by workers that have nothing to do, and gets it back if its settings are those that count once more.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
    mpsc::{Receiver, Sender},
};

use super::writer::Job;
use crate::cache::purge::What;

/// Of one folder.
#[derive(Default)]
pub struct Tenancy(Mutex<Option<(Arc<Seat>, Sender<Job>)>>);

/// Where the thread of a store listens; until it does, and after it has left the folder, what it would listen to.
pub struct Seat {
    /// No thread has listened yet.
    is_new: AtomicBool,
    /// It was told to leave the folder, and has.
    is_away: AtomicBool,
    within: Mutex<Within>,
}

struct Within {
    jobs: Option<Receiver<Job>>,
    /// How often it was told to stay since it was told to leave: what it is told may wait for long before it hears it.
    stays: u32,
}

impl Tenancy {
    /// It is for who sits here from now on; the one before is told to leave it. What a new thread is to listen to, if it takes one.
    pub(super) fn take_over(&self, seat: &Arc<Seat>, jobs: &Sender<Job>) -> Option<Receiver<Job>> {
        let mut current = self.current();
        if current.as_ref().is_some_and(|(current, _)| Arc::ptr_eq(current, seat)) {
            return None;
        }
        if let Some((_, before)) = current.replace((Arc::clone(seat), jobs.clone())) {
            let _it_may_have_ended = before.send(Job::Close);
        }
        seat.take()
    }

    /// Has who has the folder forget this, if that is not who sits here.
    pub(super) fn tell(&self, seat: &Arc<Seat>, what: &What) -> bool {
        match &*self.current() {
            Some((current, jobs)) if !Arc::ptr_eq(current, seat) => jobs.send(Job::Forget(what.clone())).is_ok(),
            _ => false,
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<(Arc<Seat>, Sender<Job>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn new(jobs: Receiver<Job>) -> Self {
        let within = Mutex::new(Within { jobs: Some(jobs), stays: 0 });
        Self { is_new: AtomicBool::new(true), is_away: AtomicBool::new(false), within }
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Acquire)
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Acquire)
    }

    /// For a thread that listens from now on; where one does still, it stays.
    pub(super) fn take(&self) -> Option<Receiver<Job>> {
        let mut within = self.within();
        self.is_new.store(false, Ordering::Release);
        self.is_away.store(false, Ordering::Release);
        if within.jobs.is_none() {
            within.stays += 1;
        }
        within.jobs.take()
    }

    /// The thread was told to leave so often, and does, unless it was told to stay as often: then it goes on with them.
    pub(super) fn leave(&self, jobs: Receiver<Job>, told: u32) -> Option<Receiver<Job>> {
        let mut within = self.within();
        if let Some(left) = within.stays.checked_sub(told) {
            within.stays = left;
            return Some(jobs);
        }
        within.stays = 0;
        self.is_away.store(true, Ordering::Release);
        within.jobs = Some(jobs);
        None
    }

    fn within(&self) -> MutexGuard<'_, Within> {
        self.within.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
