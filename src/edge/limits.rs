//! What a client may cost, made of the settings once.

use std::time::Duration;

pub use crate::settings::server::MOST_HEADERS;
use crate::{
    http::{
        HeaderValue, Underscores,
        error_page::{Format, ProxyStatus, Style},
    },
    proxy::Proxy,
    settings::{
        ServerSettings, Time,
        listener::ListenerTimeouts,
        server::{self, Http2Limits},
    },
    telemetry::tail::Ears,
};

/// Limits on each connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request head.
    pub max_head: usize,
    /// Fields of a request.
    pub max_headers: usize,
    /// Bytes of a request target.
    pub max_uri: usize,
    /// Bytes of a request body.
    pub max_body: Option<u64>,
    /// What becomes of fields with `_` in their names.
    pub underscores: Underscores,
    /// From a connection's start to the end of its TLS handshake.
    pub tls_handshake: Option<Duration>,
    /// From a request's first byte, or the connection's start, to the end of its head.
    pub request_head: Option<Duration>,
    /// Without a byte of a body that somebody wants.
    pub request_body: Option<Duration>,
    /// Without the client taking a byte.
    pub response_write: Option<Duration>,
    /// Between requests.
    pub keep_alive: Option<Duration>,
    /// What a connection of HTTP/2 may cost.
    pub http2: Http2Limits,
    /// How to say no.
    pub style: Style,
    /// Whose access log has a line for what no App sees.
    pub log_of: Option<Proxy>,
}

impl Limits {
    /// Those of the settings.
    pub fn of(settings: &ServerSettings, server_name: &str) -> Self {
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let (http, timeouts) = (&settings.http, &settings.timeouts);
        Self {
            max_head: size(http.max_head.0),
            max_headers: http.max_headers.min(MOST_HEADERS),
            max_uri: size(http.max_uri.0),
            max_body: (http.max_body.0 > 0).then_some(http.max_body.0),
            underscores: http.underscores.into(),
            tls_handshake: timeouts.tls_handshake.0,
            request_head: timeouts.request_head.0,
            request_body: timeouts.request_body.0,
            response_write: timeouts.response_write.0,
            keep_alive: timeouts.keep_alive.0,
            http2: http.h2.clone(),
            style: style(settings, server_name),
            log_of: None,
        }
    }

    /// The same where a listener has times of its own.
    pub fn at(&self, listener: &ListenerTimeouts) -> Self {
        let or = |own: Option<Time>, all: Option<Duration>| own.map_or(all, |own| own.0);
        Self {
            tls_handshake: or(listener.tls_handshake, self.tls_handshake),
            request_head: or(listener.request_head, self.request_head),
            request_body: or(listener.request_body, self.request_body),
            response_write: or(listener.response_write, self.response_write),
            keep_alive: or(listener.keep_alive, self.keep_alive),
            ..self.clone()
        }
    }

    /// Who wants to know of a request that no App sees. It may be somebody else after a reload.
    pub fn ears(&self) -> Ears {
        self.log_of.as_ref().map(Proxy::ears).unwrap_or_default()
    }
}

fn style(settings: &ServerSettings, server_name: &str) -> Style {
    Style {
        format: match settings.errors.format {
            server::ErrorFormat::Auto => Format::Auto,
            server::ErrorFormat::Json => Format::Json,
            server::ErrorFormat::Html => Format::Html,
            server::ErrorFormat::Text => Format::Text,
        },
        proxy_status: match settings.errors.proxy_status {
            server::ProxyStatus::Off => ProxyStatus::Off,
            server::ProxyStatus::Errors => ProxyStatus::Errors,
            server::ProxyStatus::Always => ProxyStatus::Always,
        },
        server_name: server_name.to_owned(),
        allow: allow(&settings.http.methods),
    }
}

/// What a refused CONNECT is told; `None` if any method is let through.
fn allow(methods: &[String]) -> Option<HeaderValue> {
    if methods.iter().any(|method| method == "*") {
        return None;
    }
    let others: Vec<&str> = methods.iter().map(String::as_str).filter(|method| *method != "CONNECT").collect();
    HeaderValue::from_str(&others.join(", ")).ok()
}
