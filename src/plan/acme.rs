//! `acme` in `[tls.NAME]`: whether a directory can be asked for a certificate, and where it is kept.

use std::path::PathBuf;

use super::{ListenAddress, Listener, tls::ListenersTls};
use crate::{
    settings::{
        Problem,
        tls::{AcmeChallenge, AcmeSettings, CertificateFiles},
        upstream::EndpointTls,
    },
    transport::tls::{
        client::{ClientTls, ClientTlsError, Profile},
        identity::{FileError, Identity},
    },
};

/// The folder for what comes from one directory: accounts and certificates of another are none of its.
pub fn folder(settings: &AcmeSettings) -> PathBuf {
    let url = settings.directory.strip_prefix("https://").unwrap_or(&settings.directory);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
    let name: String = url.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    settings.store.join(name)
}

/// The file that holds a certificate, those that lead to its root, and its key: one file is replaced at once.
pub fn file(name: &str, settings: &AcmeSettings) -> PathBuf {
    folder(settings).join(format!("{name}.pem"))
}

/// The certificate that is there; `None` if none was given to us yet.
///
/// # Errors
/// Why it cannot be used.
pub fn stored(name: &str, settings: &AcmeSettings) -> Result<Option<Identity>, FileError> {
    let file = file(name, settings);
    match Identity::read(&CertificateFiles { cert: file.clone(), key: file }) {
        Ok(identity) => Ok(Some(identity)),
        Err(FileError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is wrong with the settings.
pub fn check(name: &str, settings: &AcmeSettings, problems: &mut Vec<Problem>) {
    let AcmeSettings { domains, email, agree, directory, .. } = settings;
    let at = |keys: &[&str], what: String| Problem::at(["tls", name, "acme"].iter().chain(keys).copied(), what);
    if !agree {
        let what = format!("the terms of service of {} must be agreed to", directory.escape_debug());
        problems.push(at(&["agree"], what).help("agree = true, once you have read them"));
    }
    if domains.is_empty() {
        problems
            .push(at(&["domains"], "no domain to get a certificate for".into()).help("domains = [\"shop.example\"]"));
    }
    for (index, domain) in domains.iter().enumerate() {
        let at = |what: String| at(&["domains", &index.to_string()], what);
        let is_address = domain.parse::<std::net::IpAddr>().is_ok();
        if domain.starts_with("*.") {
            problems.push(
                at(format!("`{}` cannot be shown to be ours by http-01 or tls-alpn-01", domain.escape_debug()))
                    .help("the names under it one by one"),
            );
        } else if is_address || !Profile::can_be_for(domain) {
            problems.push(at(format!("`{}` is not a domain", domain.escape_debug())).help("a DNS name"));
        }
    }
    let is_address = |email: &String| {
        let is_plain = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '?' | ',' | '%');
        email.chars().all(is_plain) && email.split('@').filter(|part| !part.is_empty()).count() == 2
    };
    if !email.as_ref().is_none_or(is_address) {
        problems.push(at(&["email"], "not an address to write to".into()).help("email = \"ops@shop.example\""));
    }
    let url = actix_http::Uri::try_from(directory.as_str());
    if !url.is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some_and(Profile::can_be_for)) {
        problems.push(at(&["directory"], "not the URL of a directory".into()).help("https://HOST/PATH"));
    }
    match believing(settings) {
        Ok(_) => {}
        Err(ClientTlsError::File { source, .. }) => {
            problems.push(at(&["ca"], source.in_full()).help(source.help()));
        }
        Err(error @ ClientTlsError::NoRoots) => {
            problems.push(at(&["directory"], error.to_string()).help(super::tls::NO_ROOTS));
        }
    }
}

/// How the directory proves who it is.
///
/// # Errors
/// Nobody can be believed.
pub fn believing(settings: &AcmeSettings) -> Result<ClientTls, ClientTlsError> {
    ClientTls::of(&EndpointTls { ca: settings.ca.clone(), ..EndpointTls::default() })
}

/// What would keep a directory from validating.
pub fn warnings(tls: &ListenersTls, listeners: &[Listener]) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_plain = |listener: &Listener| listener.tls.is_none() && matches!(listener.address, ListenAddress::Tcp(_));
    for (name, settings) in tls.iter().filter_map(|(name, tls)| Some((name, tls.settings.acme.as_ref()?))) {
        let shows = |listener: &Listener| listener.tls.as_ref().is_some_and(|tls| tls.name == *name);
        if !listeners.iter().any(shows) {
            warnings.push(format!("tls.{name}.acme: no listener shows this certificate, so none is asked for"));
        } else if settings.challenge == AcmeChallenge::Http01 && !listeners.iter().any(is_plain) {
            warnings.push(format!("tls.{name}.acme: http-01 is asked at port 80, and no listener speaks plain HTTP"));
        }
    }
    warnings
}
