//! Where an endpoint is.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::http::proxy_protocol::Version;

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
