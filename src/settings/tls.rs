//! Certificates of listeners as they are written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[tls.NAME]`: what a listener with `tls = "NAME"` shows its clients.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificates; the first one is for clients that name no host, or one that no certificate covers.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version to speak.
    pub min_version: TlsVersion,
}

/// `{ cert = "a.pem", key = "a.key" }`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// A PEM file with the certificate, and behind it those that lead to its root.
    pub cert: PathBuf,
    /// A PEM file with its key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}
