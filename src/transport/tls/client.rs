//! TLS to endpoints: whom we believe, who we say we are, and the handshake.

use std::{
    fmt, io,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    HTTP_1_1, HTTP_2, MOST_UNSENT,
    identity::{self, FileError, Identity},
    validity::Validity,
};
use crate::{
    settings::{tls::CertificateFiles, upstream::EndpointTls},
    transport::dial::{Offer, Stream},
};

/// What the endpoints of one upstream have in common. Sessions are resumed within it and nowhere else.
pub struct ClientTls {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    either: Arc<ClientConfig>,
    written: EndpointTls,
    /// What the files held: the same settings may stand for other certificates later.
    authorities: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    validity: Option<Validity>,
}

/// The same for one endpoint, with the name it must prove.
pub struct Profile {
    tls: Arc<ClientTls>,
    name: ServerName<'static>,
}

/// What is wrong with the settings, and the key it is wrong at.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// A file of certificates, or a key.
    #[error("{}", source.in_full())]
    File {
        /// `ca`, `cert` or `key`.
        key: &'static str,
        /// What is wrong with it.
        source: FileError,
    },
    /// Nobody is believed here.
    #[error("this machine has no root certificates to believe an endpoint by")]
    NoRoots,
}

impl ClientTls {
    /// Reads what the settings name. What they say is sensible has been seen to.
    ///
    /// # Errors
    /// The first file that is wrong.
    pub fn of(written: &EndpointTls) -> Result<Self, ClientTlsError> {
        let in_file = |key| move |source| ClientTlsError::File { key, source };
        let authorities = match &written.ca {
            Some(file) => Some(identity::authorities(file).map_err(in_file("ca"))?),
            None => None,
        };
        let (authorities, roots) = authorities.unzip();
        let identity = match (&written.cert, &written.key) {
            (Some(cert), Some(key)) => {
                let files = CertificateFiles { cert: cert.clone(), key: key.clone() };
                let read = Identity::read(&files);
                Some(read.map_err(|source| ClientTlsError::File { key: source.setting(&files), source })?)
            }
            _ => None,
        };
        let provider = super::provider();
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = versions.expect("the provider has suites for both versions");
        let believing = if written.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        } else {
            builder.with_root_certificates(roots.map_or_else(system_roots, |roots| Ok(Arc::new(roots)))?)
        };
        let own = identity.as_ref().map(|identity| (identity.certified.cert.clone(), identity.validity));
        let (chain, validity) = own.unzip();
        let config = match identity {
            Some(identity) => believing.with_client_cert_resolver(Arc::new(Always(identity.certified))),
            None => believing.with_no_client_auth(),
        };
        // They share what is needed to resume sessions.
        let offering = |offered: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            http1: offering(&[HTTP_1_1]),
            http2: offering(&[HTTP_2]),
            either: offering(&[HTTP_2, HTTP_1_1]),
            written: written.clone(),
            authorities: authorities.unwrap_or_default(),
            chain: chain.unwrap_or_default(),
            validity,
        })
    }
}

impl Profile {
    /// For an endpoint of this name, or address; `None` if no certificate can be for it.
    pub fn named(tls: Arc<ClientTls>, name: &str) -> Option<Self> {
        ServerName::try_from(name.to_owned()).ok().map(|name| Self { tls, name })
    }

    /// When the certificate holds that the endpoint is shown, if there is one.
    pub fn validity(&self) -> Option<Validity> {
        self.tls.validity
    }

    /// A certificate can be for it.
    pub fn can_be_for(name: &str) -> bool {
        ServerName::try_from(name).is_ok()
    }

    /// Makes a new connection one that nobody else reads.
    ///
    /// # Errors
    /// The endpoint is not who it must be, or does not speak TLS as we do, or nothing of what it is offered.
    pub async fn shake_hands(&self, stream: TcpStream, offer: Offer) -> io::Result<Stream> {
        let config = match offer {
            Offer::Http1 => &self.tls.http1,
            Offer::Http2 => &self.tls.http2,
            Offer::Either => &self.tls.either,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let limit = |connection: &mut rustls::ClientConnection| connection.set_buffer_limit(Some(MOST_UNSENT));
        let stream = connector.connect_with(self.name.clone(), stream, limit).await?;
        let stream = Stream::Tls(Box::new(stream.into()));
        if offer == Offer::Http2 && !stream.speaks_http2() {
            return Err(io::Error::other("the endpoint has not chosen HTTP/2 (ALPN `h2`)"));
        }
        Ok(stream)
    }

    /// The same for somebody who does not speak HTTP.
    ///
    /// # Errors
    /// It is not who it must be, or does not speak TLS as we do.
    pub async fn secure(
        &self,
        stream: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static + use<>> {
        let mut config = ClientConfig::clone(&self.tls.http1);
        config.alpn_protocols.clear();
        TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream).await
    }
}

/// The same name, by the same certificates, under the same settings: connections of one are as good for the other.
impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.tls.written == other.tls.written
            && self.tls.authorities == other.tls.authorities
            && self.tls.chain == other.tls.chain
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).finish_non_exhaustive()
    }
}

fn system_roots() -> Result<Arc<RootCertStore>, ClientTlsError> {
    let roots = Arc::clone(&SYSTEM_ROOTS);
    if roots.is_empty() { Err(ClientTlsError::NoRoots) } else { Ok(roots) }
}

/// Read when the first upstream needs them, which is when a plan is drawn.
static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("root certificates of this machine: {error}");
    }
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    if unusable > 0 {
        log::debug!("{unusable} root certificates of this machine cannot be used");
    }
    Arc::new(roots)
});

/// Shows the one certificate there is to whoever asks for one.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes whatever certificate it is shown; that the other side has its key is still asked for.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
