//! What the parts of a store on disk share.

use std::{
    collections::HashSet,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{folder::Folder, index::Index, ledger::Ledger, name::Name};
use crate::cache::{entry::moment, store::lower::Usage};

/// A store on disk, as its parts see it.
pub struct State {
    /// Its folder.
    pub path: PathBuf,
    /// How much it may take.
    pub size: u64,
    /// What is there, as far as it is known.
    pub index: Index,
    /// All that is there is known.
    pub is_scanned: AtomicBool,
    /// Tells what this process has written, since it has the folder, from what another one has.
    process: AtomicU64,
    /// How many look for something at once.
    pub looking: Arc<Semaphore>,
    /// How many read a body at once.
    pub reading: Arc<Semaphore>,
    /// How many files are open to be read as they are asked for.
    pub open: Arc<Semaphore>,
    /// How much waits to be written, in KiB.
    pub waiting: Arc<Semaphore>,
    /// How many are written while they come.
    pub coming: Arc<Semaphore>,
    /// What happened.
    pub counts: Counts,
    ledger: Mutex<Ledger>,
    folder: RwLock<Option<Arc<Folder>>>,
    /// It was tried to open it.
    tried: watch::Sender<bool>,
    /// Nothing is written before this moment.
    paused: AtomicU64,
    /// When something was said last of what fails.
    said: AtomicU64,
}

/// What happened.
#[derive(Default)]
pub struct Counts {
    pub found: AtomicU64,
    pub stored: AtomicU64,
    pub dropped: AtomicU64,
    pub errors: AtomicU64,
}

/// So many look for something at once; who comes then finds nothing.
const MOST_LOOKING: usize = 32;
const MOST_READING: usize = 32;
const MOST_OPEN: usize = 256;
/// 64 MiB.
const MOST_WAITING: usize = 64 * 1024;
const MOST_COMING: usize = 16;

/// So long nothing is written after it has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// What fails is said once in so long.
const SILENCE: Duration = Duration::from_secs(60);

/// This part of its size is for what is on its way.
const ON_ITS_WAY: u64 = 16;

impl State {
    /// Of a store of this size in this folder, that nobody has opened yet.
    pub fn new(path: PathBuf, size: u64) -> Self {
        let permits = |count| Arc::new(Semaphore::new(count));
        Self {
            index: Index::new(size - size / ON_ITS_WAY),
            is_scanned: AtomicBool::new(false),
            process: AtomicU64::new(process()),
            looking: permits(MOST_LOOKING),
            reading: permits(MOST_READING),
            open: permits(MOST_OPEN),
            waiting: permits(MOST_WAITING),
            coming: permits(MOST_COMING),
            counts: Counts::default(),
            ledger: Mutex::default(),
            folder: RwLock::default(),
            tried: watch::Sender::new(false),
            paused: AtomicU64::new(0),
            said: AtomicU64::new(0),
            path,
            size,
        }
    }

    /// No file of a store of this size is larger.
    pub fn largest(size: u64) -> u64 {
        size / ON_ITS_WAY
    }

    /// The books.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its folder, if it is open.
    pub fn folder(&self) -> Option<Arc<Folder>> {
        self.folder.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is open from now on, or no longer. Who wants to be sure holds the books.
    pub fn set_folder(&self, folder: Option<Arc<Folder>>) {
        *self.folder.write().unwrap_or_else(PoisonError::into_inner) = folder;
    }

    /// See [`Prelude`](super::format::Prelude).
    pub fn process(&self) -> u64 {
        self.process.load(Ordering::Relaxed)
    }

    /// The folder is for somebody else from now on, and nothing of what is known of it will be true. What is still to be removed: see
    /// [`Ledger::leave`].
    pub fn leave(&self) -> (HashSet<u128>, bool) {
        let mut books = self.ledger();
        self.set_folder(None);
        self.is_scanned.store(false, Ordering::Release);
        self.index.clear();
        // What the next one sees invalidated in groups nobody tells here.
        self.process.store(process(), Ordering::Relaxed);
        books.leave()
    }

    /// It has been tried to open the folder: nobody waits for it any more.
    pub fn tried(&self) {
        self.tried.send_replace(true);
    }

    /// It has.
    pub fn has_tried(&self) -> bool {
        *self.tried.borrow()
    }

    /// The folder, waited for while nobody knows yet whether it can be opened.
    pub async fn opened(&self) -> Option<Arc<Folder>> {
        if !self.has_tried() {
            self.tried.subscribe().wait_for(|tried| *tried).await.ok()?;
        }
        self.folder()
    }

    /// It is known what there is.
    pub fn is_scanned(&self) -> bool {
        self.is_scanned.load(Ordering::Acquire)
    }

    /// Room for so many bytes that wait to be written, if there is.
    pub fn room(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_many_owned(kib(bytes)).ok()
    }

    /// It is not there any more.
    pub fn lost(&self, name: &Name) {
        let _books = self.ledger();
        self.index.remove(name);
    }

    /// Nothing that is there counts any more, and all of it is to be removed.
    pub fn forget_all(&self) {
        let mut books = self.ledger();
        books.forget_all();
        self.is_scanned.store(false, Ordering::Release);
        self.index.clear();
    }

    /// Something has failed: it is counted, and said if nothing was for a while.
    pub fn failed(&self, what: impl fmt::Display, why: impl fmt::Display) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        let (now, before) = (nanoseconds(moment()), self.said.load(Ordering::Relaxed));
        let is_due = before == 0 || now > before.saturating_add(nanoseconds(SILENCE));
        if is_due && self.said.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            log::warn!("the cache in {}: {what}: {why}; requests go on without it", self.path.display());
        } else {
            log::debug!("the cache in {}: {what}: {why}", self.path.display());
        }
    }

    /// For a while nothing is written: it has just failed.
    pub fn pause(&self) {
        self.paused.store(nanoseconds(moment() + PAUSE), Ordering::Relaxed);
    }

    /// It is not the time to write.
    pub fn is_paused(&self) -> bool {
        let until = self.paused.load(Ordering::Relaxed);
        until > 0 && nanoseconds(moment()) < until
    }

    /// Something was to be written, and is not: nobody had the time.
    pub fn dropped(&self) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// What is in it, and what happened.
    pub fn usage(&self) -> Usage {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Usage {
            size: Some(self.size),
            bytes: Some(self.index.bytes()),
            targets: Some(self.index.targets()),
            found: count(&self.counts.found),
            stored: count(&self.counts.stored),
            dropped: count(&self.counts.dropped),
            errors: count(&self.counts.errors),
        }
    }
}

/// What so many bytes take of what may wait: something, and never more than half of it.
pub fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(MOST_WAITING as u32 / 2)
}

fn process() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness there are no names either, and nothing is kept.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A moment as a number.
pub fn nanoseconds(moment: Duration) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}
