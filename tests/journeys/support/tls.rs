//! Certificates made for one test, and the two ends of TLS that are not the proxy.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RevokedCertParams, SignatureAlgorithm,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    client::Client,
    wire::{Socket, patiently},
};

/// Somebody whose word is taken for who others are, with a folder for what was said.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        // Another name than those it issues for, which would look as if they had issued themselves.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, folder }
    }

    /// Where all of them are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of this name, as settings name it.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Writes `file.pem` and `file.key` for these names and addresses.
    pub fn issue(&self, file: &str, names: &[&str]) {
        self.issue_by(file, names, &PKCS_ECDSA_P256_SHA256);
    }

    pub fn issue_rsa(&self, file: &str, names: &[&str]) {
        self.issue_by(file, names, &PKCS_RSA_SHA256);
    }

    /// The same for a time: from so long ago to so long from now.
    pub fn issue_for(&self, file: &str, names: &[&str], since: Duration, until: Duration) {
        let mut params = named(names);
        params.not_before = (SystemTime::now() - since).into();
        params.not_after = (SystemTime::now() + until).into();
        self.sign(file, params, &PKCS_ECDSA_P256_SHA256);
    }

    /// Writes the pair of somebody who is called so.
    pub fn introduce(&self, file: &str, name: &str) {
        let mut params = named(&[&format!("{file}.example")]);
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(file, params, &PKCS_ECDSA_P256_SHA256);
    }

    /// Writes `crl.pem` with these certificates, to be believed until then.
    pub fn revoke(&self, files: &[&str], until: Duration) {
        let revoked = files.iter().map(|file| RevokedCertParams {
            serial_number: self.serial(file).into(),
            revocation_time: SystemTime::now().into(),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: (SystemTime::now() - Duration::from_secs(3600)).into(),
            next_update: (SystemTime::now() - Duration::from_secs(1800) + until).into(),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.write("crl.pem", &params.signed_by(&self.issuer).expect("a list").pem().expect("PEM"));
    }

    fn serial(&self, file: &str) -> Vec<u8> {
        let certificate = self.certificate(file);
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).expect("a certificate");
        parsed.raw_serial().to_vec()
    }

    fn issue_by(&self, file: &str, names: &[&str], algorithm: &'static SignatureAlgorithm) {
        self.sign(file, named(names), algorithm);
    }

    fn sign(&self, file: &str, params: CertificateParams, algorithm: &'static SignatureAlgorithm) {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        self.write(&format!("{file}.pem"), &params.signed_by(&key, &self.issuer).expect("a certificate").pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    /// Settings of a listener with these pairs of files.
    pub fn listener(&self, files: &[&str]) -> String {
        format!("listen = [{{ addr = \"127.0.0.1:0\", tls = \"main\" }}]\n{}", self.certificates(files))
    }

    /// Settings of what `tls = "main"` shows.
    pub fn certificates(&self, files: &[&str]) -> String {
        let pairs = files.iter().map(|file| {
            let (cert, key) = (self.path(&format!("{file}.pem")), self.path(&format!("{file}.key")));
            format!("{{ cert = {cert:?}, key = {key:?} }}")
        });
        let pairs = pairs.collect::<Vec<_>>().join(", ");
        format!("tls.main.certificates = [{pairs}]\n")
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("it is an authority");
        roots
    }

    /// A client that believes this authority.
    pub fn client(&self) -> ClientConfig {
        self.client_with(default_provider(), &[&TLS13, &TLS12])
    }

    pub fn client_of(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        self.client_with(default_provider(), &[version])
    }

    pub fn client_with(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(versions).expect("the provider speaks it");
        builder.with_root_certificates(self.roots()).with_no_client_auth()
    }

    /// The same, showing this pair of files.
    pub fn client_as(&self, file: &str) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).expect("the provider speaks it");
        let (chain, key) = self.pair(file);
        builder.with_root_certificates(self.roots()).with_client_auth_cert(chain, key).expect("a pair")
    }

    /// An origin with this pair of files.
    pub fn origin(&self, file: &str) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the provider speaks them");
        let (chain, key) = self.pair(file);
        builder.with_no_client_auth().with_single_cert(chain, key).expect("a pair")
    }

    /// The same, for those alone who show a certificate of this authority.
    pub fn origin_for_known(&self, file: &str) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), Arc::clone(&provider));
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("the provider speaks them");
        let (chain, key) = self.pair(file);
        let builder = builder.with_client_cert_verifier(verifier.build().expect("a verifier"));
        builder.with_single_cert(chain, key).expect("a pair")
    }

    fn pair(&self, file: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = vec![self.certificate(file)];
        let key = PathBuf::from(self.path(&format!("{file}.key")));
        (chain, PrivateKeyDer::from_pem_file(key).expect("a key"))
    }

    /// The certificate in `file.pem`.
    pub fn certificate(&self, file: &str) -> CertificateDer<'static> {
        let path = PathBuf::from(self.path(&format!("{file}.pem")));
        CertificateDer::from_pem_file(path).expect("a certificate")
    }
}

fn named(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names")
}

/// A handshake with whoever listens there, asking for this name.
pub async fn shake_hands(address: SocketAddr, name: &str, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let socket = patiently("a connection", TcpStream::connect(address)).await?;
    shake_hands_on(socket, name, config).await
}

/// The same on a connection on which something else was said first.
pub async fn shake_hands_on(socket: TcpStream, name: &str, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    patiently("a handshake", connector.connect(name, socket)).await
}

/// A client behind a handshake.
pub async fn connect(address: SocketAddr, name: &str, config: ClientConfig) -> Client {
    over(shake_hands(address, name, config).await.expect("they agree"))
}

pub fn over(stream: TlsStream<TcpStream>) -> Client {
    Client::over(Socket::Tls(Box::new(stream.into())))
}

/// The certificate that a client was shown.
pub fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let chain = stream.get_ref().1.peer_certificates().expect("the handshake is over");
    chain.first().expect("there is one").clone().into_owned()
}
