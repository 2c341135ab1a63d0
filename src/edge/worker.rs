//! Workers: threads that accept and serve, each for itself. Nobody hands connections from one thread to another, so a
//! connection costs no switch between them (docs/adr/0005-workers-accept.md).

use std::{io, num::NonZero, rc::Rc, sync::Arc, thread};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    answers::Making,
    drain::Stop,
    limits::Limits,
    listener::{Caps, Door},
    reception::Reception,
    tls::Speaks,
};
use crate::settings::{ServerSettings, server as settings};

/// All workers of a server. Dropped, it ends them at once.
pub struct Workers {
    reports: mpsc::UnboundedReceiver<io::Result<()>>,
    force: CancellationToken,
}

/// To tell each worker of a change.
pub type Tellers = Vec<mpsc::UnboundedSender<Change>>;

/// What is to be otherwise from now on.
pub struct Change {
    /// For connections that are taken in later.
    pub limits: Limits,
    /// Where else to take them in.
    pub entrances: Vec<Entrance>,
    /// Dropped once it is so.
    pub until_made: watch::Receiver<()>,
}

/// A door, and how long to stand at it.
pub struct Entrance {
    /// Where connections come in.
    pub door: Door,
    /// Other workers stand there, too.
    pub is_shared: bool,
    /// What is spoken with those who come in.
    pub speaks: Speaks,
    /// The word to go away.
    pub stop: Stop,
    /// Dropped once the door is closed.
    pub until_closed: watch::Receiver<()>,
}

/// What all workers begin with.
#[derive(Clone)]
pub struct Shared {
    pub limits: Limits,
    pub caps: Arc<Caps>,
    pub stop: Stop,
    pub workers: usize,
    /// Gets a permit from each that stands at its doors.
    pub at_work: Arc<Semaphore>,
}

/// How many there are to be.
pub fn count(server: &ServerSettings) -> usize {
    let workers = match server.workers {
        settings::Workers::Auto => thread::available_parallelism().map_or(1, NonZero::get),
        settings::Workers::Exactly(count) => count,
    };
    workers.clamp(1, settings::Workers::MOST)
}

impl Workers {
    /// Starts them, behind doors that are open already.
    pub fn start<M: Making>(
        making: &M,
        entrances: impl Fn(usize) -> io::Result<Vec<Entrance>>,
        shared: &Shared,
    ) -> io::Result<(Self, Tellers)> {
        let (report, reports) = mpsc::unbounded_channel();
        let workers = Self { reports, force: CancellationToken::new() };
        let mut tellers = Tellers::with_capacity(shared.workers);
        for number in 0..shared.workers {
            let entrances = entrances(number)?;
            let (teller, changes) = mpsc::unbounded_channel();
            tellers.push(teller);
            let (making, shared, force, report) =
                (making.clone(), shared.clone(), workers.force.clone(), report.clone());
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let work = work(making, entrances, changes, shared, force);
                // Nobody may be left to hear of it.
                let _unheard = report.send(M::run(work).flatten());
            })?;
        }
        Ok((workers, tellers))
    }

    /// Ready when the last of them has ended, or the first that failed.
    pub async fn ended(&mut self) -> io::Result<()> {
        while let Some(report) = self.reports.recv().await {
            report?;
        }
        Ok(())
    }

    /// Drops what is under way.
    pub fn force(&self) {
        self.force.cancel();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.force();
    }
}

/// One worker's life: it ends when it was told to stop and the last connection has, or at once.
async fn work(
    making: impl Making,
    entrances: Vec<Entrance>,
    changes: mpsc::UnboundedReceiver<Change>,
    shared: Shared,
    force: CancellationToken,
) -> io::Result<()> {
    let app = making.make().await?;
    let reception = Rc::new(Reception::new(app, shared.limits, shared.caps, shared.workers));
    for entrance in entrances {
        reception.open_door(entrance)?;
    }
    reception.heed(changes, shared.stop);
    shared.at_work.add_permits(1);
    tokio::select! {
        () = force.cancelled() => {}
        () = reception.is_over() => {}
    }
    Ok(())
}
