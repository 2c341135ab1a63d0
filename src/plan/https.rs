//! Plain HTTP for hosts that have a certificate is sent to https (`redirect_http` in `[tls.NAME]`).

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{ListenAddress, Listener, tls::ListenersTls};
use crate::settings::Problem;

/// Where validation of ACME happens; it must be asked in the clear (RFC 8555, 8.3).
pub const ACME_CHALLENGES: &str = "/.well-known/acme-challenge/";

/// The port of URLs that name none.
const HTTPS: u16 = 443;

/// Which hosts are served with TLS, and where.
#[derive(Debug, Default)]
pub struct Https {
    exact: HashMap<String, Arc<Entrance>>,
    /// By what stands behind the star and its dot.
    wildcards: HashMap<String, Arc<Entrance>>,
    addresses: HashMap<IpAddr, Arc<Entrance>>,
}

/// Where some hosts are served with TLS.
#[derive(Debug)]
pub struct Entrance {
    /// `main` for `[tls.main]`.
    pub name: Arc<str>,
    /// The port.
    pub port: u16,
}

impl Https {
    /// Of all blocks that ask for it; `None` if none does.
    pub fn of(
        tls: &ListenersTls,
        listeners: &[Listener],
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        let mut https = Self::default();
        for (name, tls) in tls.iter().filter(|(_, tls)| tls.settings.redirect_http) {
            match port(name, listeners) {
                None => warnings.push(format!(
                    "tls.{name}.redirect_http: no listener shows these certificates, so nothing is redirected"
                )),
                Some(0) => problems.push(
                    Problem::at(["tls", name, "redirect_http"], "port 0 is any: there is no URL to redirect to")
                        .help("a listener with tls = \"NAME\" and a port"),
                ),
                Some(port) => https.add(Arc::new(Entrance { name: name.as_str().into(), port }), tls),
            }
        }
        let is_empty = https.exact.is_empty() && https.wildcards.is_empty() && https.addresses.is_empty();
        (!is_empty).then_some(https)
    }

    /// Of two blocks with one name the first has it.
    fn add(&mut self, entrance: Arc<Entrance>, tls: &super::ListenerTls) {
        let own = tls.identities.iter().flat_map(|identity| identity.names.iter().cloned());
        let to_be = tls.settings.acme.iter().flat_map(|acme| acme.domains.iter().map(|name| name.to_ascii_lowercase()));
        for name in own.chain(to_be) {
            let (names, name) = match name.strip_prefix("*.") {
                Some(domain) => (&mut self.wildcards, domain),
                None => (&mut self.exact, &*name),
            };
            names.entry(name.to_owned()).or_insert_with(|| Arc::clone(&entrance));
        }
        for address in tls.identities.iter().flat_map(|identity| &identity.addresses) {
            self.addresses.entry(*address).or_insert_with(|| Arc::clone(&entrance));
        }
    }

    /// Where this host is served: lower case, without a port.
    pub fn find(&self, host: &str) -> Option<&Entrance> {
        let name = host.strip_suffix('.').unwrap_or(host);
        let by_star = || self.wildcards.get(name.split_once('.')?.1);
        let by_address = || {
            let literal = name.strip_prefix('[').and_then(|literal| literal.strip_suffix(']')).unwrap_or(name);
            self.addresses.get(&literal.parse().ok()?)
        };
        self.exact.get(name).or_else(by_star).or_else(by_address).map(|entrance| &**entrance)
    }
}

impl Entrance {
    /// The URL for the same host there.
    pub fn location(&self, host: &str, path: &str, query: &str) -> String {
        // The whole server, `*`, has no path.
        let path = if path == "*" { "" } else { path };
        match self.port {
            HTTPS => format!("https://{host}{path}{query}"),
            port => format!("https://{host}:{port}{path}{query}"),
        }
    }
}

/// That of a URL without a port, if somebody listens there, else the first.
fn port(name: &str, listeners: &[Listener]) -> Option<u16> {
    let ports = listeners.iter().filter_map(|listener| match (&listener.address, &listener.tls) {
        (ListenAddress::Tcp(address), Some(tls)) if tls.name == name => Some(address.port()),
        _ => None,
    });
    let ports: Vec<_> = ports.collect();
    if ports.contains(&HTTPS) { Some(HTTPS) } else { ports.first().copied() }
}
