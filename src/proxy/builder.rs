//! A proxy described in code: the programmatic twin of a settings file.

use super::Proxy;
use crate::{
    filters,
    kinds::Kinds,
    settings::{Problems, RouteSettings, Settings, UpstreamSettings, upstream::ServerUrl},
    upstream::balancers,
};

/// Gathers what settings files would say, and draws the same plan from it.
#[derive(Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    settings: Settings,
    kinds: Kinds,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A pattern and where it leads: a URL, an upstream's name, or [`RouteSettings`].
    pub fn route(mut self, pattern: &str, to: impl Into<RouteSettings>) -> Self {
        self.settings.routes.insert(pattern.to_owned(), to.into());
        self
    }

    /// A named group of endpoints.
    pub fn upstream<S: Into<ServerUrl>>(self, name: &str, servers: impl IntoIterator<Item = S>) -> Self {
        let servers = servers.into_iter().map(Into::into).collect();
        self.upstream_with(name, UpstreamSettings { servers, ..UpstreamSettings::default() })
    }

    /// A named group of endpoints with all it can say.
    pub fn upstream_with(mut self, name: &str, upstream: UpstreamSettings) -> Self {
        self.settings.upstreams.insert(name.to_owned(), upstream);
        self
    }

    /// A filter of one's own, to be named in routes like any other.
    pub fn filter<K: filters::Kind>(mut self) -> Self {
        self.kinds.add_filter::<K>();
        self
    }

    /// A balancer of one's own, to be named in upstreams like any other.
    pub fn balancer<K: balancers::Kind>(mut self) -> Self {
        self.kinds.add_balancer::<K>();
        self
    }

    /// Everything else that can be set.
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Draws the plan.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn build(self) -> Result<Proxy, Problems> {
        Proxy::with_kinds(self.settings, self.kinds).map_err(Problems::in_code)
    }
}
