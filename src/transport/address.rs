//! Where an endpoint is.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clock,
    settings::upstream::{EndpointHttp2, Protocol},
};

use crate::http::proxy_protocol::Version;

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp {
        /// Name or address as written; IPv6 without brackets.
        host: Box<str>,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// One endpoint as a transport sees it: the key of its connections and the limits on them.
pub struct Target {
    /// Where.
    pub address: Address,
    /// How to encrypt, if it is to be.
    pub tls: Option<Arc<super::tls::client::Profile>>,
    /// Connections begin with a PROXY header of this version.
    pub proxy_protocol: Option<Version>,
    /// The authority to name in `Host` when the route does not keep the client's.
    pub authority: Arc<str>,
    /// Process-wide identity; connections are pooled under it.
    pub id: u64,
    /// Limits on its connections, shared by all workers.
    pub pool: Arc<super::pool::Limits>,
    /// Which version of HTTP is spoken.
    pub protocol: Protocol,
    /// Limits on its connections of HTTP/2.
    pub h2: EndpointHttp2,
    /// Where it may choose: until then it need not be asked again, for it has chosen HTTP/1.1. Milliseconds of the coarse
    /// clock.
    pub http1_until: AtomicU64,
}

/// What is known of the version of HTTP that is spoken with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// The endpoint chooses when it is connected to.
    Chosen,
}

/// How long a choice of HTTP/1.1 is remembered: an endpoint may learn.
const MEMORY: Duration = Duration::from_secs(600);

impl Target {
    /// What is known of the version of HTTP.
    pub fn speech(&self) -> Speech {
        match (self.protocol, &self.tls) {
            // With a header in front a connection is one client's.
            _ if self.proxy_protocol.is_some() => Speech::Http1,
            (Protocol::H1, _) | (Protocol::Auto, None) => Speech::Http1,
            (Protocol::H2 | Protocol::H2c, _) => Speech::Http2,
            (Protocol::Auto, Some(_)) if self.http1_until.load(Ordering::Relaxed) > now() => Speech::Http1,
            (Protocol::Auto, Some(_)) => Speech::Chosen,
        }
    }

    /// Whatever it is asked for, and whatever is known of it.
    pub fn speaks_http1_alone(&self) -> bool {
        self.proxy_protocol.is_some()
            || matches!((self.protocol, &self.tls), (Protocol::H1, _) | (Protocol::Auto, None))
    }

    /// Where it may choose, it has chosen HTTP/1.1.
    pub fn note_http1(&self) {
        self.http1_until.store(now() + MEMORY.as_millis() as u64, Ordering::Relaxed);
    }
}

fn now() -> u64 {
    clock::coarse().as_millis() as u64
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
