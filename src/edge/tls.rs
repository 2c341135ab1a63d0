//! TLS with clients: a certificate for the name they ask for, and a handshake that is over in time.

use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    CipherSuite, CommonState, HandshakeKind, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs::Ticketer},
    version::{TLS12, TLS13},
};

use self::{directory::Directory, validation::Validations};
pub use self::{greeting::Greeted, validation::Validating};
use super::{counts::Counts, listener::Caps, proxy_protocol::Senders};
use crate::{
    http::ClientCertificate,
    plan::ListenerTls,
    settings::{listener::ListenerTimeouts, tls::TlsVersion},
    transport::tls::{HTTP_1_1, HTTP_2, holder, identity::FileError},
};

mod directory;
mod greeting;
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
    /// Those who say first whose connection it is.
    pub senders: Option<Arc<Senders>>,
    /// How many may come in there.
    pub room: Option<Arc<Caps>>,
    /// How long he is waited for, where that differs from the server's.
    pub timeouts: Option<Arc<ListenerTimeouts>>,
    /// What is counted there.
    pub counts: Arc<Counts>,
}

impl Default for Spoken {
    fn default() -> Self {
        let (newest, counts) = (Protocol::Http2, Arc::default());
        Self { certificates: None, newest, senders: None, room: None, timeouts: None, counts }
    }
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
    pub fn from_now_on(&self, mut spoken: Spoken) {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let (Some(room), Some(next)) = (&now.room, &mut spoken.room) {
            // Whoever is there is still counted.
            room.become_like(next);
            *next = Arc::clone(room);
        }
        spoken.counts = Arc::clone(&now.counts);
        *now = spoken;
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
        // Records are ours once hands were shaken.
        config.enable_secret_extraction = true;
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
    fn client(&self, connection: &CommonState) -> io::Result<Option<Arc<ClientCertificate>>> {
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
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("name", &self.name()).finish_non_exhaustive()
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

impl Protocol {
    /// What is offered, the best first.
    const ALL: [Self; 2] = [Self::Http2, Self::Http1];

    /// As ALPN calls it.
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => HTTP_1_1,
            Self::Http2 => HTTP_2,
        }
    }

    fn agreed(name: Option<&[u8]>) -> Self {
        Self::ALL.into_iter().find(|protocol| Some(protocol.name()) == name).unwrap_or(Self::Http1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_agrees_on_nothing_speaks_http_1_1() {
        assert_eq!(Protocol::agreed(None), Protocol::Http1);
        assert_eq!(Protocol::agreed(Some(b"http/1.1")), Protocol::Http1);
        assert_eq!(Protocol::agreed(Some(b"h2")), Protocol::Http2);
    }
}
