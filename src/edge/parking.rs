//! Where connections are while nothing comes on them for long: without a task and without buffers of their own. One task
//! looks after all that a worker has, and hears by number who was woken (docs/adr/0042-parked-connections.md).

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    mem,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;

use self::watch::Watch;
use super::{
    drain::{self, Draining},
    h1::Visit,
    line::Line,
};

#[cfg_attr(not(target_os = "linux"), path = "parking/no_watch.rs")]
mod watch;

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
    /// Made for the first that it can watch; `None` within if it cannot be.
    watch: OnceCell<Option<Watch>>,
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
        let (bells, watch, is_attended) = (Arc::default(), OnceCell::new(), Cell::new(false));
        Self { places, woken, ears, bells, watch, is_attended }
    }
}

impl<K> Parking<K> {
    /// Keeps it until something happens to it. Whether somebody has yet to look after those who are here, until there is
    /// no [`next`](Self::next).
    pub fn keep(&self, mut parked: Parked<K>) -> bool {
        let mut places = self.places.borrow_mut();
        let number = places.next();
        let bell = Waker::from(Arc::new(Bell { number, bells: Arc::clone(&self.bells) }));
        let (visit, cx) = (&mut parked.visit, &mut Context::from_waker(&bell));
        let is_watched = self.watch(&mut visit.arrival.line, number);
        let has_come = !is_watched && visit.arrival.line.poll_read_ready(cx).is_ready();
        if visit.until.poll(cx).is_ready() || has_come {
            bell.wake();
        }
        self.listen_to(&parked.draining);
        places.put(number, parked);
        !self.is_attended.replace(true)
    }

    /// Has the kernel watch it apart from the runtime, where that can be done.
    fn watch(&self, line: &mut Line, number: u32) -> bool {
        let Some(socket) = line.forget() else { return false };
        let watch = self.watch.get_or_init(Watch::new).as_ref();
        let is_watched = watch.is_some_and(|watch| watch.add(socket, number).is_ok());
        if !is_watched {
            // If the runtime does not hear of it either, the connection is lost, which is noticed as soon as it is polled.
            let _ = line.known();
        }
        is_watched
    }

    /// The next to which something has happened; `None` once nobody is here.
    pub async fn next(&self) -> Option<Parked<K>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Parked<K>>> {
        self.bells.task.register(cx.waker());
        self.hear(cx);
        let (mut woken, mut places) = (self.woken.borrow_mut(), self.places.borrow_mut());
        let watch = self.watch.get().and_then(Option::as_ref);
        if let Some(watch) = watch {
            watch.poll(cx, |number| woken.push_back(number));
        }
        // Until nothing has rung: only the first bell behind that wakes this task.
        loop {
            while let Some(number) = woken.pop_front() {
                if let Some(parked) = places.take(number) {
                    if let (Some(watch), Some(socket)) = (watch, parked.visit.arrival.line.early()) {
                        watch.leave(socket);
                    }
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
    use tokio::{io::AsyncWriteExt, net::UnixStream};

    use super::*;
    use crate::{edge::drain::Stop, transport::dial::Stream as Socket};

    #[actix_rt::test]
    async fn who_is_called_is_found_also_behind_those_who_have_gone() {
        let (near, _far) = UnixStream::pair().expect("sockets");
        let parking = Parking::default();
        let draining = drain::Worker::listening(&Stop::default());
        parking.keep(Parked { visit: Visit::at(Socket::Unix(near)), draining, keeps: () });
        // His bell has woken the task already, and that is looking for somebody who is not here.
        parking.woken.borrow_mut().push_back(7);
        parking.bells.rung().push(0);

        assert!(parking.next().now_or_never().flatten().is_some());
    }

    #[actix_rt::test]
    async fn where_sockets_cannot_be_watched_apart_the_runtime_does() {
        let door = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let mut far = tokio::net::TcpStream::connect(door.local_addr().expect("it has one")).await.expect("it listens");
        let (near, _) = door.accept().await.expect("somebody has come");
        let parking = Parking::default();
        assert!(parking.watch.set(None).is_ok());
        let draining = drain::Worker::listening(&Stop::default());
        parking.keep(Parked { visit: Visit::at(Socket::Tcp(near)), draining, keeps: () });
        assert!(parking.next().now_or_never().is_none());

        far.write_all(b"GET").await.expect("there is room");

        assert!(parking.next().await.is_some());
    }
}
