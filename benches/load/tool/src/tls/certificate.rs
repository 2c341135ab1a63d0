//! The certificate all peers show: ECDSA P-256, made for this comparison and gone with it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;

/// The name clients ask for.
pub const NAME: &str = "load.test";

/// The files that peers read.
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
    /// Both in one, as HAProxy wants them.
    pub pair: PathBuf,
}

impl Certificate {
    /// Nothing is there yet.
    pub fn at(directory: &Path) -> Self {
        Self { chain: directory.join("load.pem"), key: directory.join("load.key"), pair: directory.join("load.both") }
    }

    /// Makes one and writes it; clients are to be shown what is returned.
    pub fn write(&self) -> io::Result<CertificateDer<'static>> {
        let made = generate_simple_self_signed([NAME.into()]).map_err(io::Error::other)?;
        let CertifiedKey { cert, signing_key } = made;
        let (chain, key) = (cert.pem(), signing_key.serialize_pem());
        fs::write(&self.chain, &chain)?;
        fs::write(&self.key, &key)?;
        fs::write(&self.pair, chain + &key)?;
        Ok(cert.der().clone())
    }
}
