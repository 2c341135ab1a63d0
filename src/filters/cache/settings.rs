//! What is written under `cache`.

use std::{fmt::Write, sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::shared::{Shared, Tier};
use crate::{
    cache::{
        key::{KeyRules, Parameter, QueryRule},
        policy::{Rules, SetCookies},
        store::{
            Shelf,
            disk::{Disk, Tenancy},
        },
    },
    filters::{JsonSchema, Site, schemars},
    http::{HeaderName, StatusCode, header, headers},
    settings::{DiskSettings, Names, Problem, Problems, Size, Source, StoreSettings, Time},
};

/// What is kept, for how long, and for whom.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// The one of `[stores]` where they are kept; without it 256 MiB of memory that all routes share which name none.
    pub store: Option<String>,
    /// No larger answer is kept: it passes as it comes.
    pub max_object: Size,
    /// Answers that are larger are asked for and kept in pieces of this size, from 4 KiB to an eighth of the store's memory, by whoever wants something of them; without it as a whole.
    pub slice: Option<Size>,
    /// A QUERY with a body of no more than this is answered from what is kept, up to 1 MiB; "0B" is none.
    pub max_query: Size,
    /// What of a request tells answers apart, beside scheme, host and path.
    pub key: CacheKeySettings,
    /// For how long answers are fresh that do not say it; without it a tenth of the time since they were modified, where they say that.
    pub default_ttl: Option<Time>,
    /// The same by status, such as `{ 404 = "10s" }`.
    pub status_ttl: IndexMap<String, Time>,
    /// Nothing is fresh for longer, whatever it says.
    pub max_ttl: Option<Time>,
    /// For so long after that it may still be used while a newer one is asked for, where it does not say so itself.
    pub stale_while_revalidate: Time,
    /// For so long after that it may stand in when endpoints fail, where it does not say so itself.
    pub stale_if_error: Time,
    /// What becomes of answers that set cookies.
    pub set_cookie: SetCookie,
    /// Clients can ask for what is newer (`Cache-Control: no-cache`, `max-age=0`). `no-store` and `only-if-cached` count in any case.
    pub obey_clients: bool,
    /// Tells in `Cache-Status` what was done.
    pub status: bool,
    /// From these networks and addresses (`"unix"` for unix sockets) `PURGE` has what is stored under its URL go; refused to all others. `server.http.methods` must have it.
    #[schemars(with = "Vec<String>")]
    pub purge: Vec<Source>,
    /// Clients see `Surrogate-Key` and `Cache-Tag`.
    pub show_tags: bool,
}

/// What of a request tells answers apart.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheKeySettings {
    /// The query does.
    pub query: bool,
    /// But for these parameters, such as `utm_*`.
    pub ignore: Names,
    /// Or only these parameters do.
    pub only: Names,
    /// Parameters in another order are the same.
    pub sort: bool,
    /// These fields do.
    pub headers: Names,
    /// These cookies do.
    pub cookies: Names,
}

/// What becomes of answers that set cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetCookie {
    /// They are not kept, unless they say that they are for everybody, and then without the cookie.
    #[default]
    Refuse,
    /// They are kept without the cookie.
    Drop,
    /// They are kept with it: everybody gets the same.
    Keep,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            store: None,
            max_object: Size::mib(10),
            slice: None,
            max_query: Size::kib(64),
            key: CacheKeySettings::default(),
            default_ttl: None,
            status_ttl: IndexMap::new(),
            max_ttl: None,
            stale_while_revalidate: Time::millis(0),
            stale_if_error: Time::millis(0),
            set_cookie: SetCookie::default(),
            obey_clients: true,
            status: true,
            purge: Vec::new(),
            show_tags: false,
        }
    }
}

impl Default for CacheKeySettings {
    fn default() -> Self {
        let [ignore, only, headers, cookies] = [const { Names(Vec::new()) }; 4];
        Self { query: true, ignore, only, sort: false, headers, cookies }
    }
}

/// No time at all is none.
const A_TIME: &str = "a time such as \"10m\"";

/// Each piece is asked for by itself.
const SMALLEST_SLICE: Size = Size::kib(4);

/// The body of a QUERY is held in memory, and looked at by its worker.
const LARGEST_QUERY: Size = Size::mib(1);

/// What all routes share that name no store.
const BUILT_IN: Size = Size::mib(256);

impl CacheSettings {
    /// The store. One of another size, or in another folder, is another one.
    pub fn shelf(&self, site: &Site<'_>) -> Result<Arc<Shelf>, Problems> {
        let Some(name) = &self.store else { return Ok(shelf(site, "built_in", &StoreSettings::default())) };
        let store = site.store(name, "store")?;
        if store.memory.is_none() && store.disk.is_none() {
            let what = "answers are not kept in a store of this kind";
            return Err(Problem::at(["store"], what).help("one with `memory`, `disk` or both").into());
        }
        Ok(shelf(site, name, store))
    }

    /// The rules, for this store.
    pub fn rules(&self, shelf: &Shelf, problems: &mut Problems) -> Rules {
        // Pieces are in memory alone, and several are on their way there at once.
        let (largest, largest_piece) = (shelf.largest(), shelf.memory.largest_here().min(shelf.memory.size() / 8));
        if self.max_object.0 == 0 || self.max_object.0 > largest {
            let what = format!("it is not from 1B to {}, which is what the store has room for", Size(largest));
            problems.push(Problem::at(["max_object"], what).help("\"10MiB\" without it"));
        }
        if self.slice.is_some_and(|slice| slice < SMALLEST_SLICE || slice.0 > largest_piece) {
            let most = Size(largest_piece);
            let what = format!(
                "it is not from {SMALLEST_SLICE} to {most}, of which the memory of the store has room for several"
            );
            problems.push(Problem::at(["slice"], what).help("\"1MiB\""));
        }
        if self.max_query > LARGEST_QUERY {
            let what = format!("it is more than {LARGEST_QUERY}, which is the most that is part of a key");
            problems.push(Problem::at(["max_query"], what).help("\"64KiB\" without it"));
        }
        let mut time = |key: &str, time: Option<Time>| {
            if time == Some(Time(None)) {
                problems.push(Problem::at([key], "nothing lasts for ever here").help(A_TIME));
            }
            time.and_then(|time| time.0)
        };
        let (default_ttl, max_ttl) = (time("default_ttl", self.default_ttl), time("max_ttl", self.max_ttl));
        let stale_while_revalidate = time("stale_while_revalidate", Some(self.stale_while_revalidate));
        let stale_if_error = time("stale_if_error", Some(self.stale_if_error));
        Rules {
            default_ttl,
            status_ttl: self.status_ttl(problems),
            max_ttl,
            stale_while_revalidate: stale_while_revalidate.unwrap_or_default(),
            stale_if_error: stale_if_error.unwrap_or_default(),
            cookies: match self.set_cookie {
                SetCookie::Refuse => SetCookies::Refused,
                SetCookie::Drop => SetCookies::Dropped,
                SetCookie::Keep => SetCookies::Kept,
            },
            obeys_clients: self.obey_clients,
            stores_query: self.max_query.0 > 0,
            ..Rules::default()
        }
    }

    fn status_ttl(&self, problems: &mut Problems) -> Vec<(StatusCode, Duration)> {
        let known = |(written, time): (&String, &Time)| {
            let status = written.parse().ok().and_then(|number: u16| StatusCode::from_u16(number).ok());
            // Parts and what has not changed are no answers of their own.
            let status = status.filter(|status| status.as_u16() >= 200 && ![206, 304].contains(&status.as_u16()));
            match (status, time.0) {
                (Some(status), Some(time)) => Some((status, time)),
                (None, _) => {
                    let what = format!("no status whose answers could be kept: `{}`", written.escape_debug());
                    problems.push(Problem::at_key(["status_ttl", written], what).help("such as 404 = \"10s\""));
                    None
                }
                (_, None) => {
                    let problem = Problem::at(["status_ttl", written], "nothing lasts for ever here");
                    problems.push(problem.help(A_TIME));
                    None
                }
            }
        };
        self.status_ttl.iter().filter_map(known).collect()
    }
}

impl CacheKeySettings {
    /// The rules of keys.
    pub fn rules(&self, problems: &mut Problems) -> KeyRules {
        let (ignores, selects) = (!self.ignore.0.is_empty(), !self.only.0.is_empty());
        if usize::from(ignores) + usize::from(selects) + usize::from(!self.query) > 1 {
            let what = "`query = false`, `ignore` and `only` say different things of the query";
            problems.push(Problem::at(["key"], what).help("one of them"));
        }
        let mut parameters = |key: &str, names: &Names| {
            let parameter = |(index, name): (usize, &str)| {
                let parameter = Parameter::parse(name).filter(|_| name != "*");
                if parameter.is_none() {
                    let what = format!("it names nothing, or everything: `{}`", name.escape_debug());
                    problems.push(Problem::at(["key", key, &index.to_string()], what).help("a name, or \"utm_*\""));
                }
                parameter
            };
            names.iter().enumerate().filter_map(parameter).collect::<Vec<_>>()
        };
        let (ignore, only) = (parameters("ignore", &self.ignore), parameters("only", &self.only));
        let is_named = |(index, name): (usize, &str)| {
            let is_named = headers::is_token(name.as_bytes());
            if !is_named {
                let what = format!("no cookie is called `{}`", name.escape_debug());
                problems.push(Problem::at(["key", "cookies", &index.to_string()], what).help("a name"));
            }
            is_named.then(|| name.to_owned())
        };
        let cookies = self.cookies.iter().enumerate().filter_map(is_named).collect();
        KeyRules {
            query: match (self.query, ignores, selects) {
                (false, ..) => QueryRule::Ignored,
                (_, true, _) => QueryRule::Without(ignore),
                (_, _, true) => QueryRule::Only(only),
                _ => QueryRule::Whole,
            },
            sorts: self.sort,
            headers: self.headers.iter().enumerate().filter_map(|(index, name)| field(index, name, problems)).collect(),
            cookies,
        }
    }
}

/// Known by all that it is made of, so that another one is another one.
fn shelf(site: &Site<'_>, name: &str, store: &StoreSettings) -> Arc<Shelf> {
    let size = store.memory.map_or(BUILT_IN, |memory| memory.size).0;
    let mut known = format!("cache:{name}:{size}");
    let disk = store.disk.as_ref().map(|DiskSettings { path, size }| {
        let _ = write!(known, ":{}:{}", size.0, path.display());
        (path.clone(), size.0, site.share(&format!("folder:{}", path.display()), Tenancy::default))
    });
    let shared = store.redis.as_ref().map(|redis| {
        let shared = Shared::named(name, redis);
        let _ = write!(known, ":{shared}");
        site.share(&shared, || Shared::new(name, redis))
    });
    let shelf = site.share(&known, || {
        let mut shelf = Shelf::new(name, size);
        if let Some((path, size, tenancy)) = disk {
            shelf = shelf.over(Box::new(Disk::new(path, size, tenancy)));
        }
        if let Some(shared) = &shared {
            shelf = shelf.over(Box::new(Tier(Arc::clone(shared))));
        }
        shelf
    });
    if let Some(shared) = shared {
        shared.tells(&shelf);
        site.chore(shared);
    }
    shelf
}

fn field(index: usize, written: &str, problems: &mut Problems) -> Option<HeaderName> {
    let name = HeaderName::try_from(written).ok().filter(|name| !headers::is_hop_by_hop(name) && *name != header::HOST);
    if name.is_none() {
        let what = format!("no field that could tell answers apart: `{}`", written.escape_debug());
        let problem = Problem::at(["key", "headers", &index.to_string()], what);
        problems.push(problem.help("a name such as \"accept-language\"; the host is part of each key"));
    }
    name
}
