//! The server as a whole, and what clients may cost it.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Unexpected, Visitor},
};

use super::values::{Size, Time};
use crate::http;

/// `[server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Whether settings files are read again when they change. SIGHUP has them read in any case.
    pub watch: bool,
    /// Worker threads: a number, or `"auto"` for one per core.
    pub workers: Workers,
    /// Connections the kernel holds for us before we accept them.
    pub backlog: u32,
    /// Whether each worker has a socket of its own at a TCP address (SO_REUSEPORT), or all share one.
    pub reuse_port: bool,
    /// Client connections in all.
    pub max_connections: usize,
    /// Client connections per address (IPv6: per /64); 0 is no limit.
    pub max_connections_per_ip: usize,
    /// How long another process that is to take over (SIGUSR2) may take until it accepts.
    pub handoff_timeout: Time,
    /// How to stop.
    pub drain: DrainSettings,
    /// How long to wait for clients.
    pub timeouts: ClientTimeouts,
    /// What a request may look like.
    pub http: HttpLimits,
    /// How to say no.
    pub errors: ErrorSettings,
}

/// How many worker threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// So many.
    Exactly(usize),
}

/// `[server.drain]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainSettings {
    /// How long requests in flight may take to finish after SIGTERM.
    pub grace: Time,
}

/// `[server.timeouts]`: how long to wait for a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTimeouts {
    /// From a connection's start to the end of its TLS handshake.
    pub tls_handshake: Time,
    /// From a request's first byte (or the connection's start) to the end of its head.
    pub request_head: Time,
    /// Without a byte of a request body that we are ready to take.
    pub request_body: Time,
    /// Without the client taking a byte of a response that we have ready.
    pub response_write: Time,
    /// Between requests on one connection.
    pub keep_alive: Time,
    /// Without a byte either way in a tunnel (WebSocket and other upgrades).
    pub idle_tunnel: Time,
}

/// Fields that a head can have at all, whatever is set.
pub const MOST_HEADERS: usize = 1024;

/// `[server.http]`: what a request may look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Bytes of a request head.
    pub max_head: Size,
    /// Header fields of a request: [`MOST_HEADERS`] at most.
    pub max_headers: usize,
    /// Bytes of the request target.
    pub max_uri: Size,
    /// Bytes of a request body; 0 is no limit.
    pub max_body: Size,
    /// Methods to let through; others get 501 if unknown to RFC 9110 and 405 if not; `["*"]` lets any token through.
    pub methods: Vec<String>,
    /// Fields with `_` in their names, which endpoints may take for those with `-`.
    pub underscores: Underscores,
    /// What to do with paths that can be read two ways.
    pub path: PathPolicy,
    /// What a connection of HTTP/2 may cost.
    pub h2: Http2Limits,
}

/// `[server.http.h2]`: what a connection of HTTP/2 may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http2Limits {
    /// Requests under way at once on one connection, up to 4096.
    pub max_streams: u32,
    /// Streams that one client may reset, or have reset by what it sends, in a minute.
    pub max_resets_per_minute: u32,
    /// Frames of one client in a minute that carry nothing (PING, SETTINGS, WINDOW_UPDATE, empty DATA and such), beyond
    /// what goes with its requests and with content.
    pub max_control_frames_per_minute: u32,
    /// Bytes of one request's body that may be on their way before somebody takes them.
    pub stream_window: Size,
    /// The same for all requests of a connection together.
    pub connection_window: Size,
    /// After so long without a word from a client that something is under way with, it is asked whether it is there. It
    /// has as long to answer, and no more than 10 s.
    pub ping: Time,
}

impl Http2Limits {
    /// As many requests at once as a connection can look after.
    pub const MOST_STREAMS: u32 = 4096;
    /// The least window that does not stall clients: what every one begins with (RFC 9113, 6.9.2).
    pub const LEAST_WINDOW: u64 = 65_535;
    /// The largest there is.
    pub const MOST_WINDOW: u64 = (1 << 31) - 1;
}

/// `[server.http.path]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathPolicy {
    /// `.` and `..` segments, also percent-encoded ones.
    pub dot_segments: DotSegments,
    /// `%2F` and `%5C`.
    pub encoded_slash: EncodedSlash,
    /// Repeated slashes: `//`. Kept, `//a` is not of the route `/a`, whatever an endpoint takes it for.
    pub empty_segments: EmptySegments,
}

/// What to do with fields that have `_` in their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Underscores {
    /// Leave them out.
    #[default]
    Drop,
    /// Refuse the request.
    Refuse,
    /// Let them be: endpoints take them for others than those with `-`.
    Pass,
}

impl From<Underscores> for http::Underscores {
    fn from(written: Underscores) -> Self {
        match written {
            Underscores::Drop => Self::Drop,
            Underscores::Refuse => Self::Refuse,
            Underscores::Pass => Self::Pass,
        }
    }
}

/// What to do with `.` and `..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum DotSegments {
    /// Resolve them (RFC 3986, 5.2.4); a path that climbs above the root is refused.
    #[default]
    Resolve,
    /// Refuse the request.
    Reject,
}

/// What to do with encoded slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum EncodedSlash {
    /// Refuse the request.
    #[default]
    Reject,
    /// Let them be: they are data, not separators.
    Keep,
}

/// What to do with `//`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum EmptySegments {
    /// Let them be.
    Keep,
    /// One slash for many.
    #[default]
    Merge,
    /// Refuse the request.
    Reject,
}

/// `[server.errors]`: how this proxy's own refusals look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorSettings {
    /// The representation.
    pub format: ErrorFormat,
    /// When to send `Proxy-Status` (RFC 9209).
    pub proxy_status: ProxyStatus,
}

/// The representation of our own errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ErrorFormat {
    /// As `Accept` asks: problem+json, HTML or text.
    #[default]
    Auto,
    /// RFC 9457 `application/problem+json`.
    Json,
    /// A page.
    Html,
    /// A line.
    Text,
}

/// When to send `Proxy-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ProxyStatus {
    /// Never.
    Off,
    /// On answers this proxy made because something failed.
    #[default]
    Errors,
    /// On every answer.
    Always,
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Exactly(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WorkersVisitor)
    }
}

struct WorkersVisitor;

impl Visitor<'_> for WorkersVisitor {
    type Value = Workers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from 1 to {}, or \"auto\" for one per core", Workers::MOST)
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Workers, E> {
        match usize::try_from(count) {
            Ok(count @ 1..=Workers::MOST) => Ok(Workers::Exactly(count)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(count), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Workers, E> {
        match u64::try_from(count) {
            Ok(count) => self.visit_u64(count),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(count), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Workers, E> {
        if text == "auto" { Ok(Workers::Auto) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }
}

impl Workers {
    /// More threads than any machine has cores.
    pub const MOST: usize = 1024;
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            watch: true,
            workers: Workers::Auto,
            backlog: 2048,
            reuse_port: false,
            max_connections: 25_000,
            max_connections_per_ip: 0,
            handoff_timeout: Time::secs(30),
            drain: DrainSettings::default(),
            timeouts: ClientTimeouts::default(),
            http: HttpLimits::default(),
            errors: ErrorSettings::default(),
        }
    }
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { grace: Time::secs(30) }
    }
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            tls_handshake: Time::secs(5),
            request_head: Time::secs(10),
            request_body: Time::secs(30),
            response_write: Time::secs(60),
            keep_alive: Time::secs(75),
            idle_tunnel: Time::secs(3600),
        }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_head: Size::kib(32),
            max_headers: 96,
            max_uri: Size::kib(8),
            max_body: Size::kib(0),
            methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"].map(String::from).to_vec(),
            underscores: Underscores::Drop,
            path: PathPolicy::default(),
            h2: Http2Limits::default(),
        }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            max_streams: 128,
            max_resets_per_minute: 200,
            max_control_frames_per_minute: 1000,
            stream_window: Size::kib(64),
            connection_window: Size::kib(1024),
            ping: Time::secs(30),
        }
    }
}

impl Default for PathPolicy {
    fn default() -> Self {
        Self {
            dot_segments: DotSegments::Resolve,
            encoded_slash: EncodedSlash::Reject,
            empty_segments: EmptySegments::Merge,
        }
    }
}

impl Default for ErrorSettings {
    fn default() -> Self {
        Self { format: ErrorFormat::Auto, proxy_status: ProxyStatus::Errors }
    }
}
