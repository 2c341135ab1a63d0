//! Nonblocking TCP on the loopback, and the poller both sides of the load share.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

pub use epoll::EventFlags;

const BACKLOG: i32 = 4096;
const EVENTS: usize = 256;

pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

#[derive(Clone, Copy)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS) })
    }

    pub fn watch(&self, socket: impl AsFd, token: u64, interest: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), interest)?)
    }

    pub fn change(&self, socket: impl AsFd, token: u64, interest: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(token), interest)?)
    }

    /// What is ready now; never sleeps.
    pub fn look(&mut self) -> io::Result<usize> {
        self.collect(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
    }

    /// Sleeps until something is ready, but not for long.
    pub fn doze(&mut self) -> io::Result<usize> {
        self.collect(Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }))
    }

    /// Sleeps until something is ready.
    pub fn wait(&mut self) -> io::Result<usize> {
        self.collect(None)
    }

    pub fn ready(&self, index: usize) -> Ready {
        let epoll::Event { flags, data } = self.events[index];
        // An error or a hang-up shows itself in the read or the write that follows.
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        Ready {
            token: data.u64(),
            readable: broken || flags.contains(EventFlags::IN),
            writable: broken || flags.contains(EventFlags::OUT),
        }
    }

    fn collect(&mut self, timeout: Option<&Timespec>) -> io::Result<usize> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout) {
            Ok(_) => Ok(self.events.len()),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// Begins a connection; a write blocks until it stands.
pub fn connect(to: SocketAddr, receive_buffer: Option<usize>) -> io::Result<OwnedFd> {
    let socket = tcp()?;
    if let Some(size) = receive_buffer {
        sockopt::set_socket_recv_buffer_size(&socket, size)?;
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

pub fn listen(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = tcp()?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    let bound = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((socket, bound))
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    let (_closed_at_once, address) = listen(loopback(0))?;
    Ok(address.port())
}

pub fn loopback(port: u16) -> SocketAddr {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()
}

pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let Some(socket) = unless_blocked(net::accept_with(listener, flags))? else {
        return Ok(None);
    };
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(Some(socket))
}

/// `None`: the socket takes nothing more now.
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    unless_blocked(net::send(socket, bytes, SendFlags::NOSIGNAL))
}

/// `None`: nothing has arrived; 0: the other side has closed.
pub fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<Option<usize>> {
    let received = unless_blocked(net::recv(socket, into, RecvFlags::empty()))?;
    Ok(received.map(|(count, _)| count))
}

/// Takes bytes off the socket without copying them: TCP's `MSG_TRUNC`.
pub fn discard(socket: impl AsFd, into: &mut [u8]) -> io::Result<Option<usize>> {
    let received = unless_blocked(net::recv(socket, into, RecvFlags::TRUNC))?;
    Ok(received.map(|(_, count)| count))
}

fn tcp() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
}

fn unless_blocked<T>(outcome: Result<T, Errno>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
