//! Who somebody is: a chain of certificates and the key to the first of them, out of PEM files.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

use super::validity::Validity;
use crate::settings::tls::CertificateFiles;

/// A certificate with its key, and whom it stands for.
pub struct Identity {
    /// What TLS needs of it.
    pub certified: Arc<CertifiedKey>,
    /// The DNS names it covers, in lower case; `*.` stands for one label.
    pub names: Vec<String>,
    /// The addresses it covers.
    pub addresses: Vec<IpAddr>,
    /// When it holds.
    pub validity: Validity,
    /// The file of the certificate.
    pub source: PathBuf,
}

/// What is wrong with a file. Nothing of its content is told: it may be a key.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there, or not ours to read.
    #[error("`{}` cannot be read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is larger than any chain or key.
    #[error("`{}` is larger than {largest} bytes", file.display())]
    TooLarge {
        /// Which.
        file: PathBuf,
        /// What it may have.
        largest: u64,
    },
    /// Its sections are torn.
    #[error("`{}` is not well-formed PEM", file.display())]
    Pem {
        /// Which.
        file: PathBuf,
    },
    /// It is PEM of something else.
    #[error("`{}` holds no certificate", file.display())]
    NoCertificate {
        /// Which.
        file: PathBuf,
    },
    /// It is PEM of something else, or of a key with a passphrase.
    #[error("`{}` holds no private key", file.display())]
    NoKey {
        /// Which.
        file: PathBuf,
    },
    /// The PEM holds what is no X.509.
    #[error("the certificate in `{}` is malformed", file.display())]
    MalformedCertificate {
        /// Which.
        file: PathBuf,
    },
    /// A certificate that cannot be anybody's root.
    #[error("`{}` holds a certificate that cannot be believed", file.display())]
    Authority {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// It is PEM of something else.
    #[error("`{}` holds no list of revoked certificates", file.display())]
    NoRevocations {
        /// Which.
        file: PathBuf,
    },
    /// A list that cannot be read, or that says what nobody here understands.
    #[error("`{}` holds a list of revoked certificates that cannot be used", file.display())]
    Revocations {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A key of a kind that nobody here can use.
    #[error("the key in `{}` cannot be used", file.display())]
    UnusableKey {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Two files that do not belong together.
    #[error("`{}` is not the key of the certificate in `{}`", key.display(), cert.display())]
    Mismatch {
        /// The certificate's.
        cert: PathBuf,
        /// The key's.
        key: PathBuf,
    },
}

/// Nobody's chain or key is as large as this.
const LARGEST: u64 = 1024 * 1024;

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    /// Which of them is wrong, and how.
    pub fn read(files: &CertificateFiles) -> Result<Self, FileError> {
        let chain = certificates(&files.cert)?;
        let key = private_key(&files.key)?;
        let malformed = || FileError::MalformedCertificate { file: files.cert.clone() };
        let (names, addresses, validity) = whom(&chain[0]).ok_or_else(malformed)?;
        let certified = CertifiedKey::from_der(chain, key, &super::provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                FileError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
            }
            rustls::Error::InvalidCertificate(_) => malformed(),
            source => FileError::UnusableKey { file: files.key.clone(), source },
        })?;
        Ok(Self { certified: Arc::new(certified), names, addresses, validity, source: files.cert.clone() })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("names", &self.names)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl FileError {
    /// Which of the two files it is about, as settings call it: `cert` or `key`.
    pub fn setting(&self, files: &CertificateFiles) -> &'static str {
        match self {
            Self::NoCertificate { .. }
            | Self::MalformedCertificate { .. }
            | Self::Authority { .. }
            | Self::NoRevocations { .. }
            | Self::Revocations { .. } => "cert",
            Self::NoKey { .. } | Self::UnusableKey { .. } | Self::Mismatch { .. } => "key",
            Self::Unreadable { file, .. } | Self::TooLarge { file, .. } | Self::Pem { file } if *file == files.cert => {
                "cert"
            }
            Self::Unreadable { .. } | Self::TooLarge { .. } | Self::Pem { .. } => "key",
        }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. }
            | Self::TooLarge { file, .. }
            | Self::Pem { file }
            | Self::NoCertificate { file }
            | Self::NoKey { file }
            | Self::MalformedCertificate { file }
            | Self::Authority { file, .. }
            | Self::NoRevocations { file }
            | Self::Revocations { file, .. }
            | Self::UnusableKey { file, .. }
            | Self::Mismatch { key: file, .. } => file,
        }
    }

    /// The whole of it in one line, with what lies behind it.
    pub fn in_full(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    /// The likely fix.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "a path from the working directory, or an absolute one"
            }
            Self::Unreadable { .. } => "a file that the user of this process may read",
            Self::TooLarge { .. } | Self::Pem { .. } => {
                "a PEM file: sections from `-----BEGIN ..-----` to `-----END ..-----`"
            }
            Self::NoCertificate { .. } | Self::MalformedCertificate { .. } => {
                "a PEM file with the certificate first, then those that lead to its root"
            }
            Self::Authority { .. } => "the certificates of an authority, as PEM",
            Self::NoRevocations { .. } | Self::Revocations { .. } => {
                "a PEM file with the authority's list: `-----BEGIN X509 CRL-----`"
            }
            Self::NoKey { .. } | Self::UnusableKey { .. } => {
                "a PEM file with a key of ECDSA, Ed25519 or RSA, without a passphrase"
            }
            Self::Mismatch { .. } => "the key that the certificate was requested with",
        }
    }
}

/// All certificates of a file; never none.
///
/// # Errors
/// Why not.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let bytes = read(file, LARGEST)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(FileError::NoCertificate { file: file.to_owned() }),
        Ok(found) => Ok(found),
        Err(_) => Err(FileError::Pem { file: file.to_owned() }),
    }
}

/// The certificates of authorities, and whoever believes them.
///
/// # Errors
/// Why they cannot be believed.
pub fn authorities(file: &Path) -> Result<(Vec<CertificateDer<'static>>, RootCertStore), FileError> {
    let certificates = certificates(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|source| FileError::Authority { file: file.to_owned(), source })?;
    }
    Ok((certificates, roots))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(&read(file, LARGEST)?).map_err(|error| match error {
        pem::Error::NoItemsFound => FileError::NoKey { file: file.to_owned() },
        _ => FileError::Pem { file: file.to_owned() },
    })
}

/// All of a file that is not larger than this.
pub(super) fn read(file: &Path, largest: u64) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Unreadable { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(file).map_err(unreadable)?.take(largest + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > largest {
        return Err(FileError::TooLarge { file: file.to_owned(), largest });
    }
    Ok(bytes)
}

/// Names, addresses, and when it holds.
fn whom(certificate: &CertificateDer<'_>) -> Option<(Vec<String>, Vec<IpAddr>, Validity)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    // Without subject alternative names it covers nobody: the common name has had no say since RFC 6125.
    if let Some(covered) = certificate.subject_alternative_name().ok()? {
        for name in &covered.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
    }
    let written = certificate.validity();
    Some((names, addresses, Validity { not_before: time(written.not_before), not_after: time(written.not_after) }))
}

/// Before 1970 nothing was that is still of interest.
pub(super) fn time(written: ASN1Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(written.timestamp()).unwrap_or(0))
}

/// As a certificate has it.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
