//! Stopping well: every connection of a worker learns of it, without a lock or a counter shared with other workers.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use tokio_util::sync::CancellationToken;

/// When the server stops: who has connected and not yet asked has this long to begin. He could not know, and a client
/// that is cut off before its first answer tells its user so.
pub const LAST_CALL: Duration = Duration::from_secs(1);

/// Places for more connections than this are given up once at most one of them is waited at.
const MANY: usize = 1024;

/// The word to stop, for all workers: that of the server, or of one address below it. Tunnels have one of their own: where
/// another process goes on in our place, they may go on here for a while.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    requests: Word,
    tunnels: Word,
}

#[derive(Debug, Clone, Default)]
struct Word {
    is_said: Arc<AtomicBool>,
    /// The same of the server, which stops every address.
    is_said_above: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Stop {
    /// For one address: it is said with this one, or alone.
    pub fn below(&self) -> Self {
        Self { requests: self.requests.below(), tunnels: self.tunnels.below() }
    }

    /// Whether it was said.
    pub fn is_said(&self) -> bool {
        self.requests.is_said()
    }

    /// Whether tunnels go on.
    pub fn is_said_to_requests_alone(&self) -> bool {
        self.requests.is_said() && !self.tunnels.is_said()
    }

    /// Says it.
    pub fn say(&self) {
        self.say_to_requests();
        self.tunnels.say();
    }

    /// Says it to all but tunnels.
    pub fn say_to_requests(&self) {
        self.requests.say();
    }

    /// Ready once it was said.
    pub async fn said(&self) {
        self.requests.token.cancelled().await;
    }
}

impl Word {
    fn below(&self) -> Self {
        Self { is_said: Arc::default(), is_said_above: Arc::clone(&self.is_said), token: self.token.child_token() }
    }

    fn is_said(&self) -> bool {
        self.is_said.load(Ordering::Acquire) || self.is_said_above.load(Ordering::Acquire)
    }

    fn say(&self) {
        // First the word, then the call: whoever wakes up finds it said.
        self.is_said.store(true, Ordering::Release);
        self.token.cancel();
    }
}

/// One worker's connections of one address that wait for the word.
pub struct Worker {
    word: Word,
    /// Tasks to wake; a connection has one place in here.
    waiting: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
    /// Those that wait for the word to tunnels.
    tunnels: Option<Rc<Self>>,
}

/// A connection's ear.
pub struct Draining {
    worker: Rc<Worker>,
    place: Cell<Option<usize>>,
}

impl Worker {
    /// Passes the word on to its connections.
    pub fn listening(stop: &Stop) -> Rc<Self> {
        let tunnels = Self::listening_for(stop.tunnels.clone(), None);
        Self::listening_for(stop.requests.clone(), Some(tunnels))
    }

    fn listening_for(word: Word, tunnels: Option<Rc<Self>>) -> Rc<Self> {
        let (waiting, free) = (RefCell::default(), RefCell::default());
        let worker = Rc::new(Self { word: word.clone(), waiting, free, tunnels });
        let heard = Rc::downgrade(&worker);
        actix_rt::spawn(async move {
            word.token.cancelled().await;
            if let Some(worker) = heard.upgrade() {
                for waker in worker.waiting.take().into_iter().flatten() {
                    waker.wake();
                }
            }
        });
        worker
    }

    /// The word was said.
    pub fn has_begun(&self) -> bool {
        self.word.is_said()
    }

    /// For one connection.
    pub fn ear(self: &Rc<Self>) -> Draining {
        Draining { worker: Rc::clone(self), place: Cell::new(None) }
    }
}

impl Draining {
    /// One more ear of the same worker.
    pub fn another(&self) -> Self {
        self.worker.ear()
    }

    /// Ready once tunnels are to end.
    pub fn of_tunnels(&self) -> LocalBoxFuture<'static, ()> {
        let ear = self.worker.tunnels.as_ref().unwrap_or(&self.worker).ear();
        Box::pin(poll_fn(move |cx| ear.poll(cx)))
    }

    /// The server stops, or no longer listens where the connection came in.
    pub fn has_begun(&self) -> bool {
        self.worker.has_begun()
    }

    /// Where it is an ear.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// It is one of this worker.
    pub fn is_at(&self, worker: &Rc<Worker>) -> bool {
        Rc::ptr_eq(&self.worker, worker)
    }

    /// Ready once it has begun; the task is woken then.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_begun() {
            return Poll::Ready(());
        }
        let mut waiting = self.worker.waiting.borrow_mut();
        let place = self.place.get().or_else(|| self.worker.free.borrow_mut().pop()).unwrap_or(waiting.len());
        self.place.set(Some(place));
        if place == waiting.len() {
            waiting.push(None);
        }
        let waker = &mut waiting[place];
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        let Some(place) = self.place.get() else { return };
        let (mut waiting, mut free) = (self.worker.waiting.borrow_mut(), self.worker.free.borrow_mut());
        // Once the word has gone round there are no places any more.
        let Some(waiter) = waiting.get_mut(place) else { return };
        *waiter = None;
        free.push(place);
        // As many as there were may not come again for long. One waits on: whoever looks after those who are parked.
        if free.len() > MANY && free.len() + 1 >= waiting.len() {
            let taken = waiting.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            if taken < waiting.len() {
                waiting.truncate(taken);
                waiting.shrink_to_fit();
                free.retain(|place| *place < taken);
                free.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn places_that_nobody_needs_are_given_up_also_where_one_waits_on() {
        let worker = Worker::listening(&Stop::default());
        let mut ears: Vec<_> = (0..4 * MANY).map(|_| worker.ear()).collect();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(ears.iter().all(|ear| ear.poll(&mut cx).is_pending()));

        let stays = ears.swap_remove(2 * MANY);
        drop(ears);

        assert_eq!(worker.waiting.borrow().len(), 2 * MANY + 1);
        let next = worker.ear();
        assert!(next.poll(&mut cx).is_pending());
        assert!(worker.waiting.borrow()[next.place.get().expect("it waits")].is_some());
        drop((next, stays));
        assert!(worker.waiting.borrow().is_empty() && worker.free.borrow().is_empty());
    }
}
