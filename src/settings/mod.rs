//! What the operator wrote. Plain data, no behaviour: a [`crate::plan::Plan`] is drawn from it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub mod admin;
pub mod balance;
pub mod beside;
pub mod breaker;
pub mod destination;
pub mod discover;
pub mod health;
pub mod hedge;
mod layer;
pub mod layers;
pub mod limit;
pub mod listener;
pub mod mirror;
mod names;
mod or_off;
mod origins;
pub mod outlier;
mod overrides;
pub mod pace;
pub mod policy;
pub mod problem;
pub mod rate;
mod render;
pub mod retry;
pub mod route;
mod schemas;
mod secrecy;
pub mod server;
pub mod share;
pub mod show;
pub mod source;
pub mod sticky;
pub mod store;
mod strict;
pub mod telemetry;
pub mod test;
mod text;
pub mod tls;
mod trace;
pub mod upstream;
pub mod values;

pub use self::{
    admin::AdminSettings,
    balance::BalanceSettings,
    beside::Beside,
    breaker::BreakerSettings,
    destination::Destination,
    discover::DiscoverSettings,
    health::HealthSettings,
    hedge::{HedgeRule, HedgeSettings},
    layers::{Layers, Loaded, Reading},
    limit::LimitSettings,
    listener::Listener,
    mirror::MirrorSettings,
    names::Names,
    or_off::OrOff,
    origins::Origins,
    outlier::OutlierSettings,
    overrides::Overrides,
    pace::Pace,
    policy::PolicySettings,
    problem::{Place, Problem, Problems, did_you_mean},
    rate::Rate,
    retry::RetrySettings,
    route::{RouteDefaults, RouteSettings},
    server::ServerSettings,
    share::Share,
    source::Source,
    sticky::{CohortSettings, StickySettings},
    store::{DiskSettings, MemorySettings, RedisSettings, StoreSettings},
    strict::read,
    telemetry::LogSettings,
    test::TestSettings,
    tls::TlsSettings,
    upstream::UpstreamSettings,
    values::{FileMode, Secret, Size, Time},
};

/// Everything that can be set. Every key has a default; see `settings/default.toml` for all of them with a comment each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to accept clients.
    pub listen: Vec<Listener>,
    /// What listeners show their clients, by the name that they call it.
    pub tls: IndexMap<String, TlsSettings>,
    /// Where proxies in front of us connect from whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<Source>,
    /// What this proxy calls itself in `Via` and `Proxy-Status`.
    pub server_name: String,
    /// What operators ask the running proxy.
    pub admin: AdminSettings,
    /// The server: workers, limits, timeouts.
    pub server: ServerSettings,
    /// What holds for every route that does not say otherwise.
    pub defaults: RouteDefaults,
    /// Filters that routes use by name.
    pub policies: IndexMap<String, PolicySettings>,
    /// Where several processes keep what they share.
    pub stores: IndexMap<String, StoreSettings>,
    /// Patterns and what to do with the requests they match.
    pub routes: IndexMap<String, RouteSettings>,
    /// Named groups of endpoints.
    pub upstreams: IndexMap<String, UpstreamSettings>,
    /// Logs.
    pub log: LogSettings,
    /// Requests with what must become of them; `check` runs them.
    pub tests: Vec<TestSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Listener::address("127.0.0.1:8080")],
            tls: IndexMap::new(),
            trusted_proxies: Vec::new(),
            server_name: "aqueduct".into(),
            admin: AdminSettings::default(),
            server: ServerSettings::default(),
            defaults: RouteDefaults::built_in(),
            policies: IndexMap::new(),
            stores: IndexMap::new(),
            routes: IndexMap::new(),
            upstreams: IndexMap::new(),
            log: LogSettings::default(),
            tests: Vec::new(),
        }
    }
}
