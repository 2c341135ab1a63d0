//! Concurrency: so many requests of each key at once.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    Filter, JsonSchema, Kind, Schema, Site, Step, WhoAsks,
    keys::{self, Key, KeySettings, Stage},
    schemars,
    table::{self, Place, Rule, Table},
};
use crate::{
    exchange::Exchange,
    http::{Refusal, Response, StatusCode},
    settings::{Problem, Problems},
    telemetry::metrics::Event,
};

const ABOUT: &str = r#"
```toml
[routes."/reports"]
to = "http://127.0.0.1:8000"
concurrency = { requests = 4, key = "ip" }
```

A request counts from when it comes here to the last byte of its answer, or until its client has left; a WebSocket or another tunnel until it ends.
One too many is refused at once, with 429: it does not wait. Keys are those of [`rate_limit`](rate_limit.md) and [`quota`](quota.md), and what is missing, or there
twice, is one for all. It stands before authentication; with `identity` or `claim:NAME` among its keys behind that and behind `authorize`, and who is refused there takes no place. Places for `max_keys` that have requests at the same time take 34 bytes each; who finds none shares one (`crowded`), and has less
than it would have, never more. With `dry_run` nobody is refused, and `would_refuse` counts.

How many requests an upstream gets at once is another matter (`upstreams.NAME.limit`), and so are connections of one address
(`server.max_connections_per_ip`).
"#;

/// So many requests of each key at once.
pub struct Concurrency {
    most: u32,
    key: Key,
    counts: Arc<Counts>,
    dry_run: bool,
    would_refuse: Event,
    crowded: Event,
}

/// What is written under `concurrency`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencySettings {
    /// So many of each key at once.
    pub requests: u32,
    /// What is counted by itself: see `rate_limit` and `quota`.
    #[serde(default)]
    pub key: KeySettings,
    /// So many bits of an IPv6 address are one client: 16 to 128.
    #[serde(default = "keys::a_clients_network")]
    pub ipv6_prefix: u8,
    /// Refuses nobody, and counts who it would have refused.
    #[serde(default)]
    pub dry_run: bool,
    /// So many keys can have requests at the same time and be counted by themselves.
    #[serde(default = "table::a_hundred_thousand")]
    pub max_keys: u32,
}

impl Kind for Concurrency {
    const NAME: &'static str = "concurrency";
    const SUMMARY: &'static str = "lets each key, such as an address, have so many requests at once";
    const ABOUT: &'static str = ABOUT;
    type Settings = ConcurrencySettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(ConcurrencySettings))
    }

    fn who_asks(settings: &Self::Settings) -> WhoAsks {
        if settings.key.is_proved() { WhoAsks::OnTheWayIn } else { WhoAsks::Unasked }
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        if settings.requests == 0 {
            problems.push(Problem::at(["requests"], "nothing would ever pass").help("at least 1"));
        }
        problems.0.extend(table::check_room(settings.max_keys));
        let key = match Key::new(settings.key, settings.ipv6_prefix, Stage::BehindAuthentication) {
            Ok(key) => key,
            Err(wrong) => return Err(Problems([problems.0, wrong.0].concat())),
        };
        problems.none_or(())?;
        let counts = site.keep(
            "counts",
            |counts: &Counts| counts.key == key && counts.table.has_room_for(settings.max_keys),
            || Counts { table: Table::with_room_for(settings.max_keys), key: key.clone() },
        );
        Ok(Step::Plain(Arc::new(Self {
            most: settings.requests,
            key,
            counts,
            dry_run: settings.dry_run,
            would_refuse: site.event("would_refuse"),
            crowded: site.event("crowded"),
        })))
    }
}

impl Filter for Concurrency {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        if exchange.is_rehearsal {
            return None;
        }
        let hash = self.key.of(exchange, self.counts.table.seed());
        let (place, entered) = self.counts.table.change(hash, &Entering { most: self.most });
        if place.is_shared() {
            self.crowded.happened();
        }
        match entered {
            Ok(_) => {
                exchange.held.push(Box::new(Inside { counts: Arc::clone(&self.counts), place }));
                None
            }
            Err(Full) if self.dry_run => {
                self.would_refuse.happened();
                None
            }
            Err(Full) => {
                let refusal = Refusal::new(Self::NAME, StatusCode::TOO_MANY_REQUESTS, "too many requests at once");
                Some(refusal.after(Duration::from_secs(1)).into())
            }
        }
    }
}

/// How many requests each key has.
struct Counts {
    table: Table,
    key: Key,
}

/// One request that is counted, until it falls.
struct Inside {
    counts: Arc<Counts>,
    place: Place,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.counts.table.change_at(self.place, |number| number - 1);
    }
}

/// One more. Numbers are counts in their lower half; the upper one says how often the place has changed hands, so that none comes back.
struct Entering {
    most: u32,
}

struct Full;

impl Entering {
    fn may_enter(&self, count: u64, shared: u64) -> Result<(), Full> {
        let inside = u64::from(count as u32) + u64::from(shared as u32);
        if inside < u64::from(self.most) { Ok(()) } else { Err(Full) }
    }
}

impl Rule for Entering {
    type No = Full;

    fn is_idle(&self, number: u64) -> bool {
        number as u32 == 0
    }

    /// Those who share may be this key's: they count against it as long as they are there.
    fn first(&self, idle: u64, shared: u64) -> Result<u64, Full> {
        let changed_hands = (idle >> 32).wrapping_add(1) as u32;
        self.may_enter(0, shared).map(|()| u64::from(changed_hands) << 32 | 1)
    }

    fn next(&self, number: u64, shared: u64) -> Result<u64, Full> {
        self.may_enter(number, shared).map(|()| number + 1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filters::testing::{self, passed, request};

    #[actix_rt::test]
    async fn so_many_are_inside_at_once_and_each_that_ends_makes_room() {
        let steps = [testing::built::<Concurrency>(json!({ "requests": 2, "key": "header:x-key" }))];
        let begun = async |key: &str| {
            let mut exchange = request("GET /", &[("x-key", key)]);
            let status = passed(&steps, &mut exchange).await.status.as_u16();
            (status, exchange)
        };
        let (first, second) = (begun("a").await, begun("a").await);

        assert_eq!((first.0, second.0, begun("a").await.0, begun("b").await.0), (200, 200, 429, 200));
        drop(first);
        let third = begun("a").await;
        assert_eq!((third.0, begun("a").await.0), (200, 429));
    }

    #[actix_rt::test]
    async fn of_many_keys_at_once_none_has_more_than_it_may() {
        let steps = [testing::built::<Concurrency>(json!({ "requests": 1, "key": "header:x-key", "max_keys": 10 }))];
        let mut inside = Vec::new();
        for round in 0..2 {
            for number in 0..500 {
                let key = number.to_string();
                let mut exchange = request("GET /", &[("x-key", &key)]);
                if passed(&steps, &mut exchange).await.status == 200 {
                    assert_eq!(round, 0, "{key} has one already");
                    inside.push(exchange);
                }
            }
        }

        assert_eq!(inside.len(), 2 * 15 + 2, "each place, and what each set shares");
        inside.clear();
        assert_eq!(passed(&steps, &mut request("GET /", &[])).await.status, 200);
    }

    #[test]
    fn what_is_wrong_is_told_at_its_key() {
        let written = json!({ "requests": 0, "ipv6_prefix": 1, "max_keys": 0 });

        let told: Vec<_> =
            testing::problems::<Concurrency>(written).iter().map(|problem| problem.key.join(".")).collect();

        assert_eq!(told, ["requests", "max_keys", "ipv6_prefix"]);
    }
}
