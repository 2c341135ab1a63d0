//! Settings become a plan, or every problem is told at once.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use indexmap::IndexMap;

pub use self::{
    changes::Changes,
    cohort::{Cohort, Member},
    discovery::{Discovery, Found, Question},
    https::Https,
    listeners::{ListenAddress, Listener},
    passages::{Passage, StepName},
    routes::{FixedAnswer, HostRule, Redirect, Route, Target},
    split::{Side, Split},
    subjects::Subjects,
    tls::ListenerTls,
};
use self::{
    passages::{Built, Passages},
    tls::Held,
};
use crate::{
    cache::store::Shelf,
    filters::Chore,
    http::Method,
    kinds::Kinds,
    routing::Table,
    settings::{Problem, Problems, RouteDefaults, Settings, server::MOST_HEADERS},
    telemetry::{access_log::AccessLog, metrics::Ledger},
    transport::url,
    upstream::Upstream,
};

pub mod acme;
mod admin;
mod affinity;
mod breaker;
mod changes;
mod checks;
mod cohort;
mod destinations;
pub mod discovery;
mod end;
mod hedges;
mod http2;
pub mod https;
mod kept;
mod known;
mod limits;
mod listeners;
pub mod mirror;
pub mod passages;
mod places;
mod routes;
mod split;
mod stores;
mod subjects;
mod tls;
mod upstreams;

/// What the proxy will do. Never half valid; never changed, only replaced.
pub struct Plan {
    /// Which route takes a request.
    pub routes: Table<Route>,
    /// What a request passes that none takes: the filters of all routes.
    pub fallback: Passage,
    /// All upstreams by name, those that a route names by URL included.
    pub upstreams: Upstreams,
    /// Those of them whose endpoints are found, by name.
    pub discoveries: IndexMap<Arc<str>, Arc<Discovery>>,
    /// Where to accept clients.
    pub listeners: Vec<Listener>,
    /// Where operators are answered.
    pub admin: Option<ListenAddress>,
    /// Which hosts plain HTTP is no good for.
    pub https: Option<Https>,
    /// What can be done as it was written, and still should be known.
    pub warnings: Vec<String>,
    /// What it was drawn from.
    pub settings: Settings,
    /// What is counted; the same in every plan after it.
    pub ledger: Ledger,
    /// Filters, by the place of their settings.
    built: Built,
    /// Certificates and the like.
    held: Vec<Held>,
}

/// Every file that is read when a plan is drawn, but for settings themselves.
pub fn files(settings: &Settings, kinds: &Kinds) -> Vec<PathBuf> {
    let mut files = tls::files(settings);
    files.extend(passages::files(settings, kinds));
    files
}

/// Upstreams by name.
pub type Upstreams = IndexMap<Arc<str>, Arc<Upstream>>;

impl Plan {
    /// Draws a plan, or says everything that is wrong with the settings. Opens nothing but files that
    /// settings name, spawns nothing. Endpoints that
    /// `before` had under the same upstream are carried over with their state.
    pub fn draw(settings: Settings, kinds: &Kinds, before: Option<&Plan>) -> Result<Self, Problems> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        check_server(&settings, &mut problems);
        stores::check(&settings.stores, &mut problems);
        let tls = tls::listeners(&settings, &mut problems, &mut warnings);
        let listeners = listeners::of(&settings, &tls, &mut problems, &mut warnings);
        let admin = admin::address(&settings, &listeners, &mut problems);
        warnings.extend(acme::warnings(&tls, &listeners));
        warnings.extend(affinity::warnings(&settings));
        warnings.extend(hedges::warnings(&settings));
        let https = Https::of(&tls, &listeners, &mut problems, &mut warnings);
        let mut held: Vec<_> = tls.values().flat_map(|tls| tls.held()).collect();
        let (named, discoveries) = upstreams::named(&settings, kinds, before, &mut problems, &mut warnings);
        let ledger = before.map_or_else(Ledger::default, |plan| plan.ledger.clone());
        let passages = Passages::new(&settings, kinds, before.map(|plan| &plan.built), &ledger);
        let defaults = settings.defaults.or(&RouteDefaults::built_in());
        let mut drawing =
            routes::Drawing { settings: &settings, defaults, before, passages, upstreams: named, problems };
        let mut entries = drawing.entries();
        let routes::Drawing { upstreams, mut problems, mut passages, .. } = drawing;
        let fallback = passages.of_no_route(&mut problems);
        let built = passages.into_built();
        warnings.extend(built.warnings());
        if problems.is_empty() {
            subjects::number(&mut entries, &ledger, settings.admin.max_series);
        }
        let routes = match Table::build(entries) {
            Ok(routes) => Some(routes),
            Err(ties) => {
                problems.extend(ties.iter().map(|tie| {
                    Problem::at_key(
                        ["routes", tie.second.as_str()],
                        format!("ties with `{}`: both can match the same request", tie.first),
                    )
                    .related(["routes", tie.first.as_str()], "the other one")
                    .help("make one of them more specific, or give regex routes different priorities")
                }));
                None
            }
        };
        held.extend(tls::held_by_upstreams(&settings, &upstreams));
        match routes {
            Some(routes) if problems.is_empty() => Ok(Self {
                routes,
                fallback,
                upstreams,
                discoveries,
                listeners,
                https,
                admin,
                warnings,
                settings,
                ledger,
                built,
                held,
            }),
            _ => Err(Problems(problems)),
        }
    }
}

impl Plan {
    /// How the endpoints of an upstream are found, if they are.
    pub fn discovery(&self, upstream: &Arc<Upstream>) -> Option<&Arc<Discovery>> {
        self.discoveries.get(&upstream.name).filter(|discovery| Arc::ptr_eq(&discovery.upstream, upstream))
    }

    /// What its filters have to do that is on no request's way.
    pub fn chores(&self) -> impl Iterator<Item = &Arc<dyn Chore>> {
        self.built.chores()
    }

    /// Where answers are kept, by name, the newest first: a worker may still hold one of other settings.
    pub fn shelves(&self) -> Vec<Arc<Shelf>> {
        let mut all: Vec<Arc<Shelf>> = self.built.shared().all();
        all.sort_by(|one, other| one.name.cmp(&other.name).then(other.made.cmp(&one.made)));
        all
    }

    /// The same, one of each name.
    pub fn stores(&self) -> Vec<Arc<Shelf>> {
        let mut newest = self.shelves();
        newest.dedup_by(|older, newer| older.name == newer.name);
        newest
    }

    /// Puts its warnings into the application log.
    pub fn warn(&self) {
        for warning in &self.warnings {
            log::warn!("{warning}");
        }
    }

    /// The same with what is expiring.
    pub fn warn_of_expiry(&self) {
        for notice in self.expiring(SystemTime::now()) {
            log::warn!("{notice}");
        }
    }

    /// What is to be said by now of certificates that end soon, or have.
    pub fn expiring(&self, now: SystemTime) -> Vec<String> {
        self.held.iter().filter_map(|held| held.notice(now)).collect()
    }

    /// How long it takes until something else is to be said of them.
    pub fn next_notice(&self, now: SystemTime) -> Option<Duration> {
        self.held.iter().filter_map(|held| held.next_notice(now)).min()
    }
}

fn check_server(settings: &Settings, problems: &mut Vec<Problem>) {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !is_token(&settings.server_name) {
        problems.push(
            Problem::at(["server_name"], format!("`{}` cannot stand in a Via field", settings.server_name))
                .help("letters, digits, `-`, `_` and `.`"),
        );
    }
    for (index, method) in settings.server.http.methods.iter().enumerate() {
        if method != "*" && Method::from_bytes(method.as_bytes()).is_err() {
            let key = ["server", "http", "methods", &index.to_string()].map(String::from);
            problems.push(
                Problem::at(key, format!("`{method}` is not a method"))
                    .help("a token such as \"GET\", or \"*\" for any"),
            );
        }
    }
    let limits = &settings.server.http;
    for (key, value) in
        [("max_head", limits.max_head.0), ("max_uri", limits.max_uri.0), ("max_headers", limits.max_headers as u64)]
    {
        if value == 0 {
            problems.push(Problem::at(["server", "http", key], "no request fits into nothing").help("a limit above 0"));
        }
    }
    if limits.max_headers > MOST_HEADERS {
        problems.push(
            Problem::at(["server", "http", "max_headers"], "more fields than any head is read with")
                .help(format!("{MOST_HEADERS} or less")),
        );
    }
    http2::check(&limits.h2, problems);
    let level = &settings.log.level;
    if env_filter::Builder::new().try_parse(level).is_err() || !level.split('/').next().is_some_and(names_levels) {
        problems.push(
            Problem::at(["log", "level"], format!("`{}` is not a log level", level.escape_debug()))
                .help("error, warn, info, debug, trace, off, or a filter such as \"info,aqueduct=debug\""),
        );
    }
    problems.extend(AccessLog::check(&settings.log.access));
}

/// A filter takes a word alone that is no level for a module: what was meant as a level would silence everything.
fn names_levels(directives: &str) -> bool {
    let is_level = |word: &str| word.trim().parse::<log::LevelFilter>().is_ok();
    directives.split(',').all(|directive| is_level(directive) || directive.contains(['=', ':']))
}
