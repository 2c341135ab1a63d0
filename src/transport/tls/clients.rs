//! Certificates of clients: whom a listener believes, and what has been revoked.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    pki_types::{
        CertificateDer, CertificateRevocationListDer, UnixTime,
        pem::{self, PemObject},
    },
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::{
    holder,
    identity::{self, FileError},
    validity::Validity,
};
use crate::settings::tls::{ClientMode, ClientSettings};

/// A list of an authority with a million entries has this.
const LARGEST_LIST: u64 = 64 * 1024 * 1024;

/// Whom a listener lets in.
pub struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    settings: ClientSettings,
    /// What the files held.
    authorities: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

/// A file of the settings that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}", source.in_full())]
pub struct ClientsError {
    /// `ca` or `crl`.
    pub key: &'static str,
    /// What is wrong with it.
    pub source: FileError,
}

impl Clients {
    /// Reads what the settings name; `None` if nobody is asked for a certificate.
    ///
    /// # Errors
    /// Which file is wrong.
    pub fn read(settings: &ClientSettings) -> Result<Option<Self>, ClientsError> {
        if settings.mode == ClientMode::Off {
            return Ok(None);
        }
        let in_file = |key| move |source| ClientsError { key, source };
        let (authorities, roots) = identity::authorities(&settings.ca).map_err(in_file("ca"))?;
        let lists = settings.crl.as_deref().map(lists).transpose().map_err(in_file("crl"))?.unwrap_or_default();
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), super::provider());
        // Who knows nothing of a certificate, or nothing new, does not know that it was not revoked.
        let builder = builder.with_crls(lists.iter().cloned()).enforce_revocation_expiration();
        let builder = if settings.mode == ClientMode::Optional { builder.allow_unauthenticated() } else { builder };
        let verifier = builder.build().map_err(|error| refusal(error, settings))?;
        Ok(Some(Self { verifier, settings: settings.clone(), authorities, lists }))
    }

    /// For handshakes.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Whoever these let in the others do, too.
    pub fn are_same(&self, others: &Self) -> bool {
        self.settings == others.settings && self.authorities == others.authorities && self.lists == others.lists
    }

    /// Verifies who was verified in a handshake before this one: his certificate may have ended since.
    ///
    /// # Errors
    /// Why he is not let in any more.
    pub fn verify_again(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        match chain.split_first() {
            Some((own, others)) => self.verifier.verify_client_cert(own, others, UnixTime::now()).map(drop),
            None if self.verifier.client_auth_mandatory() => Err(rustls::Error::NoCertificatesPresented),
            None => Ok(()),
        }
    }

    /// When the lists hold: from the last that was made to the first that ends.
    pub fn validity(&self) -> Option<Validity> {
        let lists = self.lists.iter().filter_map(|list| {
            let (_, list) = CertificateRevocationList::from_der(list).ok()?;
            Some((identity::time(list.last_update()), identity::time(list.next_update()?)))
        });
        let both = |one: (_, _), other: (_, _)| (Ord::max(one.0, other.0), Ord::min(one.1, other.1));
        lists.reduce(both).map(|(not_before, not_after)| Validity { not_before, not_after })
    }

    /// Authorities whose list is missing, though there are some: what they have issued is refused.
    pub fn without_list(&self) -> Vec<String> {
        if self.lists.is_empty() {
            return Vec::new();
        }
        let lists = self.lists.iter().filter_map(|list| CertificateRevocationList::from_der(list).ok());
        let issuers: Vec<_> = lists.map(|(_, list)| list.issuer().as_raw().to_vec()).collect();
        let authorities = self.authorities.iter().filter_map(|own| X509Certificate::from_der(own).ok());
        let missing = authorities.filter(|(_, own)| !issuers.iter().any(|issuer| issuer == own.subject().as_raw()));
        missing.map(|(_, own)| holder::name(own.subject())).collect()
    }
}

fn refusal(error: VerifierBuilderError, settings: &ClientSettings) -> ClientsError {
    match (error, &settings.crl) {
        (VerifierBuilderError::InvalidCrl(error), Some(file)) => {
            let source = FileError::Revocations { file: file.clone(), source: error.into() };
            ClientsError { key: "crl", source }
        }
        _ => ClientsError { key: "ca", source: FileError::NoCertificate { file: settings.ca.clone() } },
    }
}

fn lists(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    let bytes = identity::read(file, LARGEST_LIST)?;
    let found: Result<Vec<_>, pem::Error> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(FileError::NoRevocations { file: file.to_owned() }),
        Ok(found) => Ok(found),
        Err(_) => Err(FileError::Pem { file: file.to_owned() }),
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("settings", &self.settings).finish_non_exhaustive()
    }
}
