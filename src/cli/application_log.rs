//! The application log, on stderr.

use std::fmt::{self, Write};

use log::{Level, LevelFilter, Record};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};

/// Shows what this filter of env_logger lets through.
pub fn log_by(filter: &str) {
    let logger = env_logger::Builder::new().parse_filters(filter).try_init();
    logger.expect("nothing logs before the command line is read");
    // What libraries say by `tracing` comes to the log in any case, but unless somebody subscribes each of their spans is
    // written out first and thrown away after. Who wants to see so much gets the spans, too.
    if log::max_level() < LevelFilter::Debug {
        tracing::subscriber::set_global_default(Lines).expect("nobody else subscribes");
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
