//! One address of an upstream, with the state that outlives a reload.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use tokio::sync::Semaphore;

use super::latency::Latency;
use crate::{
    exchange::InFlight,
    http::proxy_protocol::Version,
    settings::upstream::{EndpointHttp2, PoolSettings, Protocol},
    transport::{Address, Target, pool::Limits, tls::client::Profile},
};

/// One address of an upstream. Shared by all workers, and by the plans before and after a reload.
pub struct Endpoint {
    /// The address as it is named in logs.
    pub name: Arc<str>,
    /// Its share among the others.
    pub weight: u32,
    /// How to reach it.
    pub target: Target,
    /// The limits on its connections as they were written.
    pub pool: PoolSettings,
    /// How long it lately took to answer, where a balancer wants to know.
    pub latency: Arc<Latency>,
    in_flight: Arc<AtomicU32>,
}

impl Endpoint {
    /// An endpoint nobody has used yet.
    pub fn new(address: Address, authority: &str, weight: u32, pool: &PoolSettings) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let target = Target {
            authority: authority.into(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            pool: Arc::new(Limits {
                max_idle: pool.max_idle,
                idle: pool.idle.0.unwrap_or(UNLIMITED),
                lifetime: pool.lifetime.0.unwrap_or(UNLIMITED),
                total: Arc::new(Semaphore::new(pool.max_total)),
                max_queue: pool.max_queue,
                queued: AtomicU64::new(0),
                wanted: Arc::default(),
            }),
            address,
            tls: None,
            proxy_protocol: None,
            protocol: Protocol::Auto,
            h2: EndpointHttp2::default(),
            http1_until: AtomicU64::new(0),
        };
        let name = target.address.to_string().into();
        Self { name, weight, target, pool: pool.clone(), latency: Arc::default(), in_flight: Arc::default() }
    }

    /// The same, encrypted.
    #[must_use]
    pub fn over_tls(mut self, profile: Arc<Profile>) -> Self {
        self.target.tls = Some(profile);
        self
    }

    /// The same, with a PROXY header in front of each connection.
    #[must_use]
    pub fn announcing(mut self, clients: Option<Version>) -> Self {
        self.target.proxy_protocol = clients;
        self
    }

    /// The same, with which this is spoken.
    #[must_use]
    pub fn speaking(mut self, protocol: Protocol, h2: &EndpointHttp2) -> Self {
        self.target.protocol = protocol;
        self.target.h2 = h2.clone();
        self
    }

    /// How many exchanges it carries now, over all workers.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts one exchange more, until the guard falls.
    pub fn enter(&self) -> InFlight {
        InFlight::at(&self.in_flight)
    }
}

/// What `"off"` means for the age of a connection: longer than any will live.
const UNLIMITED: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);
