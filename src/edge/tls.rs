//! TLS with clients: a certificate for the name they ask for, and a handshake that is over in time.

use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    CipherSuite, HandshakeKind, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs::Ticketer},
    server::{Acceptor, ServerConnection},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, TlsAcceptor};

pub use self::validation::Validating;
use self::{directory::Directory, validation::Validations};
use super::h1::{LINGER, head::Head};
use crate::{
    http::{ClientCertificate, header},
    plan::ListenerTls,
    settings::tls::TlsVersion,
    transport::{
        dial::Stream as Socket,
        tls::{HTTP_1_1, MOST_UNSENT, holder, identity::FileError},
    },
};

mod directory;
mod validation;

/// What listeners show their clients: cheap to clone, shared by all workers, replaced as a whole by
/// [`Certificates::reload`].
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    shown: RwLock<Arc<Shown>>,
    validations: Validations,
}

/// What is spoken at an address. All workers who stand there look here when somebody comes.
#[derive(Clone)]
pub struct Speaks(Arc<RwLock<Spoken>>);

/// What is spoken with somebody who comes.
#[derive(Clone)]
pub struct Spoken {
    /// What he is shown, where TLS is spoken.
    pub certificates: Option<Certificates>,
    /// The newest protocol.
    pub newest: Protocol,
}

impl Speaks {
    /// As at first.
    pub fn of(spoken: Spoken) -> Self {
        Self(Arc::new(RwLock::new(spoken)))
    }

    /// For whoever comes now.
    pub fn now(&self) -> Spoken {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For whoever comes from now on; open connections go on as they are.
    pub fn from_now_on(&self, spoken: Spoken) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = spoken;
    }
}

/// What is shown now.
struct Shown {
    tls: ListenerTls,
    directory: Arc<Directory>,
    config: Arc<ServerConfig>,
    /// The same without HTTP/2.
    config_of_http1: Arc<ServerConfig>,
}

/// What is shown after a reload.
pub(super) struct Next {
    certificates: Certificates,
    shown: Shown,
}

/// A certificate that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What the settings call the certificates it is one of: `main` for `[tls.main]`.
    pub tls: String,
    /// The DNS names it covers.
    pub names: Vec<String>,
    /// The addresses it covers.
    pub addresses: Vec<IpAddr>,
    /// When it ends.
    pub not_after: SystemTime,
    /// The file it is from.
    pub source: PathBuf,
}

/// Why certificates are the same as before.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A file is wrong.
    #[error("{}", .0.in_full())]
    File(#[from] FileError),
    /// This machine has no randomness to encrypt with.
    #[error("no new keys for tickets")]
    Randomness(#[from] io::Error),
}

/// What was agreed on with a client.
pub struct Greeted {
    /// What it speaks from here on.
    pub protocol: Protocol,
    /// Who it is, if clients are asked for certificates.
    pub client: Option<Arc<ClientCertificate>>,
    /// The host it asked for, in lower case.
    asked_for: Option<Box<str>>,
    certificates: Certificates,
}

/// What is spoken inside TLS. Another one is another variant, and another entry in the list of what is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, also for whoever says nothing of it.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Certificates {
    /// Those of a plan.
    ///
    /// # Errors
    /// This machine has no randomness to encrypt with.
    pub fn of(tls: &ListenerTls) -> io::Result<Self> {
        let shown = RwLock::new(Arc::new(Shown::of(tls.clone())?));
        Ok(Self(Arc::new(Inner { shown, validations: Validations::default() })))
    }

    /// The same: made once for each name, and shared by all listeners that show it.
    ///
    /// # Errors
    /// As [`Certificates::of`].
    pub fn once(known: &mut HashMap<String, Self>, tls: &ListenerTls) -> io::Result<Self> {
        if let Some(known) = known.get(&tls.name) {
            return Ok(known.clone());
        }
        let certificates = Self::of(tls)?;
        known.insert(tls.name.clone(), certificates.clone());
        Ok(certificates)
    }

    /// Those of another plan, for whoever connects once they are [shown](Next::show).
    pub(super) fn next(&self, tls: &ListenerTls) -> io::Result<Next> {
        let before = self.shown();
        let shown = if before.knows_clients_of(tls) { before.with(tls.clone()) } else { Shown::of(tls.clone())? };
        Ok(Next { certificates: self.clone(), shown })
    }

    fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.0.shown.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Next {
    /// From now on.
    pub(super) fn show(self) {
        *self.certificates.0.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(self.shown);
    }
}

impl Shown {
    fn of(tls: ListenerTls) -> io::Result<Self> {
        let directory = Arc::new(Directory::of(tls.identities.clone()));
        let versions: &[&SupportedProtocolVersion] = match tls.settings.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(suites_in_order());
        let builder = builder.with_protocol_versions(versions).map_err(io::Error::other)?;
        let builder = match &tls.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&directory) as _);
        // Of suites that are all good the cheapest that both have, rather than the client's favourite.
        config.ignore_client_order = true;
        // Tickets keep nothing here for each client, and whichever worker he comes back to can read them.
        config.ticketer = Ticketer::new().map_err(io::Error::other)?;
        Ok(Self::showing(tls, directory, config))
    }

    fn showing(tls: ListenerTls, directory: Arc<Directory>, config: ServerConfig) -> Self {
        let offering = |protocols: &[Protocol]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.name().to_vec()).collect();
            Arc::new(config)
        };
        let (all, http1) = (offering(&Protocol::ALL), offering(&[Protocol::Http1]));
        Self { tls, directory, config: all, config_of_http1: http1 }
    }

    /// The same with others to show: whoever comes back with a ticket is known.
    fn with(&self, tls: ListenerTls) -> Self {
        let directory = Arc::new(Directory::of(tls.identities.clone()));
        let mut config = (*self.config).clone();
        config.cert_resolver = Arc::clone(&directory) as _;
        Self::showing(tls, directory, config)
    }

    fn config(&self, newest: Protocol) -> Arc<ServerConfig> {
        Arc::clone(match newest {
            Protocol::Http1 => &self.config_of_http1,
            Protocol::Http2 => &self.config,
        })
    }

    /// Who it is that was let in.
    fn client(&self, connection: &ServerConnection) -> io::Result<Option<Arc<ClientCertificate>>> {
        let Some(clients) = &self.tls.clients else { return Ok(None) };
        let chain = connection.peer_certificates().unwrap_or_default();
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            clients.verify_again(chain).map_err(io::Error::other)?;
        }
        let Some(own) = chain.first() else { return Ok(None) };
        let unreadable = || io::Error::other("the client's certificate cannot be read, or says too much");
        holder::read(own).map(|read| Some(Arc::new(read))).ok_or_else(unreadable)
    }

    /// Who was let in here may come back there: nobody else is let in, and nothing older is spoken.
    fn knows_clients_of(&self, tls: &ListenerTls) -> bool {
        let are_same = match (&self.tls.clients, &tls.clients) {
            (None, None) => true,
            (Some(these), Some(those)) => these.are_same(those),
            _ => false,
        };
        are_same && self.tls.settings.min_version == tls.settings.min_version
    }
}

impl Certificates {
    /// What the settings call them: `main` for `[tls.main]`.
    pub fn name(&self) -> String {
        self.shown().tls.name.clone()
    }

    /// They are one and the same: what reloads one of them reloads the other.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Reads the same files again, for whoever connects from now on; open connections go on as they are. The files are
    /// read where this is called: not on a worker.
    ///
    /// # Errors
    /// Which file is wrong; the certificates are the same as before then, all of them.
    pub fn reload(&self) -> Result<(), ReloadError> {
        let tls = self.shown().tls.again()?;
        for notice in tls.held().iter().filter_map(|held| held.notice(SystemTime::now())) {
            log::warn!("{notice}");
        }
        self.next(&tls)?.show();
        Ok(())
    }

    /// What is shown now, for whoever wants to know how long it holds.
    pub fn status(&self) -> Vec<Status> {
        let tls = &self.shown().tls;
        let status = tls.identities.iter().map(|identity| Status {
            tls: tls.name.clone(),
            names: identity.names.clone(),
            addresses: identity.addresses.clone(),
            not_after: identity.validity.not_after,
            source: identity.source.clone(),
        });
        status.collect()
    }

    /// Shakes hands with whoever has connected, and offers the `newest` protocol with what is older; `None` if nothing
    /// came of it within `limit`.
    pub async fn greet(&self, socket: Socket, newest: Protocol, limit: Option<Duration>) -> Option<(Socket, Greeted)> {
        let Socket::Tcp(socket) = socket else { return None };
        let greeting = self.shake_hands(socket, newest);
        let greeted = match limit {
            Some(limit) => tokio::time::timeout(limit, greeting).await,
            None => Ok(greeting.await),
        };
        match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(error)) => {
                log::debug!("no TLS with a client: {error}");
                None
            }
            Err(_) => {
                log::debug!("no TLS with a client in time");
                None
            }
        }
    }

    async fn shake_hands(&self, socket: TcpStream, newest: Protocol) -> io::Result<Option<(Socket, Greeted)>> {
        let mut first = [0];
        socket.peek(&mut first).await?;
        if first[0].is_ascii_alphabetic() {
            return tell_in_the_clear(socket).await.map(|()| None);
        }
        let shown = self.shown();
        let config = shown.config(newest);
        let limit = |connection: &mut ServerConnection| connection.set_buffer_limit(Some(MOST_UNSENT));
        let stream = if self.0.validations.are_none() {
            TlsAcceptor::from(config).accept_with(socket, limit).await?
        } else {
            let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            if let Some(answer) = self.0.validations.config(&start.client_hello()) {
                return validate(start, answer).await.map(|()| None);
            }
            start.into_stream_with(config, limit).await?
        };
        let connection = stream.get_ref().1;
        let greeted = Greeted {
            protocol: Protocol::agreed(connection.alpn_protocol()),
            client: shown.client(connection)?,
            asked_for: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
            certificates: self.clone(),
        };
        Ok(Some((Socket::Tls(Box::new(stream.into())), greeted)))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Greeted {
    /// The request is for a host that no certificate here covers, though the client knows how to ask for one. A browser
    /// uses a connection for every host that the certificate it was shown covers; those are let through.
    pub fn is_misdirected(&self, head: &Head) -> bool {
        let Some(asked_for) = &self.asked_for else { return false };
        let host = match head.uri.authority() {
            Some(authority) => authority.as_str(),
            // A request without a host, or with one that cannot be read, is refused for that.
            None => match head.headers.get(header::HOST).map(|host| host.to_str()) {
                Some(Ok(host)) => host,
                _ => return false,
            },
        };
        let name = without_port(host);
        if name.eq_ignore_ascii_case(asked_for) {
            return false;
        }
        let shown = self.certificates.shown();
        let directory = &shown.directory;
        directory.has_names() && !directory.covers(name)
    }
}

/// The cryptography of every connection, the suites with AES-128 first: it is as safe as they need to be, and costs
/// least.
fn suites_in_order() -> Arc<CryptoProvider> {
    let mut provider = (*crate::transport::tls::provider()).clone();
    let costs_more = |suite: &SupportedCipherSuite| {
        use CipherSuite::{
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256,
        };
        !matches!(
            suite.suite(),
            TLS13_AES_128_GCM_SHA256 | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    // A stable sort: the rest stays in the library's order.
    provider.cipher_suites.sort_by_key(costs_more);
    Arc::new(provider)
}

/// `name:80` or `[::1]:80` without what follows the name, and without a dot at its end.
fn without_port(host: &str) -> &str {
    if let Some(literal) = host.strip_prefix('[') {
        return literal.split(']').next().unwrap_or(literal);
    }
    let name = host.split(':').next().unwrap_or(host);
    name.strip_suffix('.').unwrap_or(name)
}

impl Protocol {
    /// What is offered, the best first.
    const ALL: [Self; 2] = [Self::Http2, Self::Http1];

    /// As ALPN calls it.
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => HTTP_1_1,
            Self::Http2 => b"h2",
        }
    }

    fn agreed(name: Option<&[u8]>) -> Self {
        Self::ALL.into_iter().find(|protocol| Some(protocol.name()) == name).unwrap_or(Self::Http1)
    }
}

/// A directory of certificates asks: the handshake is the answer.
async fn validate(start: StartHandshake<TcpStream>, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut stream = start.into_stream(config).await?;
    stream.shutdown().await
}

/// Bytes that are read of what a client still sends; it may be in the middle of an upload.
const MOST_HEARD: u64 = 1024 * 1024;

/// Says in the client's own words what is wrong. What it sends is read, because closing before that would reset the
/// connection, and take the answer back.
async fn tell_in_the_clear(mut socket: TcpStream) -> io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
        content-length: 45\r\nconnection: close\r\n\r\nthis port speaks HTTPS: begin with https://\r\n";
    socket.write_all(ANSWER).await?;
    socket.shutdown().await?;
    let (mut rest, mut nowhere) = (socket.take(MOST_HEARD), tokio::io::sink());
    // Whoever has not read the answer by then does not want it.
    match tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere)).await {
        Ok(heard) => heard.map(drop),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_its_port() {
        for (host, name) in
            [("a.example:443", "a.example"), ("a.example.", "a.example"), ("[::1]:443", "::1"), ("[::1]", "::1")]
        {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn whoever_agrees_on_nothing_speaks_http_1_1() {
        assert_eq!(Protocol::agreed(None), Protocol::Http1);
        assert_eq!(Protocol::agreed(Some(b"http/1.1")), Protocol::Http1);
        assert_eq!(Protocol::agreed(Some(b"h2")), Protocol::Http2);
    }
}
