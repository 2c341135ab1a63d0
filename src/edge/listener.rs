//! Where clients come in, and how many of them.

use std::{
    collections::HashMap,
    fs, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::{
            fs::FileTypeExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::{
    inherited::Inherited,
    socket_file::{self, SocketFile},
    tls::Spoken,
    worker,
};
use crate::{
    http::downstream::Peer,
    plan::ListenAddress,
    settings::{FileMode, ServerSettings},
};

/// An address that is listened on.
pub struct Opened {
    /// The address as it was asked for: port 0 is any.
    pub asked: ListenAddress,
    /// The address it became.
    pub address: ListenAddress,
    /// What listens there.
    pub listening: Listening,
    /// What is spoken there.
    pub spoken: Spoken,
}

/// A socket that listens.
pub enum Listening {
    /// TCP: one socket for all workers, or one for each.
    Tcp(Vec<TcpListener>),
    /// A unix socket, and its file, which goes with it if it is ours.
    Unix(UnixListener, Option<SocketFile>),
}

/// The same without the file: what a worker accepts at.
pub enum Door {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl Door {
    /// The same door, for one more worker.
    pub fn again(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl AsRawFd for Door {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// How to listen.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Of the file of a unix socket.
    pub mode: Option<FileMode>,
    /// Connections the kernel holds before they are accepted.
    pub backlog: u32,
    /// So many TCP sockets share an address, one for each worker; `None` is one that all workers share.
    pub sockets: Option<usize>,
}

impl Manner {
    /// As the settings say.
    pub fn of(settings: &ServerSettings, mode: Option<FileMode>) -> Self {
        let sockets = settings.reuse_port.then(|| worker::count(settings));
        Self { mode, backlog: settings.backlog, sockets }
    }
}

/// Listens on an address: with the socket that is there for it, or a new one.
pub fn open_or_take(asked: &ListenAddress, manner: Manner, inherited: &Inherited) -> io::Result<Opened> {
    let Some((address, mut listening)) = inherited.take(asked) else { return open(asked, manner) };
    match (&address, &mut listening) {
        (ListenAddress::Unix(path), Listening::Unix(socket, _)) => {
            again(socket, manner)?;
            if let Some(mode) = manner.mode {
                socket_file::permit(path, mode)?;
            }
        }
        (ListenAddress::Tcp(address), Listening::Tcp(sockets)) => {
            sockets.iter().try_for_each(|socket| again(socket, manner))?;
            if sockets.iter().map(|socket| SockRef::from(socket).reuse_port()).all(|reuses| reuses.is_ok_and(|is| is)) {
                complete(sockets, *address, manner)?;
            } else if manner.sockets.is_some() {
                log::warn!(
                    "all workers share one socket at {address}: only a restart opens it anew (server.reuse_port)"
                );
            }
        }
        (ListenAddress::Unix(_), Listening::Tcp(_)) | (ListenAddress::Tcp(_), Listening::Unix(..)) => {}
    }
    Ok(Opened { asked: asked.clone(), address, listening, spoken: Spoken::default() })
}

/// Listens on an address.
pub fn open(asked: &ListenAddress, manner: Manner) -> io::Result<Opened> {
    let (address, listening) = match asked {
        ListenAddress::Tcp(address) => {
            let listener = tcp(*address, manner)?;
            let address = listener.local_addr()?;
            let mut sockets = vec![listener];
            complete(&mut sockets, address, manner)?;
            (ListenAddress::Tcp(address), Listening::Tcp(sockets))
        }
        ListenAddress::Unix(path) => {
            let (listener, file) = unix(path, manner.mode, manner.backlog)?;
            (asked.clone(), Listening::Unix(listener, Some(file)))
        }
    };
    Ok(Opened { asked: asked.clone(), address, listening, spoken: Spoken::default() })
}

/// Listens where somebody did before: what may wait there is otherwise by now.
fn again(socket: impl AsFd, manner: Manner) -> io::Result<()> {
    Ok(rustix::net::listen(socket, manner.backlog.try_into().unwrap_or(i32::MAX))?)
}

/// One for each worker.
fn complete(sockets: &mut Vec<TcpListener>, address: SocketAddr, manner: Manner) -> io::Result<()> {
    while sockets.len() < manner.sockets.unwrap_or_default() {
        sockets.push(tcp(address, manner)?);
    }
    Ok(())
}

/// Listens on a TCP address.
fn tcp(address: SocketAddr, manner: Manner) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(manner.sockets.is_some())?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses: whoever wants both says so.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(manner.backlog.try_into().unwrap_or(i32::MAX))?;
    let listener = socket.into();
    inherited(&listener)?;
    Ok(listener)
}

/// What every connection is to have is set where it is accepted, and costs no call of its own then: on Linux accepted
/// sockets inherit `TCP_NODELAY`.
pub fn inherited(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    SockRef::from(listener).set_tcp_nodelay(true)
}

/// Listens on a unix socket. A file that nobody listens on any more is taken over.
pub fn unix(path: &Path, mode: Option<FileMode>, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        match UnixStream::connect(path) {
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            // Whether somebody does, cannot be known.
            Err(error) => return Err(error),
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::own(path.to_owned());
    if let Some(mode) = mode {
        // As long as nobody listens there nobody can connect, whatever the file's mode was at first.
        socket_file::permit(path, mode)?;
    }
    socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), file))
}

/// How many connections there may be, in all and for each address.
#[derive(Debug)]
pub struct Caps {
    all: AtomicUsize,
    per_address: AtomicUsize,
    open: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// Where there is no place for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// At the whole server.
    Server,
    /// Where it came in.
    Listener,
    /// Among those of its client.
    Address,
}

/// A connection's place among them.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    /// Which client's it is, where each may have so many. In a box: most servers have no such limit.
    address: Option<Box<IpAddr>>,
    /// The same among those who came in where he did.
    here: Option<Box<Place>>,
}

impl Caps {
    /// `per_address` 0 is no limit.
    pub fn new(all: usize, per_address: usize) -> Arc<Self> {
        let (all, per_address) = (AtomicUsize::new(all), AtomicUsize::new(per_address));
        Arc::new(Self { all, per_address, open: AtomicUsize::new(0), by_address: Mutex::default() })
    }

    /// Other ones, for whoever comes next. Who came while there was none for each address, is not counted for his.
    pub fn change(&self, all: usize, per_address: usize) {
        self.all.store(all, Ordering::Relaxed);
        self.per_address.store(per_address, Ordering::Relaxed);
    }

    /// The same as others are.
    pub fn become_like(&self, others: &Self) {
        self.change(others.all.load(Ordering::Relaxed), others.per_address.load(Ordering::Relaxed));
    }

    /// How many there are, in all.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place for one more.
    pub fn enter(self: &Arc<Self>, peer: Peer) -> Result<Place, Full> {
        self.enter_for_another().and_then(|place| place.of(peer))
    }

    /// The same while it is not known whose it is.
    pub fn enter_for_another(self: &Arc<Self>) -> Result<Place, Full> {
        let place = Place { caps: Arc::clone(self), address: None, here: None };
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        if open < self.all.load(Ordering::Relaxed) { Ok(place) } else { Err(Full::Server) }
    }
}

impl Place {
    /// Counts among these, too, unless that is one too many.
    pub fn within(mut self, here: Option<&Arc<Caps>>) -> Result<Self, Full> {
        if let Some(here) = here {
            self.here = Some(Box::new(here.enter_for_another().map_err(|_| Full::Listener)?));
        }
        Ok(self)
    }

    /// Counts for this one from now on, unless that is one too many.
    pub fn of(mut self, peer: Peer) -> Result<Self, Full> {
        let per_address = self.caps.per_address.load(Ordering::Relaxed);
        if let (Peer::Tcp(address), 1..) = (peer, per_address) {
            let network = network(address.ip());
            let mut by_address = self.caps.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let open = by_address.entry(network).or_default();
            if *open >= per_address {
                return Err(Full::Address);
            }
            *open += 1;
            drop(by_address);
            self.address = Some(Box::new(network));
        }
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address.as_deref() {
            let mut by_address = self.caps.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(open) = by_address.get_mut(address) {
                *open -= 1;
                if *open == 0 {
                    by_address.remove(address);
                }
            }
        }
    }
}

/// One client of IPv6 has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::Tcp(SocketAddr::new(address.parse().expect("an address"), 1))
    }

    #[test]
    fn a_place_is_free_again_once_it_was_left() {
        let caps = Caps::new(2, 1);
        let first = caps.enter(peer("192.0.2.1")).expect("a place");
        assert_eq!(caps.enter(peer("192.0.2.1")).err(), Some(Full::Address));
        let _second = caps.enter(peer("192.0.2.2")).expect("a place");
        assert_eq!(caps.enter(peer("192.0.2.3")).err(), Some(Full::Server));
        drop(first);
        assert!(caps.enter(peer("192.0.2.1")).is_ok());
    }

    #[test]
    fn other_limits_hold_for_whoever_comes_next() {
        let caps = Caps::new(1, 0);
        let _first = caps.enter(peer("192.0.2.1")).expect("a place");
        caps.change(3, 1);
        let _second = caps.enter(peer("192.0.2.1")).expect("the first was not counted for its address");
        assert!(caps.enter(peer("192.0.2.1")).is_err());
        caps.change(2, 0);
        assert!(caps.enter(peer("192.0.2.2")).is_err());
    }

    #[test]
    fn a_place_at_a_listener_is_one_in_all() {
        let (all, here) = (Caps::new(9, 0), Caps::new(1, 0));
        let first = all.enter_for_another().and_then(|place| place.within(Some(&here))).expect("a place");
        let another = all.enter_for_another().and_then(|place| place.within(Some(&here)));
        assert_eq!(another.err(), Some(Full::Listener));
        assert_eq!((all.open(), here.open()), (1, 1));
        let _elsewhere = all.enter_for_another().and_then(|place| place.within(None)).expect("a place");
        drop(first);
        assert_eq!((all.open(), here.open()), (1, 0));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let caps = Caps::new(9, 1);
        let _first = caps.enter(peer("2001:db8::1")).expect("a place");
        assert!(caps.enter(peer("2001:db8::ffff")).is_err());
        assert!(caps.enter(peer("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn accepted_connections_do_not_wait_to_fill_a_segment() {
        let listener = tcp(SocketAddr::from(([127, 0, 0, 1], 0)), Manner::of(&ServerSettings::default(), None))
            .expect("a free port");
        let _client = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        let accepted = loop {
            match listener.accept() {
                Ok((accepted, _)) => break accepted,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };

        assert!(accepted.nodelay().expect("a socket"));
    }

    #[test]
    fn a_socket_file_that_was_left_behind_is_taken_over_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).expect("a free path"));

        let (_listener, file) = unix(&path, None, 8).expect("nobody listens there");
        assert_eq!(unix(&path, None, 8).map(drop).expect_err("somebody does").kind(), io::ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());
    }
}
