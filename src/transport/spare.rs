//! Idle connections to endpoints, given up where nothing is left to make another with.
//!
//! A process may have so many files open, and connections that are kept for the next request are some of them: with more
//! endpoints than that all would be kept, and none could be made. Whoever needs one now gets it, and those that were idle
//! longest go: this worker's own, or where it has none, those of others.

use std::{
    cell::RefCell,
    collections::HashMap,
    io, mem,
    rc::{Rc, Weak},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::io::Errno;
use tokio::{sync::mpsc, task::yield_now, time::timeout};

/// One of so many goes at a time: to find the oldest takes a look at all.
const PART: usize = 8;
/// No more than so many: to close one takes up to 20 us, and meanwhile nobody is served.
const MOST: usize = 256;
/// So often what cannot be opened is tried: others may be faster to take what was given up for it.
const TRIES: usize = 64;
/// So long other workers may take to answer.
const PATIENCE: Duration = Duration::from_millis(100);
/// Those who ask at once are answered together, up to so many.
const TOGETHER: usize = 64;

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Where workers that keep something are asked to give up some of it.
static WORKERS: Mutex<Vec<mpsc::UnboundedSender<Answer>>> = Mutex::new(Vec::new());

/// Where a worker that has made room says so. One that has none to make lets go of it.
type Answer = mpsc::UnboundedSender<()>;

/// What this worker knows to be kept.
#[derive(Default)]
struct Kept {
    keepers: HashMap<u64, Weak<dyn Keeps>, foldhash::fast::RandomState>,
    next: u64,
    /// Others may ask for it.
    listens: bool,
}

/// Who keeps connections of this worker that nobody uses now.
pub trait Keeps {
    /// Since when each is idle, by the coarse clock.
    fn idle_since(&self, all: &mut Vec<Duration>);

    /// Closes those that are idle since then or longer, but no more than so many. Says how many.
    fn give_up(&self, since: Duration, most: usize) -> usize;
}

/// That somebody is known to keep something, until it is dropped.
pub struct Known(u64);

/// Nothing is left here to make connections with: open files (of this process, or of the machine), or memory. It says
/// nothing of who was to be asked.
pub fn is_scarcity(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// From now on what is kept there is given up where it is needed more.
pub fn know(keeper: Weak<dyn Keeps>) -> Known {
    let (number, listens) = KEPT.with_borrow_mut(|kept| {
        let number = kept.next;
        kept.next += 1;
        kept.keepers.insert(number, keeper);
        (number, mem::replace(&mut kept.listens, true))
    });
    if !listens {
        listen();
    }
    Known(number)
}

impl Drop for Known {
    fn drop(&mut self) {
        // A thread that ends has forgotten it.
        let _ended = KEPT.try_with(|kept| kept.borrow_mut().keepers.remove(&self.0));
    }
}

/// Closes some of this worker's idle connections, those that were used least lately. Says how many; a connection of HTTP/2
/// ends with the next turn.
pub fn give_up() -> usize {
    let keepers: Vec<Rc<dyn Keeps>> =
        KEPT.with_borrow(|kept| kept.keepers.values().filter_map(Weak::upgrade).collect());
    let mut all = Vec::new();
    for keeper in &keepers {
        keeper.idle_since(&mut all);
    }
    if all.is_empty() {
        return 0;
    }
    let last = (all.len() / PART).min(MOST - 1);
    let (_, &mut since, _) = all.select_nth_unstable(last);
    let mut left = last + 1;
    for keeper in &keepers {
        left -= keeper.give_up(since, left);
        if left == 0 {
            break;
        }
    }
    last + 1 - left
}

/// What `open` opens. Where there is nothing to open it with, idle connections make room.
///
/// # Errors
/// What `open` says, and nobody made room.
pub async fn making_room<T, F: Future<Output = io::Result<T>>>(open: impl Fn() -> F) -> io::Result<T> {
    trying(open, make_room).await
}

/// Gives up some idle connections, here or on other workers. Says whether there are any.
pub async fn make_room() -> bool {
    if give_up() > 0 {
        yield_now().await;
        return true;
    }
    let (answer, mut answers) = mpsc::unbounded_channel();
    workers().retain(|worker| worker.send(answer.clone()).is_ok());
    drop(answer);
    matches!(timeout(PATIENCE, answers.recv()).await, Ok(Some(())))
}

async fn trying<T, F: Future<Output = io::Result<T>>>(
    open: impl Fn() -> F,
    make_room: impl AsyncFn() -> bool,
) -> io::Result<T> {
    let mut tried = 0;
    loop {
        let opened = open().await;
        tried += 1;
        let is_scarce = matches!(&opened, Err(error) if is_scarcity(error));
        // In a box: who opens something seldom needs its memory.
        if !is_scarce || tried == TRIES || !Box::pin(make_room()).await {
            return opened;
        }
    }
}

/// This worker makes room for others, too.
fn listen() {
    let (worker, mut asked) = mpsc::unbounded_channel();
    workers().push(worker);
    let listening = Listening;
    actix_rt::spawn(async move {
        let _until_the_end = listening;
        let mut answers = Vec::new();
        while asked.recv_many(&mut answers, TOGETHER).await > 0 {
            if give_up() > 0 {
                yield_now().await;
                for answer in &answers {
                    // Who has waited for too long is not there any more.
                    let _gone = answer.send(());
                }
            }
            answers.clear();
        }
    });
}

/// A worker whose runtime ends does not listen any more; on the same thread there may be another.
struct Listening;

impl Drop for Listening {
    fn drop(&mut self) {
        let _ended = KEPT.try_with(|kept| kept.borrow_mut().listens = false);
    }
}

fn workers() -> MutexGuard<'static, Vec<mpsc::UnboundedSender<Answer>>> {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Idle since so many seconds.
    struct Idle(RefCell<Vec<u64>>);

    impl Idle {
        fn known(idle_since: impl IntoIterator<Item = u64>) -> (Rc<Self>, Known) {
            let keeper = Rc::new(Self(RefCell::new(idle_since.into_iter().collect())));
            let known: Rc<dyn Keeps> = keeper.clone();
            let known = know(Rc::downgrade(&known));
            (keeper, known)
        }
    }

    impl Keeps for Idle {
        fn idle_since(&self, all: &mut Vec<Duration>) {
            all.extend(self.0.borrow().iter().copied().map(Duration::from_secs));
        }

        fn give_up(&self, since: Duration, most: usize) -> usize {
            let mut kept = self.0.borrow_mut();
            let before = kept.len();
            kept.retain(|since_when| Duration::from_secs(*since_when) > since);
            assert!(before - kept.len() <= most);
            before - kept.len()
        }
    }

    #[actix_rt::test]
    async fn those_that_are_idle_longest_go_whoever_keeps_them() {
        let ((one, _one), (other, _other)) = (Idle::known(10..18), Idle::known(2..10));

        let given_up = give_up();

        assert_eq!(given_up, 3);
        assert_eq!((one.0.borrow().len(), other.0.borrow().as_slice()), (8, &[5, 6, 7, 8, 9][..]));
    }

    #[actix_rt::test]
    async fn where_nothing_is_kept_nothing_is_given_up() {
        let (gone, _known) = Idle::known(0..9);
        drop(gone);
        let (_keeper, forgotten) = Idle::known(0..9);
        drop(forgotten);

        assert_eq!(give_up(), 0);
    }

    #[actix_rt::test]
    async fn others_are_not_kept_waiting_until_all_that_could_go_is_closed() {
        let _kept = Idle::known(0..20_000);

        assert_eq!(give_up(), MOST);
    }

    #[actix_rt::test]
    async fn what_others_take_each_time_is_not_tried_for_ever() {
        let tried = Cell::new(0);
        let scarce = || {
            tried.set(tried.get() + 1);
            async { Err::<(), _>(io::Error::from(Errno::NFILE)) }
        };

        assert!(trying(scarce, async || true).await.is_err());

        assert_eq!(tried.get(), TRIES);
    }

    #[actix_rt::test]
    async fn what_is_opened_is_tried_until_there_is_nothing_left_to_give_up() {
        let (keeper, _known) = Idle::known(0..9);
        let tried = Cell::new(0);
        let scarce = || {
            tried.set(tried.get() + 1);
            async { Err::<(), _>(io::Error::from(Errno::MFILE)) }
        };

        let opened = trying(scarce, async || give_up() > 0).await;

        assert!(opened.is_err_and(|error| is_scarcity(&error)));
        assert!(keeper.0.borrow().is_empty());
        // Two of nine, one of each seven that are left.
        assert_eq!(tried.get(), 9);
    }
}
