//! Where clients come in.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    source::Source,
    values::{FileMode, Time},
};

/// An address to accept clients on: `"0.0.0.0:80"`, `"unix:/run/aqueduct.sock"`, or a table
/// `{ addr = "0.0.0.0:443", tls = "main" }`.
// What is derived is the table; both forms are below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Listener {
    /// `IP:PORT` or `unix:PATH`.
    pub addr: String,
    /// Speaks TLS as `[tls.NAME]` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Speaks HTTP/2, too: as agreed on where TLS is spoken, elsewhere with clients that begin with its preface.
    #[serde(default = "yes")]
    pub h2: bool,
    /// Client connections that came in here, of those that `[server]` lets in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
    /// How long to wait for those who come in here, where that is not what `[server.timeouts]` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<ListenerTimeouts>,
    /// What others may do with the file of a unix socket; without it that is up to the process's umask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// Who says first whose connection it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolSettings>,
}

/// `timeouts = { keep_alive = "10m" }` of a listener: the keys of `[server.timeouts]` that have to do with connections, each
/// only if it is another one here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerTimeouts {
    /// From a connection's start to the end of its TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_handshake: Option<Time>,
    /// From a request's first byte (or the connection's start) to the end of its head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_head: Option<Time>,
    /// Without a byte of a request body that we are ready to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body: Option<Time>,
    /// Without the client taking a byte of a response that we have ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_write: Option<Time>,
    /// Between requests on one connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Time>,
}

/// `proxy_protocol = { from = ["10.0.0.0/8"], timeout = "5s" }`: load balancers in front of us that begin each connection
/// with a PROXY header. They must; whoever else does is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolSettings {
    /// Where they connect from: networks, or `"unix"` for whoever can open the unix socket.
    pub from: Vec<Source>,
    /// From a connection's start to the end of its header.
    #[serde(default = "ProxyProtocolSettings::timeout")]
    pub timeout: Time,
}

impl Listener {
    /// Listens on this address.
    pub fn address(addr: impl Into<String>) -> Self {
        Self {
            addr: addr.into(),
            tls: None,
            h2: true,
            max_connections: None,
            timeouts: None,
            mode: None,
            proxy_protocol: None,
        }
    }
}

impl Serialize for Listener {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::address(&*self.addr) {
            return serializer.serialize_str(&self.addr);
        }
        // The one that was derived.
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListenerVisitor)
    }
}

struct ListenerVisitor;

fn yes() -> bool {
    true
}

impl<'de> Visitor<'de> for ListenerVisitor {
    type Value = Listener;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as \"127.0.0.1:8080\" or \"unix:/run/aqueduct.sock\"")
    }

    fn visit_str<E: de::Error>(self, addr: &str) -> Result<Listener, E> {
        Ok(Listener::address(addr))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listener, A::Error> {
        // The one that was derived.
        Listener::deserialize(MapAccessDeserializer::new(map))
    }
}

impl ProxyProtocolSettings {
    fn timeout() -> Time {
        Time::secs(5)
    }
}
