//! An answer that is written while it comes.

use std::{
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;

use super::{
    ledger::Ticket,
    state::{State, kib},
    writer::Job,
};
use crate::cache::store::lower::Pen;

/// Dropped before it is finished, nothing is kept.
pub struct DiskPen {
    state: Arc<State>,
    jobs: Sender<Job>,
    ticket: Arc<Ticket>,
    is_over: bool,
}

/// A disk that is not faster is not written to: those who read the answer wait for it so long, once.
const PATIENCE: Duration = Duration::from_secs(1);

impl DiskPen {
    /// Begins with it, unless too many are being written already.
    pub fn begin(state: &Arc<State>, jobs: &Sender<Job>, ticket: Arc<Ticket>) -> Option<Self> {
        let pen = Self { state: Arc::clone(state), jobs: jobs.clone(), ticket, is_over: false };
        let place = Arc::clone(&state.coming).try_acquire_owned().ok()?;
        pen.jobs.send(Job::Begin(Arc::clone(&pen.ticket), place)).ok()?;
        Some(pen)
    }
}

impl Pen for DiskPen {
    fn push(&mut self, bytes: Bytes) -> LocalBoxFuture<'_, bool> {
        Box::pin(async move {
            if self.ticket.is_void() {
                return false;
            }
            let room = Arc::clone(&self.state.waiting).acquire_many_owned(kib(bytes.len() as u64));
            match timeout(PATIENCE, room).await {
                Ok(Ok(place)) => self.jobs.send(Job::More(Arc::clone(&self.ticket), bytes, place)).is_ok(),
                _ => {
                    self.state.dropped();
                    false
                }
            }
        })
    }

    fn finish(mut self: Box<Self>) {
        self.is_over = true;
        let _it_ends_with_the_store = self.jobs.send(Job::End(Arc::clone(&self.ticket)));
    }
}

impl Drop for DiskPen {
    fn drop(&mut self) {
        if !self.is_over && self.jobs.send(Job::Leave(Arc::clone(&self.ticket))).is_err() {
            self.state.ledger().is_over(&self.ticket);
        }
    }
}
