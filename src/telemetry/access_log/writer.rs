//! The thread that writes lines: as many at once as there are.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender},
    },
};

use super::Signals;

/// So many bytes of lines are written at once.
const BATCH: usize = 64 * 1024;

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A finished line with its end.
    Line(String),
    /// Open the file again.
    Reopen,
    /// Say when all that came before is written.
    Flush(SyncSender<()>),
}

/// Where lines end up.
#[derive(Debug)]
pub(super) enum Output {
    Stdout,
    File { path: PathBuf, file: File },
}

impl Output {
    /// `"stdout"`, or a file to append to.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        if path == "stdout" {
            return Ok(Self::Stdout);
        }
        let path = PathBuf::from(path);
        open(&path).map(|file| Self::File { path, file })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File { file, .. } => file.write_all(bytes),
        }
    }

    fn reopen(&mut self) {
        let Self::File { path, file } = self else { return };
        match open(path) {
            Ok(new) => *file = new,
            Err(error) => {
                log::warn!("cannot open the access log {} again, writing to the old file: {error}", path.display());
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // To open a pipe only to write would wait for its reader. Open to both, it is here at once.
    let is_pipe = fs::metadata(path).is_ok_and(|data| data.file_type().is_fifo());
    // The lines are about people: not for everyone on this machine.
    OpenOptions::new().append(true).create(!is_pipe).read(is_pipe).mode(0o640).open(path)
}

/// The state of the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    output: Output,
    signals: Arc<Signals>,
    batch: Vec<u8>,
    lines: u64,
    /// Writing failed: said once, until it works again.
    failing: bool,
    /// Dropped lines that were told of.
    told: u64,
}

impl Writer {
    pub(super) fn new(output: Output, signals: Arc<Signals>) -> Self {
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
            if let Some(news) = self.newly_dropped() {
                log::warn!("the access log could not keep up: {news} lines were dropped");
            }
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
                self.batch.extend_from_slice(line.as_bytes());
                self.lines += 1;
                if self.batch.len() >= BATCH {
                    self.write_out();
                }
            }
            Message::Reopen => self.reopen(),
            Message::Flush(done) => {
                self.write_out();
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
                    log::warn!("cannot write to the access log: {error}");
                }
                self.failing = true;
            }
        }
        self.batch.clear();
        self.lines = 0;
    }

    /// How many lines were dropped since this was last asked.
    fn newly_dropped(&mut self) -> Option<u64> {
        let all = self.signals.dropped.load(Ordering::Relaxed);
        let news = all - self.told;
        self.told = all;
        (news > 0).then_some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_lines_are_told_of_once() {
        let signals = Arc::new(Signals::default());
        let mut writer = Writer::new(Output::Stdout, Arc::clone(&signals));
        signals.dropped.fetch_add(3, Ordering::Relaxed);

        let told = [writer.newly_dropped(), writer.newly_dropped()];

        assert_eq!(told, [Some(3), None]);
    }

    #[test]
    fn lines_that_cannot_be_written_count_as_dropped_and_what_follows_begins_on_its_own_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, "").expect("a file");
        let signals = Arc::new(Signals::default());
        let read_only = File::open(&path).expect("the file");
        let mut writer = Writer::new(Output::File { path: path.clone(), file: read_only }, Arc::clone(&signals));

        writer.take(Message::Line("one\n".into()));
        writer.write_out();
        writer.output.reopen();
        writer.take(Message::Line("two\n".into()));
        writer.write_out();

        assert_eq!(signals.dropped.load(Ordering::Relaxed), 1);
        assert_eq!(fs::read_to_string(&path).expect("the file"), "\ntwo\n");
    }
}
