//! The endpoints behind every peer, in the load's own loop.

mod bytes;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use slab::Slab;

use crate::http::{Buffers, Fault};
use crate::socket::{self, EventFlags, Poller, Ready};

pub use bytes::{Asked, Bytes};

const ACCEPTS_A_TURN: usize = 64;

/// One connection of an endpoint.
pub trait Serve {
    /// What all connections have in common.
    type Shared: Default;

    fn over(socket: OwnedFd) -> Self;

    /// False when the connection has ended.
    fn on_ready(
        &mut self,
        ready: Ready,
        poller: &Poller,
        buffers: &mut Buffers,
        shared: &mut Self::Shared,
    ) -> Result<bool, Fault>;
}

pub struct Backend<C: Serve> {
    pub address: SocketAddr,
    /// Its listener's; those behind it are its connections'.
    token: u64,
    listener: OwnedFd,
    connections: Slab<C>,
    pub shared: C::Shared,
}

impl<C: Serve> Backend<C> {
    pub fn start(token: u64, poller: &Poller) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, token, poller)
    }

    pub fn start_at(at: Ipv4Addr, token: u64, poller: &Poller) -> io::Result<Self> {
        let (listener, address) = socket::listen(SocketAddrV4::new(at, 0).into())?;
        poller.watch(&listener, token, EventFlags::IN)?;
        Ok(Self { address, token, listener, connections: Slab::new(), shared: C::Shared::default() })
    }

    pub fn on_ready(&mut self, ready: Ready, poller: &Poller, buffers: &mut Buffers) -> io::Result<()> {
        if ready.token == self.token {
            return self.accept(poller);
        }
        let key = (ready.token - self.token - 1) as usize;
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        let outcome = connection.on_ready(ready, poller, buffers, &mut self.shared);
        // What goes wrong here shows at the client, which counts it.
        if !matches!(outcome, Ok(true)) {
            self.connections.remove(key);
        }
        Ok(())
    }

    fn accept(&mut self, poller: &Poller) -> io::Result<()> {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(socket) = socket::accept(&self.listener)? else { break };
            let entry = self.connections.vacant_entry();
            poller.watch(&socket, self.token + 1 + entry.key() as u64, EventFlags::IN)?;
            entry.insert(C::over(socket));
        }
        Ok(())
    }
}
