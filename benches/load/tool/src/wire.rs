//! A connection as clients and endpoints see it: bytes as they are, or through TLS.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustls::pki_types::CertificateDer;

use crate::cases::Case;
use crate::socket;
use crate::tls::{Handshakes, Session, Tls};

/// Takes and gives bytes without waiting.
pub trait Wire {
    /// `None`: nothing more is taken now.
    fn send(&mut self, bytes: &[u8]) -> io::Result<Option<usize>>;
    /// `None`: nothing has arrived; 0: the other side has closed.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>>;
    /// The same, for bytes nobody looks at.
    fn discard(&mut self, into: &mut [u8]) -> io::Result<Option<usize>>;
    /// True when all that was sent is with the kernel.
    fn flush(&mut self) -> io::Result<bool>;
}

/// Where clients connect to, and how.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Option<Rc<Tls>>,
}

/// A client's end of a connection.
pub enum Line {
    Plain(OwnedFd),
    // A session is large; clients are often plain.
    Secure(Box<Session>),
}

impl Target {
    /// As clients of a case do; where there is TLS they are to see this certificate.
    pub fn of(case: &Case, address: SocketAddr, shown: &CertificateDer<'static>) -> io::Result<Self> {
        let tls = match case.is_secure() {
            true => Some(Rc::new(Tls::new(shown, case.protocol(), case.resumption())?)),
            false => None,
        };
        Ok(Self { address, tls })
    }

    /// Begins a connection; a write blocks until it stands.
    pub fn connect(&self) -> io::Result<Line> {
        let socket = socket::connect(self.address, None)?;
        match &self.tls {
            None => Ok(Line::Plain(socket)),
            Some(tls) => Ok(Line::Secure(Box::new(Session::begin(tls, socket)?))),
        }
    }

    pub fn handshakes(&self) -> Handshakes {
        self.tls.as_ref().map_or_else(Handshakes::default, |tls| tls.handshakes())
    }
}

impl Wire for OwnedFd {
    fn send(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        socket::send(&*self, bytes)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        socket::receive(&*self, into)
    }

    fn discard(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        socket::discard(&*self, into)
    }

    fn flush(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Wire for Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Plain(socket) => socket.send(bytes),
            Self::Secure(session) => session.send(bytes),
        }
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Plain(socket) => socket.receive(into),
            Self::Secure(session) => session.receive(into),
        }
    }

    fn discard(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Plain(socket) => socket.discard(into),
            Self::Secure(session) => session.receive(into),
        }
    }

    fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Secure(session) => session.flush(),
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Secure(session) => session.as_fd(),
        }
    }
}
