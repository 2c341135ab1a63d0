//! The files of unix sockets, and whose duty it is to remove them.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::settings::FileMode;

/// The file of a unix socket; removed when dropped, if that is up to this process.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    duty: Duty,
}

/// Whether files are removed by this process: of two that listen on one socket, it is up to one of them.
#[derive(Debug, Clone)]
pub struct Duty(Arc<AtomicBool>);

impl SocketFile {
    /// Of a socket that was opened here.
    pub fn own(path: PathBuf) -> Self {
        Self { path, duty: Duty::ours() }
    }

    /// Of one that another process has opened.
    pub fn with(path: PathBuf, duty: &Duty) -> Self {
        Self { path, duty: duty.clone() }
    }

    /// It is up to somebody else from now on.
    pub fn leave(&self) {
        self.duty.0.store(false, Ordering::Release);
    }

    /// Whether it goes with the socket.
    pub fn is_ours(&self) -> bool {
        self.duty.0.load(Ordering::Acquire)
    }
}

/// Says what others may do with it: connect is whoever can write.
pub fn permit(path: &Path, mode: FileMode) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode.0))
}

impl Duty {
    fn ours() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Somebody else's, for now.
    pub fn of_another() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// It is ours from now on.
    pub fn take(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours()
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::debug!("{} stays behind: {error}", self.path.display());
        }
    }
}
