//! A place among the connections to an endpoint, and a new connection for it.

use std::{cell::Cell, sync::Arc};

use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    http::Io,
    transport::{
        Cause, Phase, Target, Timeouts,
        dial::{Offer, dial},
        pool::{Limits, Queued},
    },
};

/// A connection with the place it takes.
pub struct Placed {
    pub io: Box<dyn Io>,
    pub place: OwnedSemaphorePermit,
}

/// A new connection, within the limits of number and time; or how far it came.
pub async fn connect(to: &Target, preamble: Option<&[u8]>, timeouts: Timeouts) -> Result<Placed, (Phase, Cause)> {
    let phase = Cell::new(Phase::Queue);
    let connecting = async {
        let place = place(&to.pool).await?;
        let io = dial(to, Offer::Http1, preamble, &phase).await.map_err(Cause::Io)?;
        Ok(Placed { io: Box::new(io), place })
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
    let _queued = Queued::enter(limits).ok_or(Cause::Full)?;
    // Connections may be idle elsewhere from before a reload, when the upstream had another transport.
    limits.wanted.notify_waiters();
    // Nobody closes it; if somebody did, there would be no more connections.
    Arc::clone(&limits.total).acquire_owned().await.map_err(|_| Cause::Full)
}
