//! `GET /status`: what is in force, and how it is.

use std::{
    process,
    sync::Arc,
    time::{Instant, SystemTime},
};

use schemars::JsonSchema;
use serde::Serialize;

use super::stores::Store;
use crate::{
    actors::{Ask, Reloader, Standing, State},
    clock,
    edge::{
        Handle, ListensAt,
        tls::{self, Certificates},
    },
    plan::Plan,
    proxy::Proxy,
    settings::upstream::Protocol,
    telemetry::time::Utc,
    upstream::limit,
};

/// Whom to ask for it.
#[derive(Clone)]
pub struct Status {
    proxy: Proxy,
    server: Handle,
    standing: Standing,
    ask: Ask,
    started: (SystemTime, Instant),
}

/// How everything is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Status")]
pub struct Now {
    /// Of the program.
    version: &'static str,
    /// The process.
    pid: u32,
    /// When it began, RFC 3339.
    started: String,
    /// Seconds since then.
    uptime: u64,
    settings: InForce,
    /// Connections of clients.
    connections: usize,
    listeners: Vec<Listening>,
    certificates: Vec<Certificate>,
    upstreams: Vec<Upstream>,
    stores: Vec<Store>,
}

/// Which settings are in force.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Settings")]
struct InForce {
    /// Counts the plans since the start.
    generation: u64,
    /// Since when, RFC 3339.
    since: String,
    /// What is read, the later over the earlier.
    files: Vec<String>,
    /// The last reload, if it changed nothing.
    refused: Option<Refused>,
}

/// A reload that changed nothing.
#[derive(Debug, Serialize, JsonSchema)]
struct Refused {
    /// When, RFC 3339.
    at: String,
    /// The problems, as the log has them.
    why: String,
}

/// Where clients come in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Listener")]
struct Listening {
    address: String,
    /// The section of the settings, where TLS is spoken.
    tls: Option<String>,
}

/// What clients are shown.
#[derive(Debug, Serialize, JsonSchema)]
struct Certificate {
    /// The section of the settings.
    tls: String,
    /// The DNS names it covers.
    names: Vec<String>,
    file: String,
    /// RFC 3339.
    expires: String,
    /// Seconds left; negative once it has expired.
    expires_in: i64,
}

/// An upstream with its endpoints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Upstream {
    name: String,
    /// How its breaker is, where it has one: open is not asked.
    #[schemars(extend("enum" = ["closed", "open", "half open", null]))]
    breaker: Option<&'static str>,
    /// How many requests it carries, where that is limited.
    limit: Option<Limit>,
    /// How its endpoints are found, where they are.
    discovery: Option<Discovery>,
    endpoints: Vec<Endpoint>,
}

/// How endpoints are found.
#[derive(Debug, Serialize, JsonSchema)]
struct Discovery {
    /// Where they are looked for.
    source: String,
    /// Why the endpoints may be out of date, or are not known, if they could not be found of late.
    trouble: Option<String>,
}

/// How many requests an upstream carries.
#[derive(Debug, Serialize, JsonSchema)]
struct Limit {
    /// How many may be under way now, where that is limited for the upstream.
    requests: Option<u32>,
    /// Whether that is found out by how long they take.
    adaptive: bool,
    /// Requests under way that the limit has let in.
    in_flight: u32,
    /// Requests that wait.
    waiting: usize,
    /// Requests that were turned away since the start.
    refused: u64,
}

/// One address of an upstream.
#[derive(Debug, Serialize, JsonSchema)]
struct Endpoint {
    /// What it is called.
    address: String,
    /// Which version of HTTP is spoken, as the settings say.
    protocol: Protocol,
    /// Requests under way.
    in_flight: u32,
    /// Whether it gets requests.
    #[schemars(extend("enum" = ["well", "ejected", "on trial", "fails checks", "drained"]))]
    health: String,
    /// It is used when too few of the others are well.
    backup: bool,
    /// How long it lately took to answer, in milliseconds, where that is known.
    latency: Option<f64>,
}

impl Status {
    /// Of this proxy and the server in front of it, which begin now.
    pub fn of(proxy: &Proxy, server: Handle, reloader: &Reloader) -> Self {
        let (standing, ask) = (reloader.standing(), reloader.ask());
        Self { proxy: proxy.clone(), server, standing, ask, started: (SystemTime::now(), Instant::now()) }
    }

    /// Whom it is of.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The server in front of it.
    pub fn server(&self) -> &Handle {
        &self.server
    }

    /// Which settings are in force.
    pub fn standing(&self) -> State {
        self.standing.now()
    }

    /// To have the settings read.
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// When the process began.
    pub fn started(&self) -> SystemTime {
        self.started.0
    }

    /// How it is now.
    pub fn now(&self) -> Now {
        let plan = self.proxy.plan();
        let standing = self.standing.now();
        let refused = standing.refused.map(|refused| Refused { at: written(refused.at), why: refused.why });
        Now {
            version: env!("CARGO_PKG_VERSION"),
            pid: process::id(),
            started: written(self.started.0),
            uptime: self.started.1.elapsed().as_secs(),
            settings: InForce {
                generation: standing.generation,
                since: written(standing.since),
                files: standing.files.iter().map(|file| file.display().to_string()).collect(),
                refused,
            },
            connections: self.server.connections(),
            listeners: self.server.listening().into_iter().map(listening).collect(),
            certificates: certificates(&self.server),
            upstreams: plan.upstreams.values().map(|upstream| Upstream::of(upstream, &plan)).collect(),
            stores: plan.stores().iter().map(|shelf| Store::of(shelf)).collect(),
        }
    }
}

fn listening(ListensAt { address, tls, .. }: ListensAt) -> Listening {
    Listening { address: address.to_string(), tls }
}

/// What is shown, by the names that the settings give it.
fn certificates(server: &Handle) -> Vec<Certificate> {
    let mut shown = server.certificates();
    shown.sort_by_cached_key(Certificates::name);
    let now = SystemTime::now();
    shown.iter().flat_map(Certificates::status).map(|status| Certificate::of(status, now)).collect()
}

impl Certificate {
    fn of(status: tls::Status, now: SystemTime) -> Self {
        let expires_in = match status.not_after.duration_since(now) {
            Ok(left) => left.as_secs().cast_signed(),
            Err(over) => -over.duration().as_secs().cast_signed(),
        };
        let (file, expires) = (status.source.display().to_string(), written(status.not_after));
        Self { tls: status.tls, names: status.names, file, expires, expires_in }
    }
}

impl Upstream {
    /// How it is now.
    pub fn of(upstream: &Arc<crate::upstream::Upstream>, plan: &Plan) -> Self {
        let members = upstream.members();
        let endpoints = members.endpoints.iter().map(|endpoint| Endpoint::of(endpoint));
        let breaker = upstream.breaker.as_ref().map(|breaker| breaker.circuit.position());
        let limit = upstream.limit.as_ref().map(|limit| Limit::of(limit));
        let discovery = plan.discovery(upstream).map(|discovery| Discovery {
            source: discovery.source.to_string(),
            trouble: discovery.trouble().map(|trouble| trouble.to_string()),
        });
        Self { name: upstream.name.to_string(), breaker, limit, discovery, endpoints: endpoints.collect() }
    }
}

impl Limit {
    fn of(limit: &limit::Limit) -> Self {
        let gate = &limit.gate;
        let requests = Some(limit.allowed()).filter(|requests| *requests < u32::MAX);
        Self {
            requests,
            adaptive: limit.adaptive.is_some(),
            in_flight: gate.in_flight(),
            waiting: gate.waiting(),
            refused: gate.refused.sum(),
        }
    }
}

impl Endpoint {
    fn of(endpoint: &crate::upstream::Endpoint) -> Self {
        let now = clock::coarse();
        Self {
            address: endpoint.name.to_string(),
            protocol: endpoint.target.protocol,
            in_flight: endpoint.in_flight(),
            health: endpoint.health.standing(now).to_string(),
            backup: endpoint.is_backup,
            latency: endpoint.latency.at(now).map(|latency| latency.as_secs_f64() * 1000.0),
        }
    }
}

fn written(time: SystemTime) -> String {
    Utc::from(time).rfc3339().to_string()
}
