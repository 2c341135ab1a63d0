//! TLS 1.3 as all clients of all peers speak it: one suite, one group, so that nobody is measured at another level.

mod certificate;
mod pinned;
#[cfg(test)]
mod tests;
mod tickets;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::Resumption as Memory;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, version};

use crate::socket;
use crate::wire::Wire;
use pinned::Pinned;
use tickets::Tickets;

pub use certificate::{Certificate, NAME};

#[derive(Clone, Copy)]
pub enum Resumption {
    Never,
    Always,
}

/// What the clients of one crowd share.
pub struct Tls {
    config: Arc<ClientConfig>,
    handshakes: Cell<Handshakes>,
}

/// How many began anew, and how many resumed a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshakes {
    pub full: u64,
    pub resumed: u64,
}

/// The client's end of one connection.
pub struct Session {
    socket: OwnedFd,
    connection: ClientConnection,
    shared: Rc<Tls>,
    is_new: bool,
}

impl Tls {
    /// For a peer that shows this certificate, and speaks this protocol behind it.
    pub fn new(certificate: &CertificateDer<'static>, protocol: &str, resumption: Resumption) -> io::Result<Self> {
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned::to(certificate)))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        config.resumption = match resumption {
            Resumption::Never => Memory::disabled(),
            Resumption::Always => Memory::store(Arc::new(Tickets::default())),
        };
        Ok(Self { config: Arc::new(config), handshakes: Cell::default() })
    }

    pub fn handshakes(&self) -> Handshakes {
        self.handshakes.get()
    }
}

impl Handshakes {
    pub fn since(self, earlier: Self) -> Self {
        Self { full: self.full - earlier.full, resumed: self.resumed - earlier.resumed }
    }
}

impl Session {
    pub fn begin(shared: &Rc<Tls>, socket: OwnedFd) -> io::Result<Self> {
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&shared.config), name).map_err(io::Error::other)?;
        Ok(Self { socket, connection, shared: Rc::clone(shared), is_new: true })
    }

    fn note_handshake(&mut self) -> io::Result<()> {
        if !self.is_new || self.connection.is_handshaking() {
            return Ok(());
        }
        self.is_new = false;
        let offered = self.shared.config.alpn_protocols.first().map(Vec::as_slice);
        if self.connection.alpn_protocol() != offered {
            return Err(io::Error::other("did not agree on the protocol it was asked for"));
        }
        let mut made = self.shared.handshakes.get();
        match self.connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => made.resumed += 1,
            Some(HandshakeKind::Full) => made.full += 1,
            Some(HandshakeKind::FullWithHelloRetryRequest) | None => {
                return Err(io::Error::other("made the handshake longer than need be"));
            }
        }
        self.shared.handshakes.set(made);
        Ok(())
    }
}

impl Wire for Session {
    fn send(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let taken = self.connection.writer().write(bytes)?;
        self.flush()?;
        Ok(if taken == 0 && !bytes.is_empty() { None } else { Some(taken) })
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.connection.reader().read(into) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match self.connection.read_tls(&mut Bare(&self.socket)) {
                Ok(0) => return Ok(Some(0)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            self.connection.process_new_packets().map_err(io::Error::other)?;
            self.note_handshake()?;
            self.flush()?;
        }
    }

    fn discard(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.receive(into)
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Bare(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The socket below, as rustls wants it.
struct Bare<'s>(&'s OwnedFd);

impl Read for Bare<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        socket::receive(self.0, into)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Bare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        socket::send(self.0, bytes)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
