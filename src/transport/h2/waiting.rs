//! Those who wait for room on a connection, in the order in which they came.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    mem,
};

use tokio::sync::oneshot;

use super::{failure::Failure, shelf::Place};
use crate::transport::Phase;

/// By their tickets.
#[derive(Default)]
pub struct Waiting {
    all: RefCell<BTreeMap<u64, Waiter>>,
    next_ticket: Cell<u64>,
}

struct Waiter {
    give: oneshot::Sender<News>,
    waits_for: For,
}

/// What somebody waits for beside room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// A connection that is being made.
    Dial,
    /// Leave to make one.
    Permit,
}

/// What somebody who waits is told.
pub enum News {
    /// There is room.
    Place(Place),
    /// The endpoint has chosen HTTP/1.1.
    Http1,
    /// The connection could not be made.
    Failed(Phase, Failure),
    /// It is to look again.
    Otherwise,
}

impl Waiting {
    /// One more.
    pub fn queue_up(&self, waits_for: For) -> (Ticket<'_>, oneshot::Receiver<News>) {
        let number = self.next_ticket.replace(self.next_ticket.get() + 1);
        let (give, given) = oneshot::channel();
        self.all.borrow_mut().insert(number, Waiter { give, waits_for });
        (Ticket { waiting: self, number }, given)
    }

    /// How many wait for a connection that is being made.
    pub fn for_dial(&self) -> usize {
        self.all.borrow().values().filter(|waiter| waiter.waits_for == For::Dial).count()
    }

    /// Whose turn it is.
    pub fn first(&self) -> Option<oneshot::Sender<News>> {
        loop {
            let (_, waiter) = self.all.borrow_mut().pop_first()?;
            if !waiter.give.is_closed() {
                return Some(waiter.give);
            }
        }
    }

    /// Tells all who wait for a connection that is being made.
    pub fn tell(&self, news: impl Fn() -> News) {
        let all = mem::take(&mut *self.all.borrow_mut());
        let (told, rest): (BTreeMap<_, _>, _) = all.into_iter().partition(|(_, waiter)| waiter.waits_for == For::Dial);
        *self.all.borrow_mut() = rest;
        for waiter in told.into_values() {
            // Who has given up waiting needs no news.
            let _ = waiter.give.send(news());
        }
    }
}

/// A place among those who wait. Whoever leaves takes it along.
pub struct Ticket<'w> {
    waiting: &'w Waiting,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiting.all.borrow_mut().remove(&self.number);
    }
}
