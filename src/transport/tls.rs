//! TLS as both sides have it: certificates and keys from files, and what an endpoint must prove (docs/adr/0006-tls.md).
//!
//! The cryptography is always named. What a process has as its default is whatever another crate has put there first.

use std::{
    io,
    sync::{Arc, LazyLock},
};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub mod client;
pub mod clients;
pub mod holder;
pub mod identity;
pub mod served;
pub mod validity;

use crate::http::error::TlsFault;

/// What is spoken inside (RFC 7301, 6).
pub const HTTP_1_1: &[u8] = b"http/1.1";
/// HTTP/2 (RFC 9113, 3.2).
pub const HTTP_2: &[u8] = b"h2";

/// Ciphertext that may wait for the other side to take it, for each connection.
pub const MOST_UNSENT: usize = 32 * 1024;

/// The cryptography of every connection.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// What kind of failure it was, if TLS is what failed.
pub fn fault(error: &io::Error) -> Option<TlsFault> {
    let cause = error.get_ref()?;
    let tls = cause.downcast_ref::<rustls::Error>().or_else(|| cause.source()?.downcast_ref())?;
    Some(match tls {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::InvalidCertRevocationList(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::UnsupportedNameType => TlsFault::Certificate,
        rustls::Error::AlertReceived(_) => TlsFault::Alert,
        _ => TlsFault::Protocol,
    })
}
