//! The application log, on stderr: written by a thread of its own, so that nobody stands still where nobody reads it.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    panic,
    sync::OnceLock,
    time::Duration,
};

use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Log, Record};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};

use crate::telemetry::line_queue::{LineQueue, Output};

/// So many bytes of lines wait for the writer; more are dropped and counted.
const QUEUE: usize = 256 * 1024;
/// Who ends waits no longer for somebody who reads.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Lines wait here once there is a log.
static QUEUED: OnceLock<LineQueue> = OnceLock::new();

/// Shows what this filter of env_logger lets through.
///
/// # Errors
/// There can be no thread that writes it.
pub fn log_by(filter: &str) -> io::Result<()> {
    let queue = LineQueue::start("application-log", QUEUE, Stderr::new())
        .map_err(|error| io::Error::new(error.kind(), format!("cannot start a thread to write the log: {error}")))?;
    QUEUED.set(queue).expect("it is called once");
    let colours = anstream::AutoStream::choice(&io::stderr());
    let logger = Builder::new()
        .parse_filters(filter)
        .target(Target::Pipe(Box::new(ToQueue)))
        .write_style(colours.into())
        .try_init();
    logger.expect("nothing logs before the command line is read");
    flush_before_panics();
    // What libraries say by `tracing` comes to the log in any case, but unless somebody subscribes each of their spans is
    // written out first and thrown away after. Who wants to see so much gets the spans, too.
    if log::max_level() < LevelFilter::Debug {
        tracing::subscriber::set_global_default(Lines).expect("nobody else subscribes");
    }
    Ok(())
}

/// Says this as it is, behind all that was logged.
pub fn say(line: fmt::Arguments<'_>) {
    match QUEUED.get() {
        Some(queue) => queue.write(format!("{line}\n").as_bytes()),
        None => eprintln!("{line}"),
    }
}

/// Returns when all that was logged is written, or nobody has read it for a second.
pub fn flush() {
    if let Some(queue) = QUEUED.get() {
        queue.flush(FLUSH_LIMIT);
    }
}

/// A panic may end the process, and tells of itself directly: what led to it is to be there, and before it.
fn flush_before_panics() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        flush();
        tell(panic);
    }));
}

/// Takes a line at each call.
struct ToQueue;

impl Write for ToQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(queue) = QUEUED.get() {
            queue.write(line);
        }
        Ok(line.len())
    }

    /// It is called after each line, which must not wait for the writer.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The writer's side.
struct Stderr {
    /// What the writer has to say does not go through the queue, which may be full again.
    direct: env_logger::Logger,
}

impl Stderr {
    fn new() -> Self {
        // Whatever is shown of others: who misses lines must know.
        Self { direct: Builder::new().filter_level(LevelFilter::Warn).build() }
    }
}

impl Output for Stderr {
    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(lines)
    }

    fn tell_failure(&mut self, _: &io::Error) {
        // There is nowhere to tell it.
    }

    fn tell_dropped(&mut self, lines: u64) {
        let what = format_args!("the application log could not keep up: {lines} lines were dropped");
        self.direct.log(&Record::builder().level(Level::Warn).target(module_path!()).args(what).build());
    }
}

/// What is said by `tracing`, as lines of the log; spans cost nothing.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, of: &Metadata<'_>) -> bool {
        of.is_event() && level_of(of) <= log::max_level()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        use tracing::level_filters::LevelFilter as Hint;
        Some(match log::max_level() {
            LevelFilter::Off => Hint::OFF,
            LevelFilter::Error => Hint::ERROR,
            LevelFilter::Warn => Hint::WARN,
            LevelFilter::Info => Hint::INFO,
            LevelFilter::Debug => Hint::DEBUG,
            LevelFilter::Trace => Hint::TRACE,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let (of, mut line) = (event.metadata(), Line(String::new()));
        event.record(&mut line);
        let mut record = Record::builder();
        record.level(level_of(of)).target(of.target()).module_path(of.module_path()).file(of.file()).line(of.line());
        log::logger().log(&record.args(format_args!("{}", line.0)).build());
    }

    // It has enabled none.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn level_of(of: &Metadata<'_>) -> Level {
    match *of.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// The message, and behind it what else was said, each by its name.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let gap = if self.0.is_empty() { "" } else { " " };
        let written = match field.name() {
            "message" => write!(self.0, "{gap}{value:?}"),
            name => write!(self.0, "{gap}{name}={value:?}"),
        };
        written.expect("a string takes what is written to it");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps what is logged.
    struct Kept(Mutex<Vec<String>>);

    impl log::Log for Kept {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &Record<'_>) {
            let line = format!("{} {} {}", record.level(), record.target(), record.args());
            self.0.lock().expect("nobody fails with it").push(line);
        }
        fn flush(&self) {}
    }

    static KEPT: Kept = Kept(Mutex::new(Vec::new()));

    #[test]
    fn what_libraries_say_by_tracing_is_logged_and_spans_are_not_made() {
        log::set_logger(&KEPT).expect("no other unit test logs");
        log::set_max_level(LevelFilter::Info);

        let span = tracing::subscriber::with_default(Lines, || {
            tracing::warn!(target: "lib", stream = 3, "it is {}", "late");
            tracing::debug!(target: "lib", "not shown");
            tracing::error_span!("a request")
        });

        assert!(span.is_disabled());
        let kept = KEPT.0.lock().expect("nobody fails with it");
        let ours: Vec<_> = kept.iter().filter(|line| line.contains(" lib ")).collect();
        assert_eq!(ours, ["WARN lib it is late stream=3"]);
    }
}
