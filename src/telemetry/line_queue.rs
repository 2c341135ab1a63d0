//! Lines that a thread of its own writes: who has one to say never waits, and what finds no room is dropped and counted.
//!
//! To wake that thread costs who does it more than its line: so it is woken by the first line after a rest, which it
//! writes at once, and what comes in the next milliseconds waits for it in one piece of memory.

use std::{
    fmt, io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use self::{waiting::Shared, writer::Writer};

mod waiting;
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

/// When the writer looks for lines.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// So long it lets lines gather after it has written some.
    pause: Duration,
    /// With so many bytes of them it does not wait any longer.
    batch: usize,
}

/// Fifty times a second nobody notices, neither who reads along nor the workers. More bytes at once save nothing more.
const PACE: Pace = Pace { pause: Duration::from_millis(20), batch: 64 * 1024 };

/// Where lines wait. The thread that writes them ends when this is gone and they are written.
pub struct LineQueue {
    shared: Arc<Shared>,
}

impl LineQueue {
    /// Starts a thread of this name that writes there; so many bytes of lines wait for it, and as many are in its hand.
    ///
    /// # Errors
    /// There can be no such thread.
    pub fn start(name: &str, room: usize, output: impl Output) -> io::Result<Self> {
        Self::start_at(PACE, name, room, output)
    }

    fn start_at(pace: Pace, name: &str, room: usize, output: impl Output) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(pace, room));
        let writer = Writer::new(output, Arc::clone(&shared));
        thread::Builder::new().name(name.into()).spawn(move || writer.run())?;
        Ok(Self { shared })
    }

    /// Queues a line with its end. Never waits for the writer: if there is no room, the line is dropped and counted.
    pub fn write(&self, line: &[u8]) {
        self.shared.push(line);
    }

    /// Opens the output again before anything is written that is queued from now on.
    pub fn reopen(&self) {
        self.shared.reopen();
    }

    /// Returns when everything queued before is written, or the limit has passed: the writer may be stuck on a pipe that
    /// nobody reads.
    pub fn flush(&self, limit: Duration) {
        self.shared.flush(Instant::now() + limit);
    }

    /// How many lines were not written.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }
}

impl Drop for LineQueue {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for LineQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineQueue").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
