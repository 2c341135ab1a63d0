//! Idle connections to endpoints, given up where nothing is left to make another with.
//!
//! A process may have so many files open, and connections that are kept for the next request are some of them: with more
//! endpoints than that all would be kept, and none could be made. Whoever needs one now gets it, and those that were idle
//! longest go.

use std::{
    cell::RefCell,
    io,
    rc::{Rc, Weak},
    time::Duration,
};

use rustix::io::Errno;

/// One of so many goes at a time: to find the oldest takes a look at all.
const PART: usize = 8;

thread_local! {
    static KEPT: RefCell<Vec<Weak<dyn Keeps>>> = const { RefCell::new(Vec::new()) };
}

/// Who keeps connections of this worker that nobody uses now.
pub trait Keeps {
    /// Since when each is idle, by the coarse clock.
    fn idle_since(&self, all: &mut Vec<Duration>);

    /// Closes those that are idle since then or longer, but no more than so many. Says how many.
    fn give_up(&self, since: Duration, most: usize) -> usize;
}

/// Nothing is left here to make connections with: open files (of this process, or of the machine), or memory. It says
/// nothing of who was to be asked.
pub fn is_scarcity(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// From now on this worker gives up what is kept there.
pub fn know(keeper: Weak<dyn Keeps>) {
    KEPT.with_borrow_mut(|kept| {
        kept.retain(|known| known.strong_count() > 0);
        kept.push(keeper);
    });
}

/// Closes some of this worker's idle connections, those that were used least lately. Says how many; a connection of HTTP/2
/// ends with the next turn.
pub fn give_up() -> usize {
    let keepers: Vec<Rc<dyn Keeps>> = KEPT.with_borrow(|kept| kept.iter().filter_map(Weak::upgrade).collect());
    let mut all = Vec::new();
    for keeper in &keepers {
        keeper.idle_since(&mut all);
    }
    if all.is_empty() {
        return 0;
    }
    let last = all.len() / PART;
    let (_, &mut since, _) = all.select_nth_unstable(last);
    let mut left = last + 1;
    for keeper in &keepers {
        left -= keeper.give_up(since, left);
    }
    last + 1 - left
}

/// What `open` opens. Where there is nothing to open it with, idle connections make room.
///
/// # Errors
/// What `open` says, and nobody made room.
pub async fn making_room<T, F: Future<Output = io::Result<T>>>(open: impl Fn() -> F) -> io::Result<T> {
    loop {
        match open().await {
            Err(error) if is_scarcity(&error) && give_up() > 0 => tokio::task::yield_now().await,
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Idle since so many seconds.
    struct Idle(RefCell<Vec<u64>>);

    impl Idle {
        fn known(idle_since: impl IntoIterator<Item = u64>) -> Rc<Self> {
            let keeper = Rc::new(Self(RefCell::new(idle_since.into_iter().collect())));
            let known: Rc<dyn Keeps> = keeper.clone();
            know(Rc::downgrade(&known));
            keeper
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

    #[test]
    fn those_that_are_idle_longest_go_whoever_keeps_them() {
        let (one, other) = (Idle::known(10..18), Idle::known(2..10));

        let given_up = give_up();

        assert_eq!(given_up, 3);
        assert_eq!((one.0.borrow().len(), other.0.borrow().as_slice()), (8, &[5, 6, 7, 8, 9][..]));
    }

    #[test]
    fn where_nothing_is_kept_nothing_is_given_up() {
        drop(Idle::known(0..9));

        assert_eq!(give_up(), 0);
    }

    #[actix_rt::test]
    async fn what_is_opened_is_tried_until_there_is_nothing_left_to_give_up() {
        let keeper = Idle::known(0..9);
        let tried = Cell::new(0);
        let scarce = || {
            tried.set(tried.get() + 1);
            async { Err::<(), _>(io::Error::from(Errno::MFILE)) }
        };

        let opened = making_room(scarce).await;

        assert!(opened.is_err_and(|error| is_scarcity(&error)));
        assert!(keeper.0.borrow().is_empty());
        // Two of nine, one of each seven that are left.
        assert_eq!(tried.get(), 9);
    }
}
