//! An answer that is written while it comes.

use std::{
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::{Instant, timeout},
};

use super::{
    ledger::Ticket,
    state::{State, kib},
    writer::Job,
};
use crate::cache::{purge::What, store::lower::Pen};

/// Dropped before it is finished, nothing is kept.
pub struct DiskPen {
    state: Arc<State>,
    jobs: Sender<Job>,
    ticket: Arc<Ticket>,
    is_over: bool,
    /// So long those who read the answer may still wait for it.
    patience: Duration,
}

/// A disk that is not faster is not written to: those who read an answer wait for it so long, all in all.
const PATIENCE: Duration = Duration::from_secs(1);

impl DiskPen {
    /// Begins with it, unless too many are being written already.
    pub fn begin(state: &Arc<State>, jobs: &Sender<Job>, ticket: Arc<Ticket>) -> Option<Self> {
        let pen = Self { state: Arc::clone(state), jobs: jobs.clone(), ticket, is_over: false, patience: PATIENCE };
        let place = Arc::clone(&state.coming).try_acquire_owned().ok()?;
        pen.jobs.send(Job::Begin(Arc::clone(&pen.ticket), place)).ok()?;
        Some(pen)
    }
}

impl DiskPen {
    async fn room(&mut self, kib: u32) -> Option<OwnedSemaphorePermit> {
        let waiting = &self.state.waiting;
        if let Ok(place) = Arc::clone(waiting).try_acquire_many_owned(kib) {
            return Some(place);
        }
        if self.patience.is_zero() {
            return None;
        }
        let begun = Instant::now();
        let place = timeout(self.patience, Arc::clone(waiting).acquire_many_owned(kib)).await;
        self.patience = self.patience.saturating_sub(begun.elapsed());
        place.ok()?.ok()
    }

    /// It is not kept: none that is older is to be found in its place.
    fn forget(&self) {
        let what = What::Url(vec![self.ticket.key.target().to_vec().into()]);
        match self.state.folder() {
            Some(folder) => {
                self.state.forget_meant(&folder, &what);
                let _it_ends_with_the_store = self.jobs.send(Job::Sweep);
            }
            None => self.state.ledger().later(what),
        }
    }
}

impl Pen for DiskPen {
    fn push(&mut self, bytes: Bytes) -> LocalBoxFuture<'_, bool> {
        Box::pin(async move {
            if self.ticket.is_void() {
                return false;
            }
            match self.room(kib(bytes.len() as u64)).await {
                Some(place) => self.jobs.send(Job::More(Arc::clone(&self.ticket), bytes, place)).is_ok(),
                None => {
                    self.state.dropped();
                    self.forget();
                    false
                }
            }
        })
    }

    fn finish(mut self: Box<Self>) -> LocalBoxFuture<'static, bool> {
        self.is_over = true;
        let (settled, told) = oneshot::channel();
        let _it_ends_with_the_store = self.jobs.send(Job::End(Arc::clone(&self.ticket), settled));
        Box::pin(async move { told.await.unwrap_or(false) })
    }
}

impl Drop for DiskPen {
    fn drop(&mut self) {
        if !self.is_over && self.jobs.send(Job::Leave(Arc::clone(&self.ticket))).is_err() {
            self.state.ledger().is_over(&self.ticket);
        }
    }
}
