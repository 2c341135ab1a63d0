//! The one thread that writes: it opens the folder, looks through it, writes what is to be kept, and removes what is not. Nobody waits
//! for it.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Weak,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    draft::Draft,
    folder::Folder,
    format::{self, Prelude},
    ledger::Ticket,
    scan::{Scan, Step},
    state::{State, nanoseconds},
    tenancy::{Seat, Tenancy},
};
use crate::cache::purge::What;

/// What is to be done.
pub enum Job {
    /// Writes an answer that is whole.
    Whole(Arc<Ticket>, OwnedSemaphorePermit),
    /// Begins to write one that comes.
    Begin(Arc<Ticket>, OwnedSemaphorePermit),
    /// More of that one.
    More(Arc<Ticket>, Bytes, OwnedSemaphorePermit),
    /// That was all of it. Whether it is kept is told.
    End(Arc<Ticket>, oneshot::Sender<bool>),
    /// It will not be whole.
    Leave(Arc<Ticket>),
    /// There is rubbish.
    Sweep,
    /// A store that had the folder before has heard that this is to go.
    Forget(What),
    /// Tells when this is reached.
    Pass(SyncSender<()>),
    /// The folder is for somebody else.
    Close,
}

/// One that comes, and its place among those.
type Coming = HashMap<u64, (Draft, OwnedSemaphorePermit)>;

/// What is heard while the folder is waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the disk does not tell or remove is tried again after so long.
const AGAIN: Duration = Duration::from_millis(500);

/// Where there is always something to write, the folder is looked through in such steps.
const BETWEEN_STEPS: Duration = Duration::from_millis(10);

/// Until nobody gives it anything to do any more, or the folder is for somebody else.
pub fn run(state: &Arc<State>, jobs: Receiver<Job>, seat: &Arc<Seat>, tenancy: &Weak<Tenancy>) {
    let mut heard = Some(jobs);
    // Who has the folder next removes it. What is told are URLs, and of what is left there are hashes of those: so it is everything.
    let pass_on = || {
        if !tenancy.upgrade().is_some_and(|tenancy| tenancy.tell(seat, &What::Everything)) {
            state.ledger().later(What::Everything);
        }
    };
    while let Some(jobs) = heard.take() {
        if let End::Closed = stay(state, &jobs, &pass_on) {
            let told = 1 + leave_all(state, &jobs);
            heard = seat.leave(jobs, told);
        }
    }
}

fn stay(state: &Arc<State>, jobs: &Receiver<Job>, pass_on: &dyn Fn()) -> End {
    loop {
        let folder = match open(state, jobs) {
            Ok(folder) => folder,
            Err(end) => return end,
        };
        let end = Writing { state, folder: &folder, coming: HashMap::new(), not_before: None }.serve(jobs);
        if let Some(end) = end {
            if !clear_out(state, &folder) {
                pass_on();
            }
            return end;
        }
        state.set_folder(None);
        state.failed("the folder is gone", "it is made anew");
        state.forget_all();
    }
}

/// Removes what is still to be removed. Is that all?
fn clear_out(state: &State, folder: &Folder) -> bool {
    let (rubbish, is_all) = state.leave();
    let mut is_told = true;
    for target in rubbish {
        match folder.of_target(target) {
            Ok(names) => names.iter().for_each(|name| {
                state.remove(folder, name);
            }),
            Err(error) => {
                state.failed("what is to go cannot be looked for", error);
                is_told = false;
            }
        }
    }
    if is_all {
        state.purge_in(folder, &What::Everything, None);
    }
    let (left, is_more) = state.ledger().leave();
    is_told && left.is_empty() && !is_more
}

/// What nobody will do here. How often was it told to leave among that?
fn leave_all(state: &State, jobs: &Receiver<Job>) -> u32 {
    let mut told = 0;
    while let Ok(job) = jobs.try_recv() {
        told += u32::from(matches!(job, Job::Close));
        leave(state, job);
    }
    told
}

/// How it ends.
enum End {
    /// The folder is for somebody else.
    Closed,
    /// Nobody gives it anything to do any more.
    Over,
}

/// Waits for the folder: another process may have it, such as the one whose place this one has taken.
fn open(state: &Arc<State>, jobs: &Receiver<Job>) -> Result<Arc<Folder>, End> {
    let mut said = None;
    loop {
        let problem = match Folder::open(&state.path) {
            Ok(Some(folder)) => {
                let folder = begin(state, folder);
                state.tried();
                return Ok(folder);
            }
            Ok(None) => None,
            Err(error) => Some(error),
        };
        state.tried();
        let kind = problem.as_ref().map(io::Error::kind);
        if said != Some(kind) {
            match &problem {
                Some(error) => state.failed("the folder cannot be used", error),
                None => log::info!("the cache in {} waits for another process to leave it", state.path.display()),
            }
            said = Some(kind);
        }
        let end = Instant::now() + PATIENCE;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match jobs.recv_timeout(left) {
                Ok(Job::Close) => return Err(End::Closed),
                Err(RecvTimeoutError::Disconnected) => return Err(End::Over),
                Ok(job) => leave(state, job),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
    }
}

/// What was to go before the folder was ours goes first.
fn begin(state: &Arc<State>, folder: Folder) -> Arc<Folder> {
    let folder = Arc::new(folder);
    loop {
        let before = {
            let mut books = state.ledger();
            let before = books.take_before();
            if before.is_empty() {
                state.set_folder(Some(Arc::clone(&folder)));
                return folder;
            }
            before
        };
        for what in &before {
            state.purge_in(&folder, what, None);
        }
    }
}

/// Nobody can do it now.
fn leave(state: &State, job: Job) {
    match job {
        Job::Whole(ticket, _) | Job::Begin(ticket, _) => {
            let mut books = state.ledger();
            books.is_over(&ticket);
            // None that is older is to be found in its place.
            books.later(What::Url(vec![ticket.key.target().to_vec().into()]));
            drop(books);
            state.dropped();
        }
        Job::Pass(told) => {
            let _nobody_may_wait = told.try_send(());
        }
        Job::Forget(what) => state.ledger().later(what),
        Job::More(..) | Job::End(..) | Job::Leave(_) | Job::Sweep | Job::Close => {}
    }
}

struct Writing<'w> {
    state: &'w Arc<State>,
    folder: &'w Folder,
    coming: Coming,
    /// Rubbish could not be removed, and is left alone until then.
    not_before: Option<Instant>,
}

impl Writing<'_> {
    /// How does it end? Otherwise the folder is gone.
    fn serve(&mut self, jobs: &Receiver<Job>) -> Option<End> {
        let (mut step, mut stepped) = (Step::More(Scan::of(self.folder)), Instant::now());
        loop {
            let job = match next(jobs, self.patience(&step)) {
                Ok(Some(Job::Close)) => return Some(End::Closed),
                Err(end) => return Some(end),
                Ok(job) => job,
            };
            let is_idle = job.is_none();
            if let Some(Err(error)) = job.map(|job| self.work(job)) {
                if !self.folder.is_there() {
                    return None;
                }
                self.state.pause();
                self.state.failed("an answer cannot be kept", error);
            }
            self.sweep();
            if self.state.ledger().looks_again() {
                step = Step::More(Scan::of(self.folder));
            }
            // What is to be written goes before it, but does not keep it from coming to an end.
            if is_idle || stepped.elapsed() > BETWEEN_STEPS {
                step = match step {
                    Step::More(scan) | Step::Later(scan) => scan.step(self.state, self.folder),
                    Step::Done => Step::Done,
                };
                stepped = Instant::now();
            }
        }
    }

    /// How long it waits for something to do, where it does not for ever.
    fn patience(&self, step: &Step) -> Option<Duration> {
        match step {
            Step::More(_) => Some(Duration::ZERO),
            Step::Later(_) => Some(AGAIN),
            Step::Done => self.state.ledger().has_rubbish().then_some(AGAIN),
        }
    }

    fn work(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Whole(ticket, _place) => {
                let written = self.whole(&ticket);
                self.is_over(&ticket, written)
            }
            Job::Begin(ticket, place) => {
                let draft = self.draft(&ticket);
                match draft {
                    Ok(draft) => {
                        self.coming.insert(ticket.number, (draft, place));
                        Ok(())
                    }
                    Err(error) => self.is_over(&ticket, Err(error)),
                }
            }
            Job::More(ticket, bytes, _place) => self.more(&ticket, &bytes),
            Job::End(ticket, told) => {
                let settled = match self.coming.remove(&ticket.number) {
                    Some((draft, _place)) => self.settle(draft, &ticket),
                    None => Ok(false),
                };
                let _nobody_may_want_to_know = told.send(matches!(settled, Ok(true)));
                self.is_over(&ticket, settled)
            }
            Job::Leave(ticket) => {
                self.coming.remove(&ticket.number);
                self.state.ledger().is_over(&ticket);
                Ok(())
            }
            Job::Forget(what) => {
                self.state.forget_meant(self.folder, &what);
                Ok(())
            }
            Job::Sweep | Job::Close => Ok(()),
            Job::Pass(told) => {
                let _nobody_may_wait = told.try_send(());
                Ok(())
            }
        }
    }

    /// It is written, or could not be: then none that is older is to be found in its place.
    fn is_over(&self, ticket: &Ticket, written: io::Result<bool>) -> io::Result<()> {
        self.state.ledger().is_over(ticket);
        if written.is_err() {
            self.state.remove(self.folder, &self.folder.naming.of(&ticket.key, &ticket.entry.head.vary));
        }
        written.map(drop)
    }

    fn whole(&mut self, ticket: &Ticket) -> io::Result<bool> {
        if ticket.is_void() {
            return Ok(false);
        }
        let mut draft = self.draft(ticket)?;
        let written = ticket.entry.content.each(&mut |bytes| {
            if ticket.is_void() {
                return Err(io::Error::other("it is not to be kept any more"));
            }
            // Where it is a long one, what was forgotten does not wait for its end.
            self.sweep();
            draft.push(bytes)
        });
        if ticket.is_void() {
            return Ok(false);
        }
        written?;
        self.settle(draft, ticket)
    }

    fn draft(&self, ticket: &Ticket) -> io::Result<Draft> {
        let about = format::about(&ticket.key, &ticket.entry.head);
        if about.len() as u64 > format::MOST_ABOUT {
            return Err(io::Error::other("its key and its head are too long"));
        }
        let (process, since) = (self.state.process(), nanoseconds(ticket.entry.since));
        let own = format::sum(process, ticket.number, &[]);
        let prelude = Prelude { own, process, since, ..Prelude::default() };
        Draft::begin(self.folder, ticket.number, prelude, about)
    }

    fn more(&mut self, ticket: &Ticket, bytes: &[u8]) -> io::Result<()> {
        let all: u64 = self.coming.values().map(|(draft, _)| draft.length()).sum();
        let Some((draft, _)) = self.coming.get_mut(&ticket.number) else { return Ok(()) };
        // What is on its way has its part of the folder, and no more.
        let has_room = all + bytes.len() as u64 <= State::largest(self.state.size);
        let was_void = ticket.is_void();
        let pushed = if has_room && !was_void { draft.push(bytes).map(|()| true) } else { Ok(false) };
        if !matches!(pushed, Ok(true)) {
            self.coming.remove(&ticket.number);
            // Who brings it need not go on, and none that is older is to be found in its place.
            ticket.void();
            if !was_void {
                self.state.dropped();
            }
            self.state.remove(self.folder, &self.folder.naming.of(&ticket.key, &ticket.entry.head.vary));
        }
        pushed.map(drop)
    }

    /// It can be found from now on, unless it was to go meanwhile. Can it?
    fn settle(&self, draft: Draft, ticket: &Ticket) -> io::Result<bool> {
        let name = self.folder.naming.of(&ticket.key, &ticket.entry.head.vary);
        if ticket.is_void() {
            return Ok(false);
        }
        let length = draft.settle(self.folder, &name)?;
        let gone = {
            // With the books in hand: whoever has it go does so before, and is heeded, or after, and finds it.
            let _books = self.state.ledger();
            if ticket.is_void() { vec![name] } else { self.state.index.insert(&name, length) }
        };
        for name in &gone {
            self.state.remove(self.folder, name);
        }
        let is_kept = !gone.contains(&name);
        if is_kept {
            self.state.counts.stored.fetch_add(1, Ordering::Relaxed);
        }
        Ok(is_kept)
    }

    /// Removes what was forgotten, and nobody has put there since. What cannot be is rubbish again, which is not tried at once.
    fn sweep(&mut self) {
        if self.not_before.is_some_and(|moment| Instant::now() < moment) {
            return;
        }
        let rubbish = self.state.ledger().take_rubbish();
        for target in rubbish {
            match self.folder.of_target(target) {
                Ok(names) => {
                    for name in names.iter().filter(|name| !self.state.index.has(name)) {
                        self.state.remove(self.folder, name);
                    }
                }
                Err(error) => {
                    self.state.failed("what is to go cannot be looked for", error);
                    self.state.ledger().stays(target, self.state.is_scanned());
                }
            }
        }
        self.not_before = self.state.ledger().is_stuck().then(|| Instant::now() + AGAIN);
    }
}

/// What is to be done next, if anything is by then; without a limit it is waited for.
fn next(jobs: &Receiver<Job>, limit: Option<Duration>) -> Result<Option<Job>, End> {
    let Some(limit) = limit else { return jobs.recv().map(Some).map_err(|_| End::Over) };
    match jobs.recv_timeout(limit) {
        Ok(job) => Ok(Some(job)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(End::Over),
    }
}
