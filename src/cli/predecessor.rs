//! A process that takes the place of another: what that one listens on is handed to it.

use std::{
    env,
    fs::File,
    io,
    os::{fd::AsFd, unix::process::parent_id},
};

use super::successor::PREDECESSOR;
use crate::edge::{Passed, hand_off::Taking};

/// The process whose place this one takes.
pub struct Predecessor(Taking);

impl Predecessor {
    /// The one that has started this one to that end; and what it listens on.
    ///
    /// # Errors
    /// There is one, but nothing can be had from it.
    pub fn find() -> io::Result<Option<(Self, Vec<Passed>)>> {
        // Whoever was started by somebody else has it from a process long before it.
        if env::var(PREDECESSOR).ok().and_then(|id| id.parse().ok()) != Some(parent_id()) {
            return Ok(None);
        }
        let mut taking = Taking::at(io::stdin().as_fd().try_clone_to_owned()?)?;
        // The channel is to end with the one that speaks on it.
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        let sockets = taking.take()?;
        Ok(Some((Self(taking), sockets)))
    }

    /// Takes its place, now that this process accepts.
    ///
    /// # Errors
    /// The two cannot speak any more.
    pub async fn replace(self) -> io::Result<()> {
        self.0.ready().await
    }
}
