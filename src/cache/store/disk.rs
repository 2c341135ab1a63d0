//! Answers on disk: a file for each, under a name that is a keyed hash of what is stored in it, written to the side and renamed. Nothing is
//! believed of a file that its sums do not confirm, so none has to be synced: what a crash has torn is found out when it is read, and is a miss.
//!
//! ```text
//! find   the index knows what there is (before the folder is looked through: its names do) --> a file is read away from the worker
//! put    a place in what waits --> the one thread that writes --> the index, which tells what has to go
//! forget the books, at once --> the thread removes the files
//! purge  all files, whether they are known or not
//! ```

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, SystemTime},
};

use futures_util::future::LocalBoxFuture;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

pub use self::tenancy::Tenancy;
use self::{
    folder::Folder,
    ledger::{Forgotten, Ticket},
    pen::DiskPen,
    state::State,
    tenancy::Seat,
    writer::Job,
};
use super::lower::{Lower, Pen, Told, Usage, may_leave_memory};
use crate::{
    cache::{entry::Entry, key::Key, purge::What},
    http::HeaderMap,
};

mod body;
mod draft;
mod find;
mod folder;
mod format;
mod index;
mod ledger;
mod name;
mod pen;
mod scan;
mod state;
mod stored;
mod tenancy;
mod walk;
mod writer;

/// A folder of answers. It is opened when it is first asked for something, and meanwhile it has nothing.
pub struct Disk {
    state: Arc<State>,
    jobs: Sender<Job>,
    seat: Arc<Seat>,
    tenancy: Arc<Tenancy>,
}

/// What is not found by then is not waited for.
const LONGEST: Duration = Duration::from_millis(250);

/// A purge waits no longer for what is being written.
const LONGEST_WRITE: Duration = Duration::from_secs(5);

impl Disk {
    /// Of so many bytes in this folder, which is made where it is missing. All stores of this process that are in one folder, one after the
    /// other, have one tenancy.
    pub fn new(path: PathBuf, size: u64, tenancy: Arc<Tenancy>) -> Self {
        let (jobs, heard) = mpsc::channel();
        Self { state: Arc::new(State::new(path, size)), jobs, seat: Arc::new(Seat::new(heard)), tenancy }
    }

    /// Takes the folder when it is first wanted. Who was told to leave it since does not take it back for what comes late.
    fn begin_once(&self) {
        if self.seat.is_new() {
            self.wake();
        }
    }

    /// An answer is not kept: none that is older is to be found in its place.
    fn leave_out(&self, key: &Key, fits: bool) {
        if fits {
            self.state.dropped();
        }
        let is_there = |folder: Arc<Folder>| self.state.index.of(folder.naming.target(key.target())).is_some();
        let is_awaited = self.state.ledger().awaits(key.target());
        if is_awaited || !self.state.is_scanned() || self.state.folder().is_some_and(is_there) {
            self.forget(key.target());
        }
    }

    /// Nothing is written now.
    fn is_idle(&self) -> bool {
        self.state.is_paused() || self.seat.is_away()
    }

    /// A body that is in its file already gets another head, as after a 304. Where there is no room for the copy, nothing is lost.
    fn copy(&self, key: &Key, entry: &Arc<Entry>) {
        let Ok(place) = Arc::clone(&self.state.coming).try_acquire_owned() else { return self.state.dropped() };
        let ticket = self.state.ledger().copy(key, entry);
        if let Some(ticket) = ticket {
            self.give(&ticket, Job::Whole(Arc::clone(&ticket), place));
        }
    }

    /// Waits until all is done that waits now, but not for longer than this.
    fn pass(&self, longest: Duration) {
        let (passed, pass) = mpsc::sync_channel(1);
        if !self.seat.is_away() && self.jobs.send(Job::Pass(passed)).is_ok() {
            let _nothing_hangs_on_it = pass.recv_timeout(longest);
        }
    }

    fn give(&self, ticket: &Arc<Ticket>, job: Job) {
        if self.jobs.send(job).is_err() {
            self.state.ledger().is_over(ticket);
        }
    }
}

impl Lower for Disk {
    fn kind(&self) -> &'static str {
        "disk"
    }

    fn wake(&self) {
        let Some(jobs) = self.tenancy.take_over(&self.seat, &self.jobs) else { return };
        let (state, seat) = (Arc::clone(&self.state), Arc::clone(&self.seat));
        // It ends when nobody has anything to give to it any more, and what is there can give.
        let tenancy = Arc::downgrade(&self.tenancy);
        let write = move || writer::run(&state, jobs, &seat, &tenancy);
        let writing = thread::Builder::new().name("cache-disk".into()).spawn(write);
        if let Err(error) = writing {
            self.state.failed("no thread to write", error);
            self.state.tried();
        }
    }

    fn find<'l>(&'l self, key: &'l Key, headers: &'l HeaderMap) -> LocalBoxFuture<'l, Option<Entry>> {
        Box::pin(async move {
            self.begin_once();
            let end = Instant::now() + LONGEST;
            let folder = timeout_at(end, self.state.opened()).await.ok().flatten()?;
            let names = self.state.known(&folder, key);
            if names.as_ref().is_some_and(Vec::is_empty) {
                return None;
            }
            let Ok(turn) = Arc::clone(&self.state.looking).try_acquire_owned() else {
                self.state.dropped();
                return None;
            };
            let (state, key, headers) = (Arc::clone(&self.state), key.clone(), headers.clone());
            let looking = spawn_blocking(move || {
                let _turn = turn;
                state.look(&folder, &key, &headers, names)
            });
            match timeout_at(end, looking).await {
                Ok(found) => found.ok().flatten(),
                Err(_) => {
                    self.state.failed("it is not waited for any longer", "it takes too long");
                    None
                }
            }
        })
    }

    fn put(&self, key: &Key, entry: &Arc<Entry>) {
        self.begin_once();
        let fits = entry.content.is_plain() && entry.content.length().is_some_and(|length| length <= self.largest());
        let fits = fits && may_leave_memory(key, entry);
        let may_be_kept = fits && !self.is_idle();
        if may_be_kept && !entry.content.is_in_memory() {
            return self.copy(key, entry);
        }
        let place = if may_be_kept { self.state.room(entry.weight()) } else { None };
        let Some(place) = place else { return self.leave_out(key, fits) };
        let ticket = self.state.ledger().ticket(key, entry);
        match ticket {
            Some(ticket) => self.give(&ticket, Job::Whole(Arc::clone(&ticket), place)),
            None => self.forget(key.target()),
        }
    }

    fn largest(&self) -> u64 {
        State::largest(self.state.size)
    }

    fn begin(&self, key: &Key, entry: &Arc<Entry>) -> Option<Box<dyn Pen>> {
        self.begin_once();
        let fits = entry.content.length().is_none_or(|length| length <= self.largest()) && may_leave_memory(key, entry);
        let ticket = if fits && !self.is_idle() { self.state.ledger().ticket(key, entry) } else { None };
        match ticket.and_then(|ticket| DiskPen::begin(&self.state, &self.jobs, ticket)) {
            Some(pen) => Some(Box::new(pen)),
            None => {
                self.leave_out(key, fits);
                None
            }
        }
    }

    fn forget(&self, target: &[u8]) {
        self.begin_once();
        let mut books = self.state.ledger();
        match self.state.folder() {
            Some(folder) => {
                drop(books);
                match self.state.forget_target(&folder, target) {
                    Forgotten::First => drop(self.jobs.send(Job::Sweep)),
                    Forgotten::Beside => {}
                    Forgotten::TooMany => self.forget_all(),
                }
            }
            None => {
                let what = What::Url(vec![target.to_vec().into()]);
                if !self.tenancy.tell(&self.seat, &what) {
                    books.later(what);
                }
            }
        }
    }

    fn forget_all(&self) {
        self.begin_once();
        if self.seat.is_away() && self.tenancy.tell(&self.seat, &What::Everything) {
            return;
        }
        self.state.forget_all();
        let _it_ends_with_the_store = self.jobs.send(Job::Sweep);
    }

    fn purge(&self, what: &What, soft: Option<SystemTime>) -> u64 {
        self.begin_once();
        let (walk, folder) = {
            let mut books = self.state.ledger();
            let (walk, folder) = (books.begin_walk(what), self.state.folder());
            if folder.is_none() {
                books.later(what.clone());
            }
            (walk, folder)
        };
        let folder = folder.or_else(|| Folder::look(&self.state.path).map(Arc::new));
        let count = folder.map_or(0, |folder| self.state.purge_in(&folder, what, soft));
        // What was about to be written when this began is written and gone, or not written, when it ends.
        self.pass(LONGEST_WRITE);
        self.state.ledger().end_walk(walk);
        count
    }

    fn flush(&self, longest: Duration) {
        // Nobody listens to who was never wanted.
        if !self.seat.is_new() {
            self.pass(longest);
        }
    }

    fn told(&self, target: &[u8]) -> Vec<Told> {
        self.wake();
        // What is about to be opened can be looked into.
        let unopened = || Folder::look(&self.state.path).filter(|_| !self.state.has_tried()).map(Arc::new);
        let folder = self.state.folder().or_else(unopened).or_else(|| self.state.folder());
        folder.map(|folder| self.state.told(&folder, target)).unwrap_or_default()
    }

    fn usage(&self) -> Usage {
        self.state.usage()
    }
}

#[cfg(test)]
mod tests;
