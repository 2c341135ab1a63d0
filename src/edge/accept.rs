//! Accepting: one worker's end of a socket that several of them listen on.

use std::{io, os::fd::OwnedFd};

use rustix::net::{SocketAddrAny, SocketFlags};
use tokio::{
    io::{
        Interest,
        unix::{AsyncFd, AsyncFdReadyGuard},
    },
    net::UnixStream,
};

use super::{line::Line, listener::Door};
use crate::{http::downstream::Peer, transport::dial::Stream as Socket};

/// That somebody may have come.
pub type Came<'l> = AsyncFdReadyGuard<'l, Door>;

/// A worker's end of a door: the worker hears of a connection first and accepts it then, or leaves it to others.
pub struct Listener(AsyncFd<Door>);

impl Listener {
    /// The door is open already.
    pub fn at(door: Door) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "what it asks for instead is unsafe, for types whose descriptor may change; a door owns its one"
        )]
        AsyncFd::with_interest(door, Interest::READABLE).map(Self)
    }

    /// Ready once somebody has come, or may have.
    pub async fn somebody_came(&self) -> io::Result<Came<'_>> {
        self.0.readable().await
    }

    /// Meets those who have come, `most` of them or until `meet` wants no more, and says how many they may have been. To wait for
    /// each would cost as much as to take him in.
    pub fn accept(&self, mut came: Came<'_>, most: u32, mut meet: impl FnMut(Line, Peer) -> bool) -> io::Result<u32> {
        for count in 0..most {
            let wants_more = match came.try_io(|_| self.accept_now()) {
                Ok(Ok((line, peer))) => meet(line, peer),
                Ok(Err(error)) if is_the_clients(&error) => true,
                Ok(Err(error)) => return Err(error),
                // Another worker may have been faster.
                Err(_nobody) => false,
            };
            if !wants_more {
                return Ok(count);
            }
        }
        Ok(most)
    }

    /// Whoever has waited longest; without waiting.
    pub fn accept_now(&self) -> io::Result<(Line, Peer)> {
        let (socket, address) = accept(self.0.get_ref())?;
        Ok(match self.0.get_ref() {
            Door::Tcp(_) => {
                let address = address.ok_or(io::ErrorKind::ConnectionAborted)?.try_into()?;
                (Line::new(socket.into()), Peer::Tcp(address))
            }
            Door::Unix(_) => (Line::Known(Socket::Unix(UnixStream::from_std(socket.into())?)), Peer::Unix),
        })
    }
}

/// A connection that ended before it was met says nothing about the next.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The standard library's way would be a second call, to make the socket one that does not block.
#[cfg(not(target_vendor = "apple"))]
fn accept(door: &Door) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    Ok(rustix::net::acceptfrom_with(door, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?)
}

#[cfg(target_vendor = "apple")]
fn accept(door: &Door) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (socket, address) = rustix::net::acceptfrom(door)?;
    rustix::io::ioctl_fioclex(&socket)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok((socket, address))
}
