//! Lines that a thread of its own writes: who has one to say never waits, and what finds no room is dropped and counted.

use std::{
    fmt, io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use self::writer::{Message, Writer};

mod writer;

/// Where lines end up. All of it is called by the thread that writes.
pub trait Output: Send + 'static {
    /// Writes whole lines, and waits as long as that takes.
    fn write_all(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Writing has begun to fail.
    fn tell_failure(&mut self, error: &io::Error);

    /// So many lines were dropped since this was last told of, and there is room again.
    fn tell_dropped(&mut self, lines: u64);

    /// What is written from now on goes to a new file of the same name.
    fn reopen(&mut self) {}
}

/// Where lines wait. The thread that writes them ends when this is gone and they are written.
pub struct LineQueue {
    queue: SyncSender<Message>,
    signals: Arc<Signals>,
}

/// What those who have lines and the writer tell each other past the queue.
#[derive(Debug, Default)]
struct Signals {
    reopen: AtomicBool,
    dropped: AtomicU64,
    /// Held by who asks for a place in the queue, so that no news of one is missed.
    asking: Mutex<()>,
    room: Condvar,
}

impl Signals {
    fn asking(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that a panic could leave half done.
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the writer has taken something off the queue.
    fn room_made<'a>(&self, asking: MutexGuard<'a, ()>, limit: Duration) -> MutexGuard<'a, ()> {
        self.room.wait_timeout(asking, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The writer has taken something off the queue.
    fn tell_of_room(&self) {
        let _asking = self.asking();
        self.room.notify_all();
    }
}

impl LineQueue {
    /// Starts a thread of this name that writes there; as many lines wait for it.
    ///
    /// # Errors
    /// There can be no such thread.
    pub fn start(name: &str, room: usize, output: impl Output) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel(room);
        let signals = Arc::new(Signals::default());
        let writer = Writer::new(output, Arc::clone(&signals));
        thread::Builder::new().name(name.into()).spawn(move || writer.run(&lines))?;
        Ok(Self { queue, signals })
    }

    /// Queues a line with its end. Never waits: if the queue is full, the line is dropped and counted.
    pub fn write(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.signals.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the output again before anything is written that is queued from now on.
    pub fn reopen(&self) {
        // In its turn, what was queued before goes where it was meant to. A full queue must not hold up who asks: the
        // writer is awake then, and sees the signal before its next line.
        if self.queue.try_send(Message::Reopen).is_err() {
            self.signals.reopen.store(true, Ordering::Release);
            // Between the two it may have written all and gone to sleep; to open twice does no harm.
            let _ = self.queue.try_send(Message::Reopen);
        }
    }

    /// Returns when everything queued before is written, or the limit has passed: the writer may be stuck on a pipe that
    /// nobody reads.
    pub fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let left = || until.saturating_duration_since(Instant::now());
        let (done, wait) = mpsc::sync_channel(1);
        let mut message = Message::Flush(done);
        let mut asking = self.signals.asking();
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if left().is_zero() {
                return;
            }
            message = back;
            asking = self.signals.room_made(asking, left());
        }
        drop(asking);
        let _ = wait.recv_timeout(left());
    }

    /// How many lines were not written.
    pub fn dropped(&self) -> u64 {
        self.signals.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for LineQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineQueue").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}
