//! A place among the connections to an endpoint, and a new connection for it.

use std::{
    cell::Cell,
    io,
    sync::{Arc, atomic::Ordering},
};

use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    http::Io,
    transport::{Address, Cause, Phase, Target, Timeouts, pool::Limits},
};

/// A connection with the place it takes.
pub struct Placed {
    pub io: Box<dyn Io>,
    pub place: OwnedSemaphorePermit,
}

/// A new connection, within the limits of number and time; or how far it came.
pub async fn connect(to: &Target, timeouts: Timeouts) -> Result<Placed, (Phase, Cause)> {
    let phase = Cell::new(Phase::Queue);
    let connecting = async {
        let place = place(&to.pool).await?;
        let io = dial(&to.address, &phase).await.map_err(Cause::Io)?;
        Ok(Placed { io, place })
    };
    let connected = match (timeouts.connect, timeouts.total) {
        (Some(limit), total) if total.is_none_or(|total| limit <= total) => {
            timeout(limit, connecting).await.unwrap_or(Err(Cause::Timeout(limit)))
        }
        (_, Some(total)) => timeout(total, connecting).await.unwrap_or(Err(Cause::Total(total))),
        (_, None) => connecting.await,
    };
    connected.map_err(|cause| (phase.get(), cause))
}

async fn place(limits: &Limits) -> Result<OwnedSemaphorePermit, Cause> {
    if let Ok(place) = Arc::clone(&limits.total).try_acquire_owned() {
        return Ok(place);
    }
    let _waiting = Waiting::among(limits).ok_or(Cause::Full)?;
    acquire(&limits.total).await
}

async fn acquire(total: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Cause> {
    // Nobody closes it; if somebody did, there would be no more connections.
    Arc::clone(total).acquire_owned().await.map_err(|_| Cause::Full)
}

async fn dial(address: &Address, phase: &Cell<Phase>) -> io::Result<Box<dyn Io>> {
    match address {
        Address::Tcp { host, port } => {
            phase.set(Phase::Resolve);
            let addresses: Vec<_> = lookup_host((&**host, *port)).await?.collect();
            phase.set(Phase::Connect);
            let socket = TcpStream::connect(&addresses[..]).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket))
        }
        Address::Unix(path) => {
            phase.set(Phase::Connect);
            Ok(Box::new(UnixStream::connect(path).await?))
        }
    }
}

/// One that waits; it is counted until it waits no more.
struct Waiting<'l>(&'l Limits);

impl<'l> Waiting<'l> {
    fn among(limits: &'l Limits) -> Option<Self> {
        let waiting = Self(limits);
        let before = limits.queued.fetch_add(1, Ordering::Relaxed);
        (before < limits.max_queue as u64).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}
