//! Limits as they are written.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        self, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use super::{bucket::Bucket, lease::Window};
use crate::{
    filters::{
        JsonSchema, Site,
        keys::{self, Key, KeySettings, Stage},
        schemars, table,
    },
    settings::{Problem, Problems, Rate, RedisSettings, Share},
};

/// More than these nobody keeps apart.
pub const MOST_LIMITS: usize = 8;

/// Of what is shared this is leased where settings do not say.
const A_TENTH: Share = Share::percent(10);

/// What is written under `rate_limit` or `quota`: one limit, or an array of several.
#[derive(Debug)]
pub struct RateLimitSettings {
    /// Each of them.
    pub limits: Vec<LimitSettings>,
    /// It was an array.
    is_array: bool,
}

/// One limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// How often: a bucket fills at this rate.
    pub rate: Rate,
    /// So many may come at once; without it as many as `rate` has in its time.
    #[serde(default)]
    pub burst: Option<u32>,
    /// What has a bucket of its own.
    #[serde(default)]
    pub key: KeySettings,
    /// So many bits of an IPv6 address are one client: 16 to 128.
    #[serde(default = "keys::a_clients_network")]
    pub ipv6_prefix: u8,
    /// What clients are told that it is called; without it `rate_limit` or `quota`, of several with a number.
    #[serde(default)]
    pub name: Option<String>,
    /// Refuses nobody, and counts who it would have refused.
    #[serde(default)]
    pub dry_run: bool,
    /// Tells clients of it in `RateLimit` and `RateLimit-Policy`.
    #[serde(default = "yes")]
    pub fields: bool,
    /// The one of `[stores]` by which several processes share this limit.
    #[serde(default)]
    pub store: Option<String>,
    /// The part of the limit that a process leases at once; without it `"10%"`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub lease: Option<Share>,
    /// So many keys have a bucket of their own.
    #[serde(default = "table::a_hundred_thousand")]
    pub max_keys: u32,
}

fn yes() -> bool {
    true
}

impl RateLimitSettings {
    /// Says everything that is wrong with them.
    pub fn check(&self, stage: Stage, site: &Site<'_>) -> Result<(), Problems> {
        let mut problems = Problems::default();
        if !(1..=MOST_LIMITS).contains(&self.limits.len()) {
            let what = format!("{} limits in one place", self.limits.len());
            let help = format!("1 to {MOST_LIMITS}; `rate_limit = false` is none");
            problems.push(Problem::at([""; 0], what).help(help));
        }
        for (index, limit) in self.limits.iter().enumerate() {
            let at = if self.is_array { vec![index.to_string()] } else { Vec::new() };
            for problem in limit.problems(stage, site) {
                problems.push(problem.inside(&at));
            }
            let is_same = |other: &&LimitSettings| other.name.is_some() && other.name == limit.name;
            if let Some(other) = self.limits[..index].iter().position(|other| is_same(&other)) {
                let (at, other) = ([&index.to_string(), "name"], [&other.to_string(), "name"]);
                problems.push(
                    Problem::at(at, "two limits of this name")
                        .related(other, "the other one")
                        .help("clients tell them apart by it"),
                );
            }
        }
        problems.none_or(())
    }

    /// What clients are told that one is called.
    pub fn name(&self, kind: &str, index: usize) -> String {
        match &self.limits[index].name {
            Some(name) => name.clone(),
            None if self.limits.len() == 1 => kind.to_owned(),
            None => format!("{kind}-{}", index + 1),
        }
    }
}

impl LimitSettings {
    /// What requests are told apart by.
    pub fn key(&self, stage: Stage) -> Result<Key, Problems> {
        Key::new(self.key.clone(), self.ipv6_prefix, stage)
    }

    /// What each key has; `None` if it never fills.
    pub fn bucket(&self) -> Option<Bucket> {
        Bucket::new(self.rate, self.burst.unwrap_or(self.rate.count()))
    }

    /// How several processes share it, by which store; `None` if they do not.
    pub fn window<'s>(&self, site: &Site<'s>) -> Option<(Window, &'s RedisSettings)> {
        let store = site.store(self.store.as_ref()?, "store").ok()?.redis.as_ref()?;
        let burst = self.burst.unwrap_or(self.rate.count());
        Some((Window::of(self.bucket()?, burst, self.lease.unwrap_or(A_TENTH))?, store))
    }

    fn problems_of_sharing(&self, key: Option<&Key>, site: &Site<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        match &self.store {
            None if self.lease.is_some() => {
                problems.push(Problem::at(["lease"], "nobody to lease it from").help("`store`, or nothing"));
            }
            None => {}
            Some(store) => match site.store(store, "store") {
                Err(unknown) => problems.extend(unknown.0),
                Ok(store) if store.redis.is_none() => {
                    let what = "memory of one process, and no other can count there";
                    problems.push(Problem::at(["store"], what).help("a store with `redis`"));
                }
                Ok(_) if self.window(site).is_none() => {
                    let what = "more in one window than several processes can count together";
                    problems.push(
                        Problem::at(["rate"], what).help("at most 4000000 in the time in which `burst` has come again"),
                    );
                }
                Ok(_) => {}
            },
        }
        if self.store.is_some() && key.is_some_and(Key::is_of_this_process) {
            let what = "routes have no name that other processes know";
            problems.push(Problem::at(["key"], what).help("a limit that is written at a route is that route's alone"));
        }
        problems
    }

    fn problems(&self, stage: Stage, site: &Site<'_>) -> Vec<Problem> {
        let mut problems = self.key(stage).err().unwrap_or_default().0;
        if self.burst == Some(0) {
            problems.push(Problem::at(["burst"], "nothing would ever pass").help("at least 1"));
        } else if self.bucket().is_none() {
            let help = "it would take more than a hundred years to have so many again";
            problems.push(Problem::at(["burst"], "more than will ever come").help(help));
        }
        problems.extend(table::check_room(self.max_keys));
        if problems.is_empty() {
            problems.extend(self.problems_of_sharing(self.key(stage).ok().as_ref(), site));
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if let Some(name) =
            self.name.as_ref().filter(|name| name.is_empty() || name.len() > 64 || !name.bytes().all(is_part))
        {
            let what = format!("`{}` cannot be told to clients", name.escape_debug());
            problems.push(Problem::at(["name"], what).help("1 to 64 letters, digits, `-`, `_` and `.`"));
        }
        problems
    }
}

impl<'de> Deserialize<'de> for RateLimitSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = RateLimitSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit such as { rate = \"100/1m\" }, or an array of them")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<RateLimitSettings, A::Error> {
                let limit = LimitSettings::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RateLimitSettings { limits: vec![limit], is_array: false })
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, array: A) -> Result<RateLimitSettings, A::Error> {
                let limits = Vec::deserialize(SeqAccessDeserializer::new(array))?;
                Ok(RateLimitSettings { limits, is_array: true })
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}
