//! One address of an upstream, with the state that outlives a reload.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{health::Health, latency::Latency};
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
    /// It gets requests only when none of the others can.
    pub is_backup: bool,
    /// How long it lately took to answer, where somebody wants to know.
    pub latency: Arc<Latency>,
    /// Whether it is well.
    pub health: Arc<Health>,
    /// How many of its places are taken, where it has only so many.
    pub slots: Arc<AtomicU32>,
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
        Self {
            name,
            weight,
            target,
            pool: pool.clone(),
            is_backup: false,
            latency: Arc::default(),
            health: Arc::default(),
            slots: Arc::default(),
            in_flight: Arc::default(),
        }
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

    /// The same address as before, by other settings: what is known of it goes on.
    #[must_use]
    pub fn known_as(mut self, before: &Self) -> Self {
        self.latency = Arc::clone(&before.latency);
        self.health = Arc::clone(&before.health);
        self.slots = Arc::clone(&before.slots);
        self.in_flight = Arc::clone(&before.in_flight);
        self
    }

    /// The same as a backup.
    #[must_use]
    pub fn as_backup(mut self, is_backup: bool) -> Self {
        self.is_backup = is_backup;
        self
    }

    /// When it will have been well for so long, if it once was not.
    pub fn warm_at(&self, slow_start: Duration) -> Option<Duration> {
        Some(self.health.well_since()? + slow_start)
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
