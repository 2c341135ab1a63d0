//! Where connections are while nothing comes on them for long: without a task and without buffers of their own. One task
//! looks after all that a worker has, and hears by number who was woken (docs/adr/0042-parked-connections.md).

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeSet, VecDeque},
    future::poll_fn,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;

use self::{places::Places, watch::Watch};
use super::{
    drain::{self, Draining},
    h1::Visit,
    line::Line,
};
use crate::clock::{Deadline, Due};

mod places;
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
    places: RefCell<Places<Parked<K>>>,
    /// When they are over, if nothing comes; by number.
    dues: RefCell<BTreeSet<(Due, u32)>>,
    /// The first of that.
    first_due: Deadline,
    /// Those to look at, in their order.
    woken: RefCell<VecDeque<u32>>,
    /// One for each word that somebody here waits for.
    ears: RefCell<Vec<Draining>>,
    bells: Arc<Bells>,
    /// Made once somebody looks after them; `None` within if it cannot be.
    watch: OnceCell<Option<Watch>>,
}

impl<K> Default for Parking<K> {
    fn default() -> Self {
        let (places, dues, first_due) = (RefCell::default(), RefCell::default(), Deadline::new());
        let (woken, ears, bells, watch) = (RefCell::default(), RefCell::default(), Arc::default(), OnceCell::new());
        Self { places, dues, first_due, woken, ears, bells, watch }
    }
}

impl<K> Parking<K> {
    /// Keeps it until something happens to it, and is told by [`next`](Self::next).
    pub fn keep(&self, mut parked: Parked<K>) {
        let mut places = self.places.borrow_mut();
        let number = places.free();
        let line = &mut parked.visit.arrival.line;
        if !self.watch(line, number) {
            let bell = Waker::from(Arc::new(Bell { number, bells: Arc::clone(&self.bells) }));
            if line.poll_read_ready(&mut Context::from_waker(&bell)).is_ready() {
                bell.wake();
            }
        }
        self.note_due(parked.visit.until, number);
        self.listen_to(&parked.draining);
        places.put(number, parked);
    }

    fn note_due(&self, due: Due, number: u32) {
        if due == Due::NEVER {
            return;
        }
        let mut dues = self.dues.borrow_mut();
        dues.insert((due, number));
        if dues.first() == Some(&(due, number)) {
            self.first_due.arm_at(due);
        }
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

    /// The next to which something has happened.
    pub async fn next(&self) -> Parked<K> {
        // Not with the first who is parked, when there are many: memory of what stays would lie among that of what goes.
        self.watch.get_or_init(Watch::new);
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Parked<K>> {
        self.bells.task.register(cx.waker());
        self.hear(cx);
        let (mut woken, mut places) = (self.woken.borrow_mut(), self.places.borrow_mut());
        let watch = self.watch.get().and_then(Option::as_ref);
        if let Some(watch) = watch {
            watch.poll(cx, |number| woken.push_back(number));
        }
        self.call_due(cx, &mut woken);
        // Until nothing has rung: only the first bell behind that wakes this task.
        loop {
            while let Some(number) = woken.pop_front() {
                if let Some(parked) = places.take(number) {
                    self.dues.borrow_mut().remove(&(parked.visit.until, number));
                    if let (Some(watch), Some(socket)) = (watch, parked.visit.arrival.line.early()) {
                        watch.leave(socket);
                    }
                    return Poll::Ready(parked);
                }
            }
            woken.extend(self.bells.rung().drain(..));
            if woken.is_empty() {
                break;
            }
        }
        if places.is_empty() {
            // As many as there were may not come again for long.
            *places = Places::default();
            *woken = VecDeque::new();
            *self.bells.rung() = Vec::new();
            self.ears.take();
        }
        Poll::Pending
    }

    /// Wakes those whose time is over, and is woken for the next of them.
    fn call_due(&self, cx: &mut Context<'_>, woken: &mut VecDeque<u32>) {
        let mut dues = self.dues.borrow_mut();
        while let Some((due, number)) = dues.first().copied()
            && due.has_passed()
        {
            dues.pop_first();
            woken.push_back(number);
        }
        self.first_due.arm_at(dues.first().map_or(Due::NEVER, |(due, _)| *due));
        let _not_yet = self.first_due.poll(cx);
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
            let told = places.iter().filter(|(_, parked)| ear.is_at(&parked.draining)).map(|(number, _)| number);
            self.woken.borrow_mut().extend(told);
            false
        });
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

        assert!(parking.next().now_or_never().is_some());
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

        parking.next().await;
    }
}
