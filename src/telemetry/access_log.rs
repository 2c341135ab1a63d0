//! One line a request, written off the workers: a worker makes the line, a thread of its own writes it.

use std::{fmt, sync::Arc, time::Duration};

pub use self::line::Record;
use self::{format::Format, output::Output, redact::Redaction};
use super::line_queue::LineQueue;
use crate::{
    exchange::Exchange,
    http::{HeaderName, scratch},
    settings::{Problem, telemetry::AccessLogSettings},
};

mod escape;
mod field;
mod format;
mod line;
mod output;
mod redact;

/// So many bytes of lines wait for the writer; more are dropped and counted.
const QUEUE: usize = 4 * 1024 * 1024;
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
    lines: LineQueue,
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
        let lines = LineQueue::start("access-log", QUEUE, output)
            .map_err(|error| at_path(format!("cannot start a thread to write it: {error}")))?;
        let shown = format.header_names();
        Ok(Some(Self(Arc::new(Inner { format, redaction, shown, lines }))))
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
        let mut fields = scratch::map();
        for name in &self.0.shown {
            for value in exchange.headers.get_all(name) {
                fields.append(name.clone(), value.clone());
            }
        }
        exchange.facts.fields = fields;
        if self.0.format.shows_certificates() {
            exchange.facts.client_certificate = exchange.client_certificate().cloned();
        }
    }

    /// Queues the line of one exchange. Never waits: if the queue is full, the line is dropped and counted.
    pub fn write(&self, record: &Record<'_>) {
        let mut line = scratch::lines();
        line::push(&mut line, &self.0.format, &self.0.redaction, record);
        self.0.lines.write(&line);
        scratch::give_back_lines(line);
    }

    /// Opens the file again, as after it was moved away, before anything is written that is queued from now on.
    pub fn reopen(&self) {
        self.0.lines.reopen();
    }

    /// Returns when everything queued before is written; gives up after five seconds if the file takes nothing.
    pub fn flush(&self) {
        self.0.lines.flush(FLUSH_LIMIT);
    }

    /// How many lines were not written.
    pub fn dropped(&self) -> u64 {
        self.0.lines.dropped()
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
