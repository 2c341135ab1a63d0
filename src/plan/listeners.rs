//! `listen`: where to accept clients, and how.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use super::tls::{self, ListenerTls, ListenersTls};
use crate::settings::{
    self, FileMode, Problem, Settings, Source,
    listener::{ListenerTimeouts, ProxyProtocolSettings},
};

/// Where to accept clients, and how.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// What to show them, where TLS is spoken.
    pub tls: Option<Arc<ListenerTls>>,
    /// HTTP/2 is spoken, too.
    pub h2: bool,
    /// How many may come in here, of those that the server lets in.
    pub max_connections: Option<usize>,
    /// How long to wait for those who come in here, where that differs from the server's.
    pub timeouts: Option<ListenerTimeouts>,
    /// What others may do with the file of a unix socket, if anything was said of it.
    pub mode: Option<FileMode>,
    /// Who says first whose connection it is.
    pub proxy_protocol: Option<ProxyProtocolSettings>,
}

impl From<ListenAddress> for Listener {
    fn from(address: ListenAddress) -> Self {
        Self { address, tls: None, h2: true, max_connections: None, timeouts: None, mode: None, proxy_protocol: None }
    }
}

/// An address to accept clients on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// All of them, with what is wrong and what should be known.
pub fn of(
    settings: &Settings,
    tls: &ListenersTls,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Vec<Listener> {
    let mut known: Vec<Listener> = Vec::new();
    if settings.listen.is_empty() {
        problems.push(Problem::at(["listen"], "nowhere to listen").help("an address such as \"127.0.0.1:8080\""));
    }
    for (index, written) in settings.listen.iter().enumerate() {
        let at = At(index);
        let tls = tls::of_listener(index, settings, tls, problems);
        let Some(address) = ListenAddress::parse(&written.addr) else {
            problems.push(
                at.problem(&[], &format!("`{}` is not an address to listen on", written.addr))
                    .help("IP:PORT such as \"127.0.0.1:8080\" or \"[::]:80\", or \"unix:/path/to/socket\""),
            );
            continue;
        };
        if !address.is_any_port() && known.iter().any(|known| known.address == address) {
            let what = format!("`{}` is listened on twice", written.addr);
            problems.push(at.problem(&[], &what).help("remove one of them"));
            continue;
        }
        let found = at.problems_of(written, &address);
        if found.is_empty() {
            warnings.extend(at.warning_of(written, &address));
            known.push(Listener {
                address,
                tls,
                h2: written.h2,
                max_connections: written.max_connections,
                timeouts: written.timeouts.clone(),
                mode: written.mode,
                proxy_protocol: written.proxy_protocol.clone(),
            });
        }
        problems.extend(found);
    }
    known
}

/// A place in the list.
struct At(usize);

impl At {
    fn problem(&self, keys: &[&str], what: &str) -> Problem {
        let own = ["listen".to_owned(), self.0.to_string()];
        Problem::at(own.into_iter().chain(keys.iter().map(ToString::to_string)), what)
    }

    /// What cannot be done at an address of this kind.
    fn problems_of(&self, written: &settings::Listener, address: &ListenAddress) -> Vec<Problem> {
        let is_unix = matches!(address, ListenAddress::Unix(_));
        let mut problems = Vec::new();
        if is_unix && written.tls.is_some() {
            let help = "whoever can read a unix socket can read its files: remove `tls`";
            problems.push(self.problem(&["tls"], "TLS is spoken on TCP only").help(help));
        }
        if !is_unix && written.mode.is_some() {
            problems.push(self.problem(&["mode"], "only a unix socket has a file").help("remove `mode`"));
        }
        if written.max_connections == Some(0) {
            problems.push(self.problem(&["max_connections"], "nobody could come in").help("1 or more"));
        }
        let handshake = written.timeouts.as_ref().and_then(|timeouts| timeouts.tls_handshake);
        if written.tls.is_none() && handshake.is_some() {
            let keys = ["timeouts", "tls_handshake"];
            problems.push(self.problem(&keys, "nobody shakes hands here").help("remove it, or name `tls`"));
        }
        let comes_in_here = |source: &Source| (*source == Source::Unix) == is_unix;
        if let Some(sent) = &written.proxy_protocol
            && !sent.from.iter().any(comes_in_here)
        {
            let help = if is_unix {
                "from = [\"unix\"] for whoever can open the socket"
            } else {
                "from = [\"10.0.0.0/8\"], the networks of the load balancers in front"
            };
            let what = "nobody who connects here may send a PROXY header";
            problems.push(self.problem(&["proxy_protocol", "from"], what).help(help));
        }
        problems
    }

    fn warning_of(&self, written: &settings::Listener, address: &ListenAddress) -> Option<String> {
        let is_everybody = |source: &Source| matches!(source, Source::Network(network) if network.prefix_len() == 0);
        let from = &written.proxy_protocol.as_ref()?.from;
        (matches!(address, ListenAddress::Tcp(_)) && from.iter().any(is_everybody)).then(|| {
            let key = format!("listen.{}.proxy_protocol.from", self.0);
            format!("{key}: whoever can connect to {address} can say that he is anybody else")
        })
    }
}

impl ListenAddress {
    /// As it is written in settings: `IP:PORT`, `localhost:PORT` or `unix:PATH`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Self::Unix(path.into()));
        }
        let text =
            text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}")).unwrap_or_else(|| text.to_owned());
        text.parse().ok().map(Self::Tcp)
    }

    /// Any free port will do.
    pub fn is_any_port(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.port() == 0)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
