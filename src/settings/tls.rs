//! Certificates of listeners and of their clients as they are written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::values::Time;

/// `[tls.NAME]`: what a listener with `tls = "NAME"` shows its clients.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificates; the first one is for clients that name no host, or one that no certificate covers.
    pub certificates: Vec<CertificateFiles>,
    /// One more, which a directory gives us and we renew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeSettings>,
    /// The oldest version to speak.
    pub min_version: TlsVersion,
    /// Whether clients show certificates, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientSettings>,
    /// Whether plain HTTP for a host that a certificate covers is answered with a redirect to https.
    pub redirect_http: bool,
}

/// `acme = { domains = ["shop.example"], email = "ops@shop.example", agree = true }` (RFC 8555)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcmeSettings {
    /// What the certificate is to cover.
    pub domains: Vec<String>,
    /// Whom the directory may write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The directory's terms of service are agreed to.
    pub agree: bool,
    /// How it is shown that the domains are ours.
    pub challenge: AcmeChallenge,
    /// The URL of the directory.
    pub directory: String,
    /// The certificates to believe a directory by instead of the machine's roots, as a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The folder for accounts and certificates.
    pub store: PathBuf,
    /// How long before its end a certificate is renewed, instead of a third of its life; half of it at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Time>,
}

/// How it is shown that domains are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AcmeChallenge {
    /// By a handshake at port 443 (RFC 8737): it needs no other listener.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By an answer at port 80 (RFC 8555, 8.3).
    #[serde(rename = "http-01")]
    Http01,
}

impl Default for AcmeSettings {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            email: None,
            agree: false,
            challenge: AcmeChallenge::default(),
            directory: "https://acme-v02.api.letsencrypt.org/directory".into(),
            ca: None,
            store: "acme".into(),
            renew_before: None,
        }
    }
}

/// `client = { ca = "clients.pem", mode = "required", crl = "revoked.pem" }`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// A PEM file with the authorities whose certificates are believed.
    pub ca: PathBuf,
    /// Who is let in.
    #[serde(default)]
    pub mode: ClientMode,
    /// A PEM file with the authorities' lists of revoked certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
}

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMode {
    /// Nobody is asked.
    Off,
    /// Who shows no certificate, too; one that cannot be verified is refused.
    Optional,
    /// Only who shows a certificate.
    #[default]
    Required,
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
