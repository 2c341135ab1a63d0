//! What a process finds when it begins: who waits for it, and what is open for it already.

use std::io;

use super::{activation, predecessor::Predecessor, successor::Program};
use crate::{actors::ServiceManager, edge::Inherited};

/// What was there before the settings were read.
pub struct Beginning {
    /// To be started again.
    pub program: Program,
    /// Who has started us.
    pub manager: ServiceManager,
    /// What others have opened for us.
    pub inherited: Inherited,
    predecessor: Option<Predecessor>,
}

impl Beginning {
    /// To be asked first of all: what is at our path may be replaced later, and numbers of descriptors mean something
    /// only before others are opened.
    ///
    /// # Errors
    /// Somebody has begun something that cannot be gone on with.
    pub fn find() -> io::Result<Self> {
        let because =
            |what: &'static str| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
        let passed = activation::sockets().map_err(because("nothing can be had from who passes sockets"))?;
        let predecessor =
            Predecessor::find().map_err(because("nothing can be had from the process before this one"))?;
        let (predecessor, handed) = predecessor.unzip();
        let manager = ServiceManager::find().map_err(because("the service manager cannot be told"))?;
        let inherited = Inherited::of(passed.into_iter().chain(handed.into_iter().flatten()).collect())?;
        Ok(Self { program: Program::own(), manager, inherited, predecessor })
    }

    /// Clients are served: whoever was here before us accepts no more, and what is not wanted is closed.
    ///
    /// # Errors
    /// The process before this one cannot be spoken with.
    pub async fn is_over(&mut self) -> io::Result<()> {
        if let Some(predecessor) = self.predecessor.take() {
            predecessor.replace().await?;
        }
        for address in self.inherited.settle() {
            log::warn!("{address} was handed over, but it is not in the settings: it is not listened on");
        }
        Ok(())
    }
}
