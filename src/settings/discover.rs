//! Endpoints that are found instead of written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::values::Time;

/// `discover = { dns = "shop.internal", port = 8000 }`, or `{ file = "endpoints.toml" }`: the endpoints are what a name stands for, as long as it does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoverSettings {
    /// The name to ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// Or the file to read: `servers = [..]`, in TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Which records of it; addresses of both kinds if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// Where the endpoints listen; 80 or 443 if nothing is said. With SRV the records tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether TLS is spoken with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// It is asked again when the answer is so old, but not sooner than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ttl: Option<Time>,
    /// And not later than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<Time>,
    /// How long an answer may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Time>,
    /// Whom to ask, `IP` or `IP:PORT`; those of this machine if nobody is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
}

/// Records of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Record {
    /// Addresses of both kinds.
    #[default]
    #[serde(rename = "IP")]
    Ip,
    /// IPv4.
    A,
    /// IPv6.
    #[serde(rename = "AAAA")]
    Aaaa,
    /// Hosts with ports, weights and priorities (RFC 2782).
    #[serde(rename = "SRV")]
    Srv,
}

/// What is spoken with the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// By TLS.
    Https,
}

impl Record {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "IP",
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
        }
    }
}

impl DiscoverSettings {
    /// It is asked again no sooner than this.
    pub const MIN_TTL: Time = Time::secs(5);
    /// It is asked again no later than this.
    pub const MAX_TTL: Time = Time::secs(300);
    /// How long an answer may take.
    pub const TIMEOUT: Time = Time::secs(5);

    /// TLS is spoken with what is found.
    pub fn is_tls(&self) -> bool {
        self.scheme == Some(Scheme::Https)
    }
}
