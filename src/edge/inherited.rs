//! Sockets that somebody else has opened: the process whose place we take, or a service manager.

use std::{
    fmt, io,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockRef, Type};

use super::{
    listener::{self, Listening},
    socket_file::{Duty, SocketFile},
};
use crate::plan::ListenAddress;

/// Who comes in at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Clients of the proxy.
    Clients,
    /// Those who run it.
    Operators,
}

/// A socket on its way from one process to another.
#[derive(Debug)]
pub struct Passed {
    /// Who comes in there.
    pub purpose: Purpose,
    /// The address as the settings had it: port 0 is any.
    pub asked: ListenAddress,
    /// Listens there.
    pub socket: OwnedFd,
    /// The file of a unix socket is removed by whoever has the socket last.
    pub has_file: bool,
}

/// Sockets to listen on, each for whoever asks for its address first. Cheap to clone.
#[derive(Clone)]
pub struct Inherited {
    left: Arc<Mutex<Left>>,
    purpose: Purpose,
}

struct Left {
    sockets: Vec<Inheritance>,
    duty: Duty,
}

/// One of them.
struct Inheritance {
    purpose: Purpose,
    asked: ListenAddress,
    /// The address it is.
    address: ListenAddress,
    /// What listens there.
    listening: Listening,
}

impl Inherited {
    /// None: every address is listened on anew.
    pub fn nothing() -> Self {
        Self::left_by(Vec::new(), Duty::of_another())
    }

    /// These. Until [`Inherited::settle`] their files are up to somebody else.
    ///
    /// # Errors
    /// One of them is no socket that listens.
    pub fn of(passed: Vec<Passed>) -> io::Result<Self> {
        let duty = Duty::of_another();
        let sockets = passed.into_iter().map(|passed| Inheritance::of(passed, &duty)).collect::<io::Result<_>>()?;
        Ok(Self::left_by(sockets, duty))
    }

    fn left_by(sockets: Vec<Inheritance>, duty: Duty) -> Self {
        Self { left: Arc::new(Mutex::new(Left { sockets, duty })), purpose: Purpose::Clients }
    }

    /// The same, as it is to be asked for those where operators come in.
    #[must_use]
    pub fn for_operators(&self) -> Self {
        Self { left: Arc::clone(&self.left), purpose: Purpose::Operators }
    }

    /// The one for this address: it was asked for in the same words to the same end, so that any free port stays what it
    /// became; or it has this address, whatever for. Where workers had one each, they are one.
    pub(super) fn take(&self, asked: &ListenAddress) -> Option<(ListenAddress, Listening)> {
        let sockets = &mut self.left().sockets;
        let find = |is: &dyn Fn(&Inheritance) -> bool| sockets.iter().position(is);
        let is_meant = |socket: &Inheritance| socket.purpose == self.purpose && socket.asked == *asked;
        let found = find(&is_meant).or_else(|| find(&|socket| socket.address == *asked))?;
        let Inheritance { address, mut listening, .. } = sockets.remove(found);
        if let Listening::Tcp(all) = &mut listening {
            for another in sockets.extract_if(.., |socket| socket.address == address) {
                if let Listening::Tcp(another) = another.listening {
                    all.extend(another);
                }
            }
        }
        Some((address, listening))
    }

    /// The place is ours: what nobody has asked for is closed, and its addresses are told.
    pub fn settle(&self) -> Vec<ListenAddress> {
        let mut left = self.left();
        left.duty.take();
        let mut addresses: Vec<_> = left.sockets.drain(..).map(|socket| socket.address).collect();
        addresses.dedup();
        addresses
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inheritance {
    fn of(passed: Passed, duty: &Duty) -> io::Result<Self> {
        let Passed { purpose, asked, socket, has_file } = passed;
        let is = SockRef::from(&socket);
        if is.r#type()? != Type::STREAM || !is.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("nothing listens on {asked}")));
        }
        if is.domain()? != Domain::UNIX {
            let listener = TcpListener::from(socket);
            listener::inherited(&listener)?;
            let address = ListenAddress::Tcp(listener.local_addr()?);
            return Ok(Self { purpose, asked, address, listening: Listening::Tcp(vec![listener]) });
        }
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        let path = match &asked {
            ListenAddress::Unix(path) if has_file => Some(SocketFile::with(path.clone(), duty)),
            _ => None,
        };
        Ok(Self { purpose, address: asked.clone(), asked, listening: Listening::Unix(listener, path) })
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.left().sockets.iter().map(|socket| &socket.address)).finish()
    }
}
