//! One line a request, written off the workers: a worker makes the line, a thread of its own writes it.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

pub use self::line::Record;
use self::{
    format::Format,
    redact::Redaction,
    writer::{Message, Output, Writer},
};
use crate::{
    exchange::Exchange,
    http::HeaderName,
    settings::{Problem, telemetry::AccessLogSettings},
};

mod escape;
mod field;
mod format;
mod line;
mod redact;
mod writer;

/// As many lines wait for the writer; more are dropped and counted.
const QUEUE: usize = 8192;
/// Whoever waits for the writer waits no longer: it may be stuck on a pipe that nobody reads.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Where the lines go. Clones share one file, one queue and one thread, which ends when the last of them is gone.
#[derive(Clone)]
pub struct AccessLog(Arc<Inner>);

struct Inner {
    format: Format,
    redaction: Redaction,
    /// The fields of a request that a line shows.
    shown: Vec<HeaderName>,
    queue: SyncSender<Message>,
    signals: Arc<Signals>,
}

/// What the workers and the writer tell each other past the queue.
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

impl AccessLog {
    /// Opens the log and starts its writer; `None` if it is off.
    #[expect(clippy::result_large_err, reason = "once a start, and what is wrong is told as everywhere")]
    pub fn open(settings: &AccessLogSettings) -> Result<Option<Self>, Problem> {
        if settings.path == "off" {
            return Ok(None);
        }
        let format = Format::parse(&settings.format).map_err(first)?;
        let redaction = Redaction::new(&settings.redact).map_err(first)?;
        let at_path = |what: String| Problem::at(["log", "access", "path"], what);
        let output = Output::open(&settings.path).map_err(|error| {
            at_path(format!("cannot open `{}`: {error}", settings.path.escape_debug()))
                .help("\"off\", \"stdout\", or a file that may be written to")
        })?;
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let signals = Arc::new(Signals::default());
        let writer = Writer::new(output, Arc::clone(&signals));
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run(&lines))
            .map_err(|error| at_path(format!("cannot start a thread to write it: {error}")))?;
        let shown = format.header_names();
        Ok(Some(Self(Arc::new(Inner { format, redaction, shown, queue, signals }))))
    }

    /// What is wrong with the settings as far as it can be told without opening anything.
    pub fn check(settings: &AccessLogSettings) -> Vec<Problem> {
        let mut problems = Vec::new();
        if settings.path.is_empty() {
            problems
                .push(Problem::at(["log", "access", "path"], "names no file").help("\"off\", \"stdout\", or a file"));
        }
        problems.extend(Format::parse(&settings.format).err().unwrap_or_default());
        problems.extend(Redaction::new(&settings.redact).err().unwrap_or_default());
        problems
    }

    /// A line has the id of its request.
    pub fn shows_ids(&self) -> bool {
        self.0.format.shows_ids()
    }

    /// Keeps what the line will show of the request: told when it has arrived, before anything is changed or sent on.
    pub fn begin(&self, exchange: &mut Exchange) {
        for name in &self.0.shown {
            let values = exchange.headers.get_all(name);
            exchange.facts.fields.extend(values.map(|value| (name.clone(), value.clone())));
        }
        if self.0.format.shows_certificates() {
            exchange.facts.client_certificate = exchange.client_certificate().cloned();
        }
    }

    /// Queues the line of one exchange. Never waits: if the queue is full, the line is dropped and counted.
    pub fn write(&self, record: &Record<'_>) {
        let line = line::formatted(&self.0.format, &self.0.redaction, record);
        self.queue(line);
    }

    /// Opens the file again, as after it was moved away, before anything is written that is queued from now on.
    pub fn reopen(&self) {
        // In its turn, what was queued before goes where it was meant to. A full queue must not hold up who asks: the
        // writer is awake then, and sees the signal before its next line.
        if self.0.queue.try_send(Message::Reopen).is_err() {
            self.0.signals.reopen.store(true, Ordering::Release);
            // Between the two it may have written all and gone to sleep; to open twice does no harm.
            let _ = self.0.queue.try_send(Message::Reopen);
        }
    }

    /// Returns when everything queued before is written; gives up after five seconds if the file takes nothing.
    pub fn flush(&self) {
        self.flush_within(FLUSH_LIMIT);
    }

    fn flush_within(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let left = || until.saturating_duration_since(Instant::now());
        let (done, wait) = mpsc::sync_channel(1);
        let mut message = Message::Flush(done);
        let mut asking = self.0.signals.asking();
        while let Err(TrySendError::Full(back)) = self.0.queue.try_send(message) {
            if left().is_zero() {
                return;
            }
            message = back;
            asking = self.0.signals.room_made(asking, left());
        }
        drop(asking);
        let _ = wait.recv_timeout(left());
    }

    /// How many lines were not written.
    pub fn dropped(&self) -> u64 {
        self.0.signals.dropped.load(Ordering::Relaxed)
    }

    fn queue(&self, line: String) {
        if self.0.queue.try_send(Message::Line(line)).is_err() {
            self.0.signals.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("format", &self.0.format).field("dropped", &self.dropped()).finish()
    }
}

/// Of several problems the one to tell; `check` tells them all.
fn first(problems: Vec<Problem>) -> Problem {
    problems.into_iter().next().unwrap_or_else(|| Problem::at(["log", "access"], "cannot be used"))
}

#[cfg(test)]
mod tests;
