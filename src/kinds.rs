//! How settings name a filter or a balancer: two tables that can be read.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use schemars::Schema;
use serde_json::{Map, Value};

use crate::{
    filters::{self, Kind, Step, WhoAsks, site::Site},
    settings::{self, Problems},
    upstream::{
        Endpoint,
        balancers::{self, Balancer},
    },
};

pub mod reference;

/// The kinds of filters and balancers that settings can name.
#[derive(Clone)]
pub struct Kinds {
    filters: Vec<FilterKind>,
    balancers: Vec<BalancerKind>,
}

/// One kind of filter.
#[derive(Clone, Copy)]
pub struct FilterKind {
    /// The key in a route's settings.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    build: fn(&Value, &Site<'_>) -> Result<Step, Problems>,
    files: fn(&Value) -> Vec<PathBuf>,
    who_asks: fn(&Value) -> WhoAsks,
    about: &'static str,
    schema: fn() -> Option<Schema>,
}

/// One kind of balancer.
#[derive(Clone, Copy)]
pub struct BalancerKind {
    /// What `balance` says.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    build: BuildBalancer,
}

type BuildBalancer = fn(&Value, &[Arc<Endpoint>], &[String]) -> Result<Box<dyn Balancer>, Problems>;

impl Kinds {
    /// Those that come with the house, filters in the order in which a request passes them.
    pub fn built_in() -> Self {
        Self {
            filters: vec![
                filter_kind::<filters::bandwidth::Bandwidth>(),
                filter_kind::<filters::security_headers::SecurityHeaders>(),
                filter_kind::<filters::compress::Compress>(),
                filter_kind::<filters::error_pages::ErrorPages>(),
                filter_kind::<filters::ip_access::IpAccess>(),
                filter_kind::<filters::cors::Cors>(),
                filter_kind::<filters::request_rules::RequestRules>(),
                filter_kind::<filters::rate_limit::RateLimit>(),
                filter_kind::<filters::concurrency::Concurrency>(),
                filter_kind::<filters::basic_auth::BasicAuth>(),
                filter_kind::<filters::api_key::ApiKey>(),
                filter_kind::<filters::jwt::Jwt>(),
                filter_kind::<filters::client_cert::ClientCert>(),
                filter_kind::<filters::forward_auth::ForwardAuth>(),
                filter_kind::<filters::auth::Auth>(),
                filter_kind::<filters::authorize::Authorize>(),
                filter_kind::<filters::rate_limit::Quota>(),
                filter_kind::<filters::validate::Validate>(),
                filter_kind::<filters::response_rules::ResponseRules>(),
                filter_kind::<filters::cache::Cache>(),
                filter_kind::<filters::rewrite::Rewrite>(),
                filter_kind::<filters::header_rules::HeaderRules>(),
                filter_kind::<filters::substitute::Substitute>(),
            ],
            balancers: vec![
                balancer_kind::<balancers::P2c>(),
                balancer_kind::<balancers::RoundRobin>(),
                balancer_kind::<balancers::LeastRequests>(),
                balancer_kind::<balancers::Random>(),
                balancer_kind::<balancers::ConsistentHash>(),
            ],
        }
    }

    /// Adds a kind of filter, which stands behind all others; one of the same name is replaced where it stands.
    pub fn add_filter<K: Kind>(&mut self) {
        match self.filters.iter_mut().find(|kind| kind.name == K::NAME) {
            Some(known) => *known = filter_kind::<K>(),
            None => self.filters.push(filter_kind::<K>()),
        }
    }

    /// Adds a kind of balancer; one of the same name is replaced.
    pub fn add_balancer<K: balancers::Kind>(&mut self) {
        self.balancers.retain(|kind| kind.name != K::NAME);
        self.balancers.push(balancer_kind::<K>());
    }

    /// All kinds of filters.
    pub fn filters(&self) -> &[FilterKind] {
        &self.filters
    }

    /// All kinds of balancers.
    pub fn balancers(&self) -> &[BalancerKind] {
        &self.balancers
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::built_in()
    }
}

impl FilterKind {
    /// Makes the step from what is written at a place, or says everything that is wrong with it.
    ///
    /// # Errors
    /// Each with its place.
    pub fn build(&self, settings: &Value, site: &Site<'_>) -> Result<Step, Problems> {
        (self.build)(settings, site)
    }

    /// What people should know of it, in Markdown.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// What its settings may be, as a JSON Schema, if it tells.
    pub fn schema(&self) -> Option<Value> {
        (self.schema)().map(Schema::to_value)
    }

    /// The files that are read to make it, as far as what is written can be understood.
    pub fn files(&self, settings: &Value) -> Vec<PathBuf> {
        (self.files)(settings)
    }

    /// Whether a filter of these settings has to know who asks.
    pub fn who_asks(&self, settings: &Value) -> WhoAsks {
        (self.who_asks)(settings)
    }
}

fn filter_kind<K: Kind>() -> FilterKind {
    FilterKind {
        name: K::NAME,
        summary: K::SUMMARY,
        build: build_filter::<K>,
        files: files_of::<K>,
        who_asks: who_asks::<K>,
        about: K::ABOUT,
        schema: K::schema,
    }
}

impl BalancerKind {
    /// Makes one for these endpoints from what is written at the key `at`, or says everything that is wrong with it.
    ///
    /// # Errors
    /// Each with its place.
    pub fn build(
        &self,
        settings: &Value,
        endpoints: &[Arc<Endpoint>],
        at: &[String],
    ) -> Result<Box<dyn Balancer>, Problems> {
        (self.build)(settings, endpoints, at)
    }
}

fn build_filter<K: Kind>(written: &Value, site: &Site<'_>) -> Result<Step, Problems> {
    let settings: K::Settings = settings::read(&as_table(written), site.key())?;
    K::build(settings, site).map_err(|wrong| placed(wrong, site.key(), K::SUMMARY))
}

fn files_of<K: Kind>(written: &Value) -> Vec<PathBuf> {
    // What is wrong with it is told where it is built.
    settings::read::<K::Settings>(&as_table(written), &[]).map(|settings| K::files(&settings)).unwrap_or_default()
}

fn who_asks<K: Kind>(written: &Value) -> WhoAsks {
    let settings = settings::read::<K::Settings>(&as_table(written), &[]);
    settings.map_or(WhoAsks::Unasked, |settings| K::who_asks(&settings))
}

/// `compress = true` is `compress = {}`.
fn as_table(written: &Value) -> Cow<'_, Value> {
    match written {
        Value::Bool(true) => Cow::Owned(Value::Object(Map::new())),
        other => Cow::Borrowed(other),
    }
}

fn build_balancer<K: balancers::Kind>(
    written: &Value,
    endpoints: &[Arc<Endpoint>],
    at: &[String],
) -> Result<Box<dyn Balancer>, Problems> {
    let settings: K::Settings = settings::read(written, at)?;
    K::build(settings, endpoints).map_err(|wrong| placed(wrong, at, K::SUMMARY))
}

/// Problems of a kind, where its settings stand.
fn placed(Problems(wrong): Problems, at: &[String], summary: &str) -> Problems {
    let placed = wrong.into_iter().map(|problem| {
        let problem = problem.inside(at);
        if problem.help.is_some() { problem } else { problem.help(summary) }
    });
    Problems(placed.collect())
}

fn balancer_kind<K: balancers::Kind>() -> BalancerKind {
    BalancerKind { name: K::NAME, summary: K::SUMMARY, build: build_balancer::<K> }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for one of the house's.
    struct OneOfYours;

    impl Kind for OneOfYours {
        const NAME: &'static str = "jwt";
        const SUMMARY: &'static str = "lets nobody in";
        type Settings = Map<String, Value>;

        fn build(_: Self::Settings, _: &Site<'_>) -> Result<Step, Problems> {
            Err(Problems::default())
        }
    }

    #[test]
    fn a_filter_that_takes_the_place_of_another_stands_where_that_one_stood() {
        let mut kinds = Kinds::built_in();
        let names = |kinds: &Kinds| kinds.filters().iter().map(|kind| kind.name).collect::<Vec<_>>();
        let before = names(&kinds);

        kinds.add_filter::<OneOfYours>();

        assert_eq!(names(&kinds), before);
        assert!(kinds.filters().iter().any(|kind| kind.summary == OneOfYours::SUMMARY));
    }

    #[test]
    fn what_clients_may_do_is_asked_behind_whoever_finds_out_who_they_are() {
        let kinds = Kinds::built_in();
        let place = |name: &str| kinds.filters().iter().position(|kind| kind.name == name);
        let asked = place("authorize").expect("a filter");

        for name in ["basic_auth", "api_key", "jwt", "client_cert", "forward_auth", "auth"] {
            assert!(place(name).is_none_or(|place| place < asked), "{name} stands behind authorize");
        }
        assert!(place("request_rules").is_some_and(|place| place < asked));
    }
}
