//! The certificate that a client has shown, in words: for filters, logs and endpoints.

use std::{borrow::Cow, fmt};

/// Whom a client's certificate names. It was verified when the connection began; all of it is visible ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whom it names: `CN=alice,O=Shop`, the most specific first (RFC 4514).
    pub subject: String,
    /// Who says so, in the same form.
    pub issuer: String,
    /// Its number among those of its issuer, in hexadecimal.
    pub serial: String,
    /// Other names: `DNS:a.example`, `IP:192.0.2.1`, `URI:spiffe://a/b`, `email:a@b.example`.
    pub names: Vec<String>,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
}

/// One thing that it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Whom it names.
    Subject,
    /// Who says so.
    Issuer,
    /// Its number.
    Serial,
    /// Other names, with commas between them.
    Names,
    /// Its SHA-256.
    Fingerprint,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Subject, Self::Issuer, Self::Serial, Self::Names, Self::Fingerprint];

    /// What settings call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "client_cert.subject",
            Self::Issuer => "client_cert.issuer",
            Self::Serial => "client_cert.serial",
            Self::Names => "client_cert.names",
            Self::Fingerprint => "client_cert.fingerprint",
        }
    }

    /// The one that settings call so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// What a certificate tells of it.
    pub fn of(self, certificate: &ClientCertificate) -> Cow<'_, str> {
        match self {
            Self::Subject => certificate.subject.as_str().into(),
            Self::Issuer => certificate.issuer.as_str().into(),
            Self::Serial => certificate.serial.as_str().into(),
            Self::Names => certificate.names.join(",").into(),
            Self::Fingerprint => certificate.fingerprint.as_str().into(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
