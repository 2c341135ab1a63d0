//! The thread that writes lines: as many at once as there are.

use std::sync::{
    Arc,
    atomic::Ordering,
    mpsc::{Receiver, SyncSender},
};

use super::{Output, Signals};

/// So many bytes of lines are written at once.
const BATCH: usize = 64 * 1024;

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A finished line with its end.
    Line(Vec<u8>),
    /// Open the output again.
    Reopen,
    /// Say when all that came before is written.
    Flush(SyncSender<()>),
}

/// The state of the writing thread.
#[derive(Debug)]
pub(super) struct Writer<O> {
    output: O,
    signals: Arc<Signals>,
    batch: Vec<u8>,
    lines: u64,
    /// Writing failed: said once, until it works again.
    failing: bool,
    /// Dropped lines that were told of.
    told: u64,
}

impl<O: Output> Writer<O> {
    pub(super) fn new(output: O, signals: Arc<Signals>) -> Self {
        Self { output, signals, batch: Vec::with_capacity(BATCH), lines: 0, failing: false, told: 0 }
    }

    /// Writes until nobody is left who could send a line.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        while let Ok(message) = queue.recv() {
            self.take(message);
            while let Ok(message) = queue.try_recv() {
                self.take(message);
            }
            self.write_out();
            self.tell_dropped();
        }
    }

    fn take(&mut self, message: Message) {
        if self.signals.reopen.swap(false, Ordering::Acquire) {
            self.reopen();
        }
        match message {
            Message::Line(line) => {
                if self.failing && self.batch.is_empty() {
                    // What failed may have ended within a line.
                    self.batch.push(b'\n');
                }
                self.batch.extend_from_slice(&line);
                self.lines += 1;
                if self.batch.len() >= BATCH {
                    self.write_out();
                }
            }
            Message::Reopen => self.reopen(),
            Message::Flush(done) => {
                self.write_out();
                // Who waits for it may end the process.
                self.tell_dropped();
                // Who does not wait any more needs no answer.
                let _ = done.try_send(());
            }
        }
    }

    fn reopen(&mut self) {
        self.write_out();
        self.output.reopen();
    }

    fn write_out(&mut self) {
        if !self.batch.is_empty() {
            self.write_batch();
        }
        self.signals.tell_of_room();
    }

    fn write_batch(&mut self) {
        match self.output.write_all(&self.batch) {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.signals.dropped.fetch_add(self.lines, Ordering::Relaxed);
                if !self.failing {
                    self.output.tell_failure(&error);
                }
                self.failing = true;
            }
        }
        self.batch.clear();
        self.lines = 0;
    }

    /// Tells how many lines were dropped since this was last told.
    fn tell_dropped(&mut self) {
        let all = self.signals.dropped.load(Ordering::Relaxed);
        if all > self.told {
            self.output.tell_dropped(all - self.told);
            self.told = all;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Keeps what is written and told.
    #[derive(Debug, Default)]
    struct Kept {
        written: String,
        told: Vec<String>,
        fails: bool,
    }

    impl Output for Kept {
        fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
            if self.fails {
                return Err(io::Error::other("full"));
            }
            self.written += str::from_utf8(lines).expect("text");
            Ok(())
        }

        fn tell_failure(&mut self, error: &io::Error) {
            self.told.push(format!("failed: {error}"));
        }

        fn tell_dropped(&mut self, lines: u64) {
            self.told.push(format!("dropped: {lines}"));
        }

        fn reopen(&mut self) {
            self.fails = false;
        }
    }

    fn writer(output: Kept) -> Writer<Kept> {
        Writer::new(output, Arc::default())
    }

    #[test]
    fn dropped_lines_are_told_of_once() {
        let mut writer = writer(Kept::default());
        writer.signals.dropped.fetch_add(3, Ordering::Relaxed);

        writer.tell_dropped();
        writer.tell_dropped();

        assert_eq!(writer.output.told, ["dropped: 3"]);
    }

    #[test]
    fn who_waits_for_what_was_queued_waits_for_the_count_of_what_was_not_too() {
        let mut writer = writer(Kept::default());
        writer.signals.dropped.fetch_add(3, Ordering::Relaxed);

        writer.take(Message::Flush(std::sync::mpsc::sync_channel(1).0));

        assert_eq!(writer.output.told, ["dropped: 3"]);
    }

    #[test]
    fn lines_that_cannot_be_written_count_as_dropped_and_what_follows_begins_on_its_own_line() {
        let mut writer = writer(Kept { fails: true, ..Kept::default() });

        for line in ["one\n", "two\n"] {
            writer.take(Message::Line(line.into()));
            writer.write_out();
        }
        writer.take(Message::Reopen);
        writer.take(Message::Line("three\n".into()));
        writer.write_out();

        assert_eq!(writer.signals.dropped.load(Ordering::Relaxed), 2);
        assert_eq!(writer.output.told, ["failed: full"]);
        assert_eq!(writer.output.written, "\nthree\n");
    }
}
