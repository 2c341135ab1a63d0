//! What waits for the writer, and how it hears of it.

use std::{
    mem,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::Pace;

/// What those who have lines and the writer have in common.
#[derive(Debug)]
pub(super) struct Shared {
    waiting: Mutex<Waiting>,
    pace: Pace,
    /// So many bytes may wait.
    room: usize,
    /// Tells the writer.
    for_writer: Condvar,
    /// Tells who waits for it.
    from_writer: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// How often somebody has asked for all to be written, and how many of them have it.
    asked: u64,
    answered: u64,
    /// The writer sleeps until it is told of something.
    rests: bool,
    /// Nobody is left who could have a line.
    closed: bool,
}

/// What is written in one go.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    /// The output is opened again behind so many bytes, and lines.
    pub(super) reopen: Option<(usize, u64)>,
}

impl Batch {
    /// Keeps its memory for the next.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.lines, self.reopen) = (0, None);
    }
}

impl Waiting {
    /// It must not wait for more.
    fn is_urgent(&self) -> bool {
        self.closed || self.asked > self.answered || self.batch.reopen.is_some()
    }
}

impl Shared {
    pub(super) fn new(pace: Pace, room: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            pace,
            room,
            for_writer: Condvar::new(),
            from_writer: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        let before = waiting.batch.bytes.len();
        let after = before + line.len();
        if after > self.room {
            drop(waiting);
            return self.drop_lines(1);
        }
        waiting.batch.bytes.extend_from_slice(line);
        waiting.batch.lines += 1;
        let filled = before < self.pace.batch && after >= self.pace.batch;
        let wake = mem::take(&mut waiting.rests) || filled;
        drop(waiting);
        if wake {
            self.for_writer.notify_one();
        }
    }

    pub(super) fn reopen(&self) {
        let mut waiting = self.waiting();
        let here = (waiting.batch.bytes.len(), waiting.batch.lines);
        // To open it once is enough for two who ask before it is done: both have moved the file by then.
        waiting.batch.reopen.get_or_insert(here);
        self.wake(waiting);
    }

    pub(super) fn flush(&self, until: Instant) {
        let mut waiting = self.waiting();
        waiting.asked += 1;
        let ours = waiting.asked;
        self.wake(waiting);
        let mut waiting = self.waiting();
        while waiting.answered < ours {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting = self.from_writer.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        self.wake(waiting);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.rests = false;
        drop(waiting);
        self.for_writer.notify_one();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn drop_lines(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// The writer's: lets lines gather, as after it has written some.
    pub(super) fn gather(&self) {
        let too_few = |waiting: &mut Waiting| waiting.batch.bytes.len() < self.pace.batch && !waiting.is_urgent();
        drop(self.for_writer.wait_timeout_while(self.waiting(), self.pace.pause, too_few));
    }

    /// The writer's: waits until there is something to do, and takes it for this empty batch, which it fills next. Who has
    /// asked by then is to be answered. `None` if there will be nothing any more.
    pub(super) fn take(&self, mut empty: Batch) -> Option<(Batch, u64)> {
        let mut waiting = self.waiting();
        if waiting.batch.bytes.is_empty() && !waiting.is_urgent() {
            // What was needed in a busy hour is given back.
            waiting.batch.bytes.shrink_to(self.pace.batch);
            empty.bytes.shrink_to(self.pace.batch);
            waiting.rests = true;
            let nothing = |waiting: &mut Waiting| waiting.rests;
            waiting = self.for_writer.wait_while(waiting, nothing).unwrap_or_else(PoisonError::into_inner);
        }
        let has_work =
            !waiting.batch.bytes.is_empty() || waiting.batch.reopen.is_some() || waiting.asked > waiting.answered;
        has_work.then(|| (mem::replace(&mut waiting.batch, empty), waiting.asked))
    }

    /// The writer's: all is written for who has asked by then.
    pub(super) fn answer(&self, asked: u64) {
        let mut waiting = self.waiting();
        if waiting.answered < asked {
            waiting.answered = asked;
            drop(waiting);
            self.from_writer.notify_all();
        }
    }
}
