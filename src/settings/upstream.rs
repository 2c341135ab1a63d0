//! Upstreams as they are written.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    balance::BalanceSettings, breaker::BreakerSettings, discover::DiscoverSettings, health::HealthSettings,
    limit::LimitSettings, outlier::OutlierSettings, retry::RetrySettings, sticky::StickySettings, values::Time,
};

/// `[upstreams.NAME]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamSettings {
    /// The endpoints: `"http://10.0.0.1:8000"`, `"http+unix:/run/app.sock"`, or tables.
    pub servers: Vec<ServerUrl>,
    /// How they are found, if they are not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discover: Option<DiscoverSettings>,
    /// How to choose among them.
    pub balance: BalanceSettings,
    /// Who carries the requests.
    pub transport: TransportKind,
    /// Which version of HTTP is spoken with the endpoints.
    pub protocol: Protocol,
    /// Whether connections begin with a PROXY header that names the client.
    pub proxy_protocol: ProxyHeader,
    /// Connections of HTTP/2 to the endpoints.
    pub h2: EndpointHttp2,
    /// Limits on connections to each endpoint.
    pub pool: PoolSettings,
    /// When to send a request again.
    pub retry: RetrySettings,
    /// How endpoints are checked, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSettings>,
    /// When to leave an endpoint alone whose answers fail.
    pub outlier: OutlierSettings,
    /// How clients are kept with their endpoints, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<StickySettings>,
    /// When it is asked no more for a while, if ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerSettings>,
    /// How many requests it carries at once, if that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitSettings>,
    /// How long an endpoint that is new or has recovered gets less than its share.
    pub slow_start: Time,
    /// TLS to the endpoints whose URLs begin with `https://`.
    #[serde(skip_serializing_if = "EndpointTls::is_default")]
    pub tls: EndpointTls,
}

/// `tls = { ca = "ca.pem", .. }`: without it an endpoint must prove the name in its URL to the roots of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointTls {
    /// The certificates to believe instead of the machine's roots, as a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our own certificate, for endpoints that ask for one, as a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its key, as a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The name to ask for and to have proved, instead of the URL's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Believe whoever answers.
    pub insecure: bool,
}

impl EndpointTls {
    /// Nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One endpoint as it is written: a URL alone, or a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerUrl {
    /// `http://HOST[:PORT]`, `https://HOST[:PORT]` or `http+unix:PATH`.
    pub url: String,
    /// Its share among the others.
    pub weight: u32,
    /// It gets requests only when none of the others can.
    pub backup: bool,
}

/// Who carries the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TransportKind {
    /// Aqueduct's own exchange, with a pool.
    #[default]
    Own,
    /// An awc client; connections are never reused.
    Awc,
}

/// What each connection to an endpoint begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ProxyHeader {
    /// Nothing but what is spoken on it.
    #[default]
    Off,
    /// A PROXY header of version 1, a line of text.
    V1,
    /// A PROXY header of version 2, binary.
    V2,
}

/// Which version of HTTP is spoken with endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// What an endpoint chooses where TLS is spoken, HTTP/2 first; HTTP/1.1 in the clear.
    #[default]
    Auto,
    /// HTTP/1.1.
    H1,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 in the clear, without asking (RFC 9113, 3.3).
    H2c,
}

/// `h2 = { max_streams = 100, .. }`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointHttp2 {
    /// Requests under way at once on one connection; an endpoint may want fewer.
    pub max_streams: u32,
    /// After so long without a word from an endpoint that something is under way with, it is asked whether it is there.
    /// Servers of gRPC take more than one such question in five minutes for abuse, and end the connection.
    pub ping: Time,
    /// How long it may take to say so.
    pub ping_timeout: Time,
}

/// `pool = { max_idle = 1024, max_total = 1024, .. }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// Idle connections to keep, per worker and endpoint.
    pub max_idle: usize,
    /// Connections to one endpoint in all, over all workers.
    pub max_total: usize,
    /// Requests that may wait for a connection to one endpoint, over all workers.
    pub max_queue: usize,
    /// How long a connection may be idle.
    pub idle: Time,
    /// How old a connection may get.
    pub lifetime: Time,
}

/// The long form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerTable {
    url: String,
    #[serde(default = "even_share")]
    weight: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    backup: bool,
}

fn even_share() -> u32 {
    1
}

impl ServerUrl {
    /// An endpoint with the same share as others.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), weight: even_share(), backup: false }
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::new(self.url.as_str()) {
            return serializer.serialize_str(&self.url);
        }
        ServerTable { url: self.url.clone(), weight: self.weight, backup: self.backup }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServerVisitor)
    }
}

struct ServerVisitor;

impl<'de> Visitor<'de> for ServerVisitor {
    type Value = ServerUrl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL or a table { url = \"..\", weight = 1 }")
    }

    fn visit_str<E: de::Error>(self, url: &str) -> Result<ServerUrl, E> {
        Ok(ServerUrl::new(url))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ServerUrl, A::Error> {
        let ServerTable { url, weight, backup } = ServerTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ServerUrl { url, weight, backup })
    }
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            discover: None,
            balance: BalanceSettings::default(),
            transport: TransportKind::Own,
            protocol: Protocol::Auto,
            proxy_protocol: ProxyHeader::Off,
            h2: EndpointHttp2::default(),
            pool: PoolSettings::default(),
            retry: RetrySettings::default(),
            health: None,
            outlier: OutlierSettings::default(),
            sticky: None,
            breaker: None,
            limit: None,
            slow_start: Time::OFF,
            tls: EndpointTls::default(),
        }
    }
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { max_idle: 1024, max_total: 1024, max_queue: 1024, idle: Time::secs(55), lifetime: Time::secs(600) }
    }
}

impl Default for EndpointHttp2 {
    fn default() -> Self {
        Self { max_streams: 100, ping: Time::secs(360), ping_timeout: Time::secs(10) }
    }
}

impl From<&str> for ServerUrl {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for ServerUrl {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_endpoint_is_asked_less_often_than_servers_of_grpc_bear() {
        assert!(EndpointHttp2::default().ping.0.is_none_or(|ping| ping > Duration::from_secs(5 * 60)));
    }
}
