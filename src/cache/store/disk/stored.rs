//! A file that is read: of what it says nothing is believed that its sums do not confirm.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, SystemTime},
};

use super::format::{BLOCK, Prelude};
use crate::cache::policy::Head;

/// An answer in its file.
pub struct Stored {
    file: File,
    prelude: Prelude,
    /// All of a small one: it need not be read once more.
    all: Vec<u8>,
    /// What it is stored under ([`Key::sealed`](crate::cache::key::Key::sealed)).
    pub key: Vec<u8>,
    /// What it says.
    pub head: Head,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The disk says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not as it was written.
    #[error("it is not as it was written")]
    Broken,
}

/// So much of a file is read first: of a small one all of it.
const FIRST: u64 = 16 * 1024;

impl Stored {
    /// Opens a file, and reads what is before its body.
    ///
    /// # Errors
    /// It is not there, or not whole.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut first = vec![0; usize::try_from(length.min(FIRST)).unwrap_or_default()];
        file.read_exact_at(&mut first, 0)?;
        let prelude = Prelude::read(&first).ok_or(Unreadable::Broken)?;
        if prelude.file_length() != Some(length) {
            return Err(Unreadable::Broken);
        }
        let about = Prelude::LENGTH..Prelude::LENGTH + usize::try_from(prelude.about).unwrap_or_default();
        if about.end > first.len() {
            first.resize(about.end, 0);
            file.read_exact_at(&mut first, 0)?;
        }
        let (key, head) = prelude.read_about(&first[about]).ok_or(Unreadable::Broken)?;
        let all = if first.len() as u64 == length { first } else { Vec::new() };
        Ok(Self { file, prelude, all, key, head })
    }

    /// How long its body is.
    pub fn body(&self) -> u64 {
        self.prelude.body
    }

    /// How long the file is.
    pub fn length(&self) -> u64 {
        self.prelude.file_length().unwrap_or(u64::MAX)
    }

    /// When it was asked for, if this process has written it.
    pub fn since(&self, process: u64) -> Option<Duration> {
        (self.prelude.process == process).then(|| Duration::from_nanos(self.prelude.since))
    }

    /// One block of its body.
    ///
    /// # Errors
    /// It cannot be read, or is not as it was written.
    pub fn block(&self, index: u64) -> Result<Vec<u8>, Unreadable> {
        let (place, length) = self.prelude.place(index);
        let is_here = usize::try_from(place).ok().and_then(|place| self.all.get(place..place.checked_add(length)?));
        if let Some(bytes) = is_here {
            return self.prelude.block(index, bytes).map(<[u8]>::to_vec).ok_or(Unreadable::Broken);
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, place).map_err(|error| match error.kind() {
            // Somebody has cut it off since it was opened.
            io::ErrorKind::UnexpectedEof => Unreadable::Broken,
            _ => error.into(),
        })?;
        let sound = self.prelude.block(index, &bytes).ok_or(Unreadable::Broken)?.len();
        bytes.truncate(sound);
        Ok(bytes)
    }

    /// How many of them there are.
    pub fn blocks(&self) -> u64 {
        self.prelude.body.div_ceil(BLOCK as u64)
    }

    /// Has it be stale from now on. A file that is not whole afterwards is none.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn expire(path: &Path, now: SystemTime) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = [0; Prelude::LENGTH];
        file.read_exact_at(&mut bytes, 0)?;
        let Some(prelude) = Prelude::read(&bytes) else { return Err(io::ErrorKind::InvalidData.into()) };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expired = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1);
        let expired = if prelude.expired == 0 { expired } else { expired.min(prelude.expired) };
        file.write_all_at(&Prelude { expired, ..prelude }.to_bytes(), 0)
    }
}

impl From<Unreadable> for io::Error {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Io(error) => error,
            Unreadable::Broken => Self::new(io::ErrorKind::InvalidData, why),
        }
    }
}
