//! Where connections are while nothing comes on them for long: without a task and without buffers of their own. One task
//! looks after all that a worker has, and hears by number who was woken (docs/adr/0042-parked-connections.md).

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    mem,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;

use super::{
    drain::{self, Draining},
    h1::Visit,
};

/// A connection on which nothing comes for so long is parked. Between two requests of a busy client there is less.
pub const PARK_AFTER: Duration = Duration::from_secs(1);

/// A connection that is parked.
pub struct Parked<K> {
    /// The connection.
    pub visit: Visit,
    /// The word to stop where it came in.
    pub draining: Rc<drain::Worker>,
    /// What goes with it.
    pub keeps: K,
}

/// Those of one worker.
pub struct Parking<K> {
    places: RefCell<Places<K>>,
    /// Those to look at, in their order.
    woken: RefCell<VecDeque<u32>>,
    /// One for each word that somebody here waits for.
    ears: RefCell<Vec<Draining>>,
    bells: Arc<Bells>,
    is_attended: Cell<bool>,
}

struct Places<K> {
    /// In boxes: an empty place is small, and nothing is copied when there are more of them.
    all: Vec<Option<Box<Parked<K>>>>,
    free: Vec<u32>,
}

impl<K> Default for Parking<K> {
    fn default() -> Self {
        let (places, woken, ears) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { places, woken, ears, bells: Arc::default(), is_attended: Cell::new(false) }
    }
}

impl<K> Parking<K> {
    /// Keeps it until something happens to it. Whether somebody has yet to look after those who are here, until there is
    /// no [`next`](Self::next).
    pub fn keep(&self, parked: Parked<K>) -> bool {
        let mut places = self.places.borrow_mut();
        let number = places.next();
        let bell = Waker::from(Arc::new(Bell { number, bells: Arc::clone(&self.bells) }));
        let (visit, cx) = (&parked.visit, &mut Context::from_waker(&bell));
        let has_come = visit.arrival.line.poll_read_ready(cx).is_ready();
        if visit.until.poll(cx).is_ready() || has_come {
            bell.wake();
        }
        self.listen_to(&parked.draining);
        places.put(number, parked);
        !self.is_attended.replace(true)
    }

    /// The next to which something has happened; `None` once nobody is here.
    pub async fn next(&self) -> Option<Parked<K>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Parked<K>>> {
        self.bells.task.register(cx.waker());
        self.hear(cx);
        let (mut woken, mut places) = (self.woken.borrow_mut(), self.places.borrow_mut());
        // Until nothing has rung: only the first bell behind that wakes this task.
        loop {
            while let Some(number) = woken.pop_front() {
                if let Some(parked) = places.take(number) {
                    return Poll::Ready(Some(parked));
                }
            }
            woken.extend(self.bells.rung().drain(..));
            if woken.is_empty() {
                break;
            }
        }
        if !places.is_empty() {
            return Poll::Pending;
        }
        self.is_attended.set(false);
        // As many as there were may not come again for long.
        *places = Places::default();
        *woken = VecDeque::new();
        *self.bells.rung() = Vec::new();
        self.ears.take();
        Poll::Ready(None)
    }

    /// Hears of this word from now on, if it does not yet.
    fn listen_to(&self, draining: &Rc<drain::Worker>) {
        let mut ears = self.ears.borrow_mut();
        if !ears.iter().any(|ear| ear.is_at(draining)) {
            ears.push(draining.ear());
            // The task has to listen there, too.
            self.bells.task.wake();
        }
    }

    /// Wakes those to whom the word was said.
    fn hear(&self, cx: &mut Context<'_>) {
        self.ears.borrow_mut().retain(|ear| {
            if ear.poll(cx).is_pending() {
                return true;
            }
            let places = self.places.borrow();
            let told = places.all.iter().zip(0..).filter_map(|(place, number)| {
                place.as_ref().is_some_and(|parked| ear.is_at(&parked.draining)).then_some(number)
            });
            self.woken.borrow_mut().extend(told);
            false
        });
    }
}

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self { all: Vec::new(), free: Vec::new() }
    }
}

impl<K> Places<K> {
    fn is_empty(&self) -> bool {
        self.free.len() == self.all.len()
    }

    /// One that nobody has.
    fn next(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            u32::try_from(self.all.len() - 1).expect("there are fewer descriptors than that")
        })
    }

    fn put(&mut self, number: u32, parked: Parked<K>) {
        self.all[number as usize] = Some(Box::new(parked));
    }

    /// Whoever is there: a bell may ring twice.
    fn take(&mut self, number: u32) -> Option<Parked<K>> {
        let parked = mem::take(self.all.get_mut(number as usize)?)?;
        self.free.push(number);
        Some(*parked)
    }
}

/// What wakes the one task, and tells it who was meant.
#[derive(Default)]
struct Bells {
    rung: Mutex<Vec<u32>>,
    task: AtomicWaker,
}

/// One connection's.
struct Bell {
    number: u32,
    bells: Arc<Bells>,
}

impl Bells {
    fn rung(&self) -> MutexGuard<'_, Vec<u32>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut rung = self.bells.rung();
        rung.push(self.number);
        // Of those behind the first the task hears when it looks.
        let is_first = rung.len() == 1;
        drop(rung);
        if is_first {
            self.bells.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::edge::drain::Stop;

    #[actix_rt::test]
    async fn who_is_called_is_found_also_behind_those_who_have_gone() {
        let (near, _far) = UnixStream::pair().expect("sockets");
        let parking = Parking::default();
        let draining = drain::Worker::listening(&Stop::default());
        parking.keep(Parked { visit: Visit::at(near), draining, keeps: () });
        // His bell has woken the task already, and that is looking for somebody who is not here.
        parking.woken.borrow_mut().push_back(7);
        parking.bells.rung().push(0);

        assert!(parking.next().now_or_never().flatten().is_some());
    }
}
