//! What lines are written to.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::telemetry::line_queue;

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
}

impl line_queue::Output for Output {
    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File { file, .. } => file.write_all(lines),
        }
    }

    fn tell_failure(&mut self, error: &io::Error) {
        log::warn!("cannot write to the access log: {error}");
    }

    fn tell_dropped(&mut self, lines: u64) {
        log::warn!("the access log could not keep up: {lines} lines were dropped");
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
