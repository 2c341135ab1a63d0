//! The same endpoint for the same key.

use std::sync::Arc;

use serde::Deserialize;

use super::{Balancer, Kind};
use crate::{
    chance::{self, hash},
    exchange::Exchange,
    http::{HeaderName, cookies},
    settings::{Problem, Problems},
    upstream::{Candidates, Endpoint},
};

/// Requests of one key go to one endpoint, and stay there when others come and go: a ring on which every endpoint has
/// many points, by its weight, and a key goes to the next point behind its own hash (Karger et al., 1997). Of an
/// endpoint that leaves, each key moves to the next one; no other does. With a `bound` nobody carries more than so many
/// times the mean; what is over goes on along the ring (Mirrokni, Thorup, Zadimoghaddam, 2016).
pub struct ConsistentHash {
    key: Key,
    bound: Option<f64>,
    ring: Box<[Point]>,
}

/// Where an endpoint stands on the ring, one of many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    at: u64,
    place: u32,
}

/// Beside `policy = "consistent_hash"`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsistentHashSettings {
    /// What requests have in common that shall go together: `"client"`, `"path"`, `"host"`, `"header:NAME"` or
    /// `"cookie:NAME"`. A request without it goes by its client's address.
    key: String,
    /// How many times the mean an endpoint may carry, above 1; without it there is no such limit.
    bound: Option<f64>,
}

impl Default for ConsistentHashSettings {
    fn default() -> Self {
        Self { key: "client".into(), bound: None }
    }
}

/// What requests have in common.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    Client,
    Host,
    Path,
    Header(HeaderName),
    Cookie(String),
}

/// Points of an endpoint of weight 1: shares are within a few hundredths of the weights then.
const POINTS: u64 = 512;
/// Points in all, however many endpoints there are: 16 bytes each.
const MOST_POINTS: u64 = 1 << 18;
/// Loads that are looked at for their mean: beyond so many endpoints it is that of a part of them, by chance.
const LOADS: usize = 64;
const KEYS: &str = "\"client\", \"path\", \"host\", \"header:NAME\" or \"cookie:NAME\"";

impl Kind for ConsistentHash {
    const NAME: &'static str = "consistent_hash";
    const SUMMARY: &'static str = "the same endpoint for the same client, path, field or cookie";
    type Settings = ConsistentHashSettings;

    fn build(written: ConsistentHashSettings, endpoints: &[Arc<Endpoint>]) -> Result<Box<dyn Balancer>, Problems> {
        let mut problems = Problems::default();
        let key = Key::parse(&written.key);
        if key.is_none() {
            let what = format!("`{}` is nothing to hash by", written.key.escape_debug());
            problems.push(Problem::at(["key"], what).help(KEYS));
        }
        if written.bound.is_some_and(|bound| bound.is_nan() || bound <= 1.0) {
            problems.push(Problem::at(["bound"], "nobody could carry the mean").help("above 1, such as 1.25"));
        }
        match key {
            Some(key) if problems.is_empty() => Ok(Box::new(Self { key, bound: written.bound, ring: ring(endpoints) })),
            _ => Err(problems),
        }
    }
}

impl Balancer for ConsistentHash {
    fn pick<'c>(&self, candidates: Candidates<'c>, exchange: &Exchange) -> &'c Arc<Endpoint> {
        let hash = self.key.hash(exchange).unwrap_or_else(chance::roll);
        let most = self.bound.map(|bound| most(bound, candidates));
        self.onwards(hash)
            .filter_map(|place| candidates.at_place(place))
            .find(|endpoint| most.is_none_or(|most| endpoint.in_flight() < most))
            .unwrap_or_else(|| candidates.nth(chance::below(candidates.len())))
    }
}

impl ConsistentHash {
    /// The places from a hash on, once around the ring; an endpoint comes as often as it has points.
    fn onwards(&self, hash: u64) -> impl Iterator<Item = usize> {
        let start = self.ring.partition_point(|point| point.at < hash);
        let (before, behind) = self.ring.split_at(start);
        behind.iter().chain(before).map(|point| point.place as usize)
    }
}

/// What an endpoint may carry with one request more, rounded up: the capacity of the paper.
fn most(bound: f64, candidates: Candidates<'_>) -> u32 {
    let looked_at = candidates.len().min(LOADS);
    let start = if looked_at < candidates.len() { chance::below(candidates.len()) } else { 0 };
    let sum: u64 = (start..start + looked_at).map(|index| u64::from(candidates.nth(index).in_flight())).sum();
    (bound * (sum + 1) as f64 / looked_at as f64).ceil() as u32
}

/// Where an endpoint stands does not depend on the others, as long as they all have room.
fn ring(endpoints: &[Arc<Endpoint>]) -> Box<[Point]> {
    let points = |endpoint: &Endpoint| POINTS * u64::from(endpoint.weight);
    let wanted: u64 = endpoints.iter().map(|endpoint| points(endpoint)).sum();
    // In large steps: another one moves keys.
    let shrink = wanted.div_ceil(MOST_POINTS).max(1).next_power_of_two();
    let mut ring = Vec::new();
    for (place, endpoint) in (0..).zip(endpoints) {
        let name = hash(endpoint.name.as_bytes());
        let count = (points(endpoint) / shrink).max(1);
        ring.extend((0..count).map(|number| Point { at: chance::mix(name.wrapping_add(chance::mix(number))), place }));
    }
    ring.sort_unstable();
    ring.into()
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => match text {
                "client" => Some(Self::Client),
                "host" => Some(Self::Host),
                "path" => Some(Self::Path),
                _ => None,
            },
            Some(("header", name)) => name.parse().ok().map(Self::Header),
            Some(("cookie", name)) if !name.is_empty() => Some(Self::Cookie(name.into())),
            Some(_) => None,
        }
    }

    /// The same in every process of every version: keys must not move when a proxy is replaced. `None` if there is
    /// neither the key nor an address of the client.
    fn hash(&self, exchange: &Exchange) -> Option<u64> {
        let key = match self {
            Self::Client => None,
            Self::Host => Some(hash(exchange.authority.host().as_bytes())),
            Self::Path => Some(hash(exchange.path.as_bytes())),
            Self::Header(name) => exchange.headers.get(name).map(|value| hash(value.as_bytes())),
            Self::Cookie(name) => cookies::values(&exchange.headers, name).next().map(hash),
        };
        key.or_else(|| client(exchange)).map(chance::mix)
    }
}

fn client(exchange: &Exchange) -> Option<u64> {
    exchange.client.address.map(|address| match address {
        std::net::IpAddr::V4(address) => hash(&address.octets()),
        std::net::IpAddr::V6(address) => hash(&address.octets()),
    })
}
