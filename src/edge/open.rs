//! An address that is listened on: what is spoken there, and where workers stand.

use std::{io, os::fd::AsFd, sync::Arc};

use tokio::sync::watch;

use super::{
    counts::Counts,
    drain::Stop,
    inherited::{Passed, Purpose},
    listener::{Door, Listening, Opened},
    socket_file::SocketFile,
    tls::{Certificates, Speaks, Spoken},
    worker::Entrance,
};
use crate::plan::ListenAddress;

/// It, as others are told of it.
#[derive(Debug, Clone)]
pub struct ListensAt {
    /// The address.
    pub address: ListenAddress,
    /// The name of what is shown there, where TLS is spoken.
    pub tls: Option<String>,
    /// What was counted there.
    pub counts: Arc<Counts>,
}

/// It, as long as it is one.
pub struct Open {
    pub speaks: Speaks,
    pub asked: ListenAddress,
    pub address: ListenAddress,
    /// Workers have copies: each of its own one if there are enough, else all of all.
    doors: Vec<Door>,
    stop: Stop,
    /// Closed once no worker has a copy any more.
    closed: watch::Sender<()>,
    /// Goes with it.
    file: Option<SocketFile>,
}

impl Open {
    /// The server's word to stop is for it, too.
    pub fn of(opened: Opened, stop: &Stop) -> Self {
        let Opened { asked, address, listening, spoken } = opened;
        let (doors, file) = match listening {
            Listening::Tcp(listeners) => (listeners.into_iter().map(Door::Tcp).collect(), None),
            Listening::Unix(listener, file) => (vec![Door::Unix(listener)], file),
        };
        let speaks = Speaks::of(spoken);
        Self { speaks, asked, address, doors, stop: stop.below(), closed: watch::Sender::new(()), file }
    }

    /// For one worker of so many. Every door is somebody's: who waits there is met.
    pub fn entrances(&self, worker: usize, workers: usize) -> io::Result<Vec<Entrance>> {
        let is_shared = self.doors.len() < workers || self.doors.len() == 1;
        let doors = self.doors.iter().enumerate().filter(|(number, _)| is_shared || number % workers == worker);
        let entrances = doors.map(|(_, door)| {
            let (speaks, stop) = (self.speaks.clone(), self.stop.clone());
            Ok(Entrance { door: door.again()?, is_shared, speaks, stop, until_closed: self.closed.subscribe() })
        });
        entrances.collect()
    }

    /// How others are told of it.
    pub fn told(&self) -> ListensAt {
        let Spoken { certificates, counts, .. } = self.speaks.now();
        ListensAt { address: self.address.clone(), tls: certificates.as_ref().map(Certificates::name), counts }
    }

    /// For another process.
    pub fn passed(&self, purpose: Purpose) -> impl Iterator<Item = io::Result<Passed>> {
        let has_file = self.file.as_ref().is_some_and(SocketFile::is_ours);
        self.doors.iter().map(move |door| {
            let socket = door.as_fd().try_clone_to_owned()?;
            Ok(Passed { purpose, asked: self.asked.clone(), socket, has_file })
        })
    }

    /// Nobody else comes in. What is returned is closed once no worker has a copy any more.
    pub fn close(self) -> watch::Sender<()> {
        let Self { stop, doors, file, closed, .. } = self;
        // First our copies: whoever comes once the workers have closed theirs is to be refused, not to wait in vain.
        drop((doors, file));
        stop.say();
        closed
    }

    /// The same, where another process has it: it is said elsewhere that nobody else comes in here.
    pub fn leave(self) -> watch::Sender<()> {
        self.file.iter().for_each(SocketFile::leave);
        self.closed
    }
}

/// The same for all of them.
pub fn entrances(open: &[Open], worker: usize, workers: usize) -> io::Result<Vec<Entrance>> {
    let mut all = Vec::with_capacity(open.len());
    for open in open {
        all.extend(open.entrances(worker, workers)?);
    }
    Ok(all)
}
