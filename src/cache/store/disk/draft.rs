//! A file on its way: not to be found under a name before it is whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    mem,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
};

use super::{
    folder::Folder,
    format::{BLOCK, Prelude, sum},
    name::Name,
};

/// One that is being written. Dropped before it is settled, it is gone.
pub struct Draft {
    file: File,
    path: PathBuf,
    prelude: Prelude,
    about: Vec<u8>,
    /// What of its block has come.
    block: Vec<u8>,
    blocks: u64,
    /// How long its body is so far.
    body: u64,
    out: Vec<u8>,
    /// The prelude has its place, and is to be written there.
    has_begun: bool,
}

/// So much is written at once.
const AT_ONCE: usize = 2 * BLOCK;

impl Draft {
    /// Under a number that no other one has. `prelude`: who has written it, and when.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn begin(folder: &Folder, number: u64, prelude: Prelude, about: Vec<u8>) -> io::Result<Self> {
        let path = folder.new_path(number);
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => folder.make_new().and_then(|()| open())?,
            opened => opened?,
        };
        let mut out = vec![0; Prelude::LENGTH];
        out.extend_from_slice(&about);
        Ok(Self { file, path, prelude, about, block: Vec::new(), blocks: 0, body: 0, out, has_begun: false })
    }

    /// How long it is so far.
    pub fn length(&self) -> u64 {
        self.prelude.with(&self.about, self.body).file_length().unwrap_or(u64::MAX)
    }

    /// More of its body.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.body += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let block = mem::take(&mut self.block);
        self.out.extend_from_slice(&block);
        self.out.extend_from_slice(&sum(self.prelude.own, self.blocks, &block).to_le_bytes());
        self.blocks += 1;
        self.block = block;
        self.block.clear();
        if self.out.len() >= AT_ONCE { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        self.has_begun = true;
        self.file.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// That was all: it is found under this name from now on, and so long. What the machine loses of it, if it fails before it is all
    /// written, is found out when it is read.
    ///
    /// # Errors
    /// It cannot be.
    pub fn settle(mut self, folder: &Folder, name: &Name) -> io::Result<u64> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let prelude = self.prelude.with(&self.about, self.body).to_bytes();
        if self.has_begun {
            self.write()?;
            self.file.write_all_at(&prelude, 0)?;
        } else {
            self.out[..Prelude::LENGTH].copy_from_slice(&prelude);
            self.write()?;
        }
        folder.settle(&self.path, name)?;
        self.path = PathBuf::new();
        Ok(self.length())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _it_may_be_gone = fs::remove_file(&self.path);
        }
    }
}
