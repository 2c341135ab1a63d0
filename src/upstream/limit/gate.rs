//! The places of an upstream, counted over all workers, and those who wait for one.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{
    Class,
    queue::{Full, Queue, Rank},
};
use crate::{
    exchange::{Slot, slot},
    http::error::Overload,
    telemetry::metrics::SharedCount,
};

/// Counts. It outlives a reload.
///
/// No place is free while somebody waits who was not woken since: who gives one up takes it off the count before it looks
/// whether anybody waits; who waits says so before it looks for a place. Both do so in one order for all (`SeqCst`).
#[derive(Debug, Default)]
pub struct Gate {
    in_flight: AtomicU32,
    /// As many as the queue has, to be read without it.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
    /// Those that were turned away since the start.
    pub refused: Refused,
}

/// How many were turned away, by why.
#[derive(Debug, Default)]
pub struct Refused {
    /// As many waited as may.
    pub queue_full: SharedCount,
    /// They got no place in time.
    pub queue_timeout: SharedCount,
    /// They gave way to others of a higher class.
    pub shed: SharedCount,
}

/// A place among those who wait. Whoever leaves takes it along, and wakes the next.
pub struct Waiting<'g> {
    gate: &'g Gate,
    rank: Rank,
}

impl Gate {
    /// Takes a place, if less than `most` are taken and nobody waits.
    pub fn enter(self: &Arc<Self>, most: u32) -> Option<Slot> {
        if self.waiting.load(Ordering::SeqCst) == 0 { self.enter_first(most) } else { None }
    }

    /// The same for whoever is first of those who wait.
    pub fn enter_first(self: &Arc<Self>, most: u32) -> Option<Slot> {
        let one_more = |taken: u32| (taken < most).then_some(taken + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_more).ok()?;
        Some(Slot::of(Arc::clone(self) as Arc<dyn slot::Gate>))
    }

    /// Waits, with a place at the upstream already or without, if there is room.
    ///
    /// # Errors
    /// As many wait as may, and none of them is worth less.
    pub fn queue_up(&self, class: Class, is_new: bool, most: usize) -> Result<Waiting<'_>, Full> {
        let mut queue = self.queue();
        let (rank, ousted) = queue.join(class, is_new, most)?;
        self.counted(queue);
        wake(ousted);
        Ok(Waiting { gate: self, rank })
    }

    /// Somebody may be able to go in now.
    pub fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let first = self.queue().first();
            wake(first);
        }
    }

    /// How many places are taken.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, queue: MutexGuard<'_, Queue>) {
        self.waiting.store(queue.len(), Ordering::SeqCst);
    }
}

impl Refused {
    /// One more.
    pub fn count(&self, why: &Overload) {
        match why {
            Overload::QueueFull => self.queue_full.one(),
            Overload::QueueTimeout { .. } => self.queue_timeout.one(),
            Overload::Shed => self.shed.one(),
        };
    }

    /// All of them.
    pub fn sum(&self) -> u64 {
        self.queue_full.now() + self.queue_timeout.now() + self.shed.now()
    }
}

impl slot::Gate for Gate {
    fn left(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.wake();
    }
}

impl Waiting<'_> {
    /// Ready while it is first, or once it had to go. The task is woken when it becomes first, and when a place is free.
    pub fn poll_first(&self, cx: &Context<'_>) -> Poll<Result<(), Ousted>> {
        match self.gate.queue().is_first(self.rank, cx.waker()) {
            Some(true) => Poll::Ready(Ok(())),
            Some(false) => Poll::Pending,
            None => Poll::Ready(Err(Ousted)),
        }
    }
}

/// It had to go for one of a higher class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ousted;

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.gate.queue();
        let next = queue.leave(self.rank);
        self.gate.counted(queue);
        wake(next);
    }
}

/// Never with the queue locked: who is woken looks into it.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
