//! A directory for settings and logs, taken away when the work ends, however it ends.

use std::path::{Path, PathBuf};
use std::{fs, io, process};

pub struct Scratch(PathBuf);

impl Scratch {
    pub fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("aqueduct-load-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is in the temporary directory: what stays there is taken away some day.
        let _ = fs::remove_dir_all(&self.0);
    }
}
