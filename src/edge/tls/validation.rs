//! Handshakes by which a directory of certificates finds out whether a domain is ours: tls-alpn-01 (RFC 8737).

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::PrivatePkcs8KeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::Certificates;
use crate::transport::tls::provider;

/// What is spoken with a directory, and with nobody else.
const ACME: &[u8] = b"acme-tls/1";

/// Domains that are asked for just now, and what is said of each. Nobody is asked for a certificate there, and nothing
/// but a handshake comes of it.
#[derive(Default)]
pub struct Validations(RwLock<HashMap<String, Arc<ServerConfig>>>);

/// One of them is answered until this is dropped.
#[derive(Debug)]
pub struct Validating {
    certificates: Certificates,
    domain: String,
}

impl Validations {
    /// Nobody asks for any.
    pub fn are_none(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What to say, if it is a directory that asks, and for one of them.
    pub fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if !hello.alpn()?.eq([ACME]) {
            return None;
        }
        let domain = hello.server_name()?.to_ascii_lowercase();
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&domain).cloned()
    }
}

impl Certificates {
    /// Says to directories that the domain is ours: `digest` is that of the key authorization.
    ///
    /// # Errors
    /// No certificate could be made that says so.
    pub fn begin_validation(&self, domain: &str, digest: &[u8]) -> io::Result<Validating> {
        let domain = domain.to_ascii_lowercase();
        let config = Arc::new(config(&domain, digest)?);
        let validations = &self.0.validations.0;
        validations.write().unwrap_or_else(PoisonError::into_inner).insert(domain.clone(), config);
        Ok(Validating { certificates: self.clone(), domain })
    }
}

impl Drop for Validating {
    fn drop(&mut self) {
        let validations = &self.certificates.0.validations.0;
        validations.write().unwrap_or_else(PoisonError::into_inner).remove(&self.domain);
    }
}

fn config(domain: &str, digest: &[u8]) -> io::Result<ServerConfig> {
    let mut params = CertificateParams::new([domain.to_owned()]).map_err(io::Error::other)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let provider = provider();
    let own = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let signing = provider.key_provider.load_private_key(own).map_err(io::Error::other)?;
    // Not checked any further: what says so in it is critical, and known to directories alone.
    let shown = CertifiedKey::new(vec![certificate.der().clone()], signing);
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(io::Error::other)?.with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::new(Always(Arc::new(shown))));
    config.alpn_protocols = vec![ACME.to_vec()];
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = true;
    Ok(config)
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Validations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validations").finish_non_exhaustive()
    }
}
