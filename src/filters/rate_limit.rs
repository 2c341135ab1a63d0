//! Rate limits: so often for each key and no more, told so that good clients can keep to it.
//!
//! Two kinds with one code: `rate_limit` stands before whoever asks who a client is, so that guessing is limited, too; `quota` behind it, so that
//! it can count by who that is.

use std::{borrow::Cow, sync::Arc, time::Duration};

use smallvec::SmallVec;

pub use self::settings::{LimitSettings, RateLimitSettings};
pub use self::shared::check_store;
use self::{
    bucket::{Bucket, Empty, Taking},
    lease::Window,
    settings::MOST_LIMITS,
    shared::{Leases, MadeOf},
};
use super::{
    Chore, Filter, Kind, Schema, Site, Step, WhoAsks,
    keys::{Key, Stage},
    schemars,
    table::{Place, Table},
};
use crate::{
    clock,
    exchange::{Exchange, Note},
    http::{HeaderName, HeaderValue, Refusal, Response, StatusCode, scratch},
    settings::{Problems, RedisSettings, problem},
    telemetry::metrics::Event,
};

pub(super) mod bucket;
mod lease;
mod settings;
mod shared;

const ABOUT: &str = r#"
```toml
[routes."/api"]
to = "http://127.0.0.1:8000"
rate_limit = { rate = "100/1m", burst = 50, key = "ip" }

[routes."/login"]
to = "http://127.0.0.1:8000"
rate_limit = [{ rate = "5/s" }, { rate = "100/1h" }, { rate = "1000/s", key = "route", name = "all" }]
```

Each key has a bucket of `burst` requests that fills at `rate`: so many may come at once, and from then on one an interval. So in any time
at most `burst` pass and what flows in. Of several limits all must hold; where one refuses, nothing is taken of the others.

A key is `ip` (of IPv6 the network of `ipv6_prefix` bits), `host`, `route`, `path` (in one spelling), `method`, `header:NAME` or `cookie:NAME`, or an array
of several: each combination has a bucket. In [`quota`](quota.md), which stands behind authentication, it can be `claim:NAME` or `identity` as well. What a request
has not, or has more than once, is the same for all such requests: leaving a field out is no way around, nor is saying it twice. What a client may choose
freely it can choose anew each time: a limit by a field or a cookie is for those that somebody checks, beside one by `ip`.

**Refused** is with 429, `Retry-After`, and a problem of type `https://iana.org/assignments/http-problem-types#quota-exceeded` that names the limit
among its `violated-policies`. `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) tell each answer's client the limits, what is left of
them, and for how long that must do; `fields = false` keeps it quiet. With `dry_run` a limit refuses nobody and counts `would_refuse`.

**Memory** is set aside when the settings are read: 34 bytes for each of `max_keys`, 3.4 MB for 100,000. A key whose bucket is full needs none. Who
floods the table with new keys makes it forget nobody who has used something up. A key that finds no place shares a bucket with others
like it, so it may be refused early, and never passes more than the limit; `crowded` counts that. With as many keys as there
may be, all of them at once, about one of a thousand has to share.

**Several processes** share a limit with `store = "NAME"`, one of `[stores]`, if it is written at the same place in their settings:

```toml
[stores.state]
redis = { url = "redis://127.0.0.1:6379/0", timeout = "250ms", prefix = "aqueduct:" }

[policies.api]
rate_limit = { rate = "1000/1m", store = "state", lease = "10%" }

[routes."/api"]
to = "http://127.0.0.1:8000"
use = "api"
```

With `rediss://` TLS is spoken, and the server must prove to be `HOST` by the machine's roots, or by those of `ca = "ca.pem"`, which is read again with each connection.

No request waits for the store. Time is cut into windows in which a bucket fills (a minute here; a second at least), and a process leases parts of one, `lease` of
the limit at a time, ahead of its requests. In a window all processes together let pass the limit and **at most one lease more for each process**: what one lets pass before it has
heard anything. They may let pass as much less: what one has leased and not used. A key that comes with more than a lease before the store has answered, which takes a
millisecond or so, is refused what is more. Each process holds the limit by itself as well.

A store that hangs is one that cannot be reached from the moment on at which an answer takes longer than its `timeout` (250 ms), which is noticed within a second more where nothing is asked.
Until then a key that has used up its lease is refused what is more, as before the first answer. What was asked for in that moment may count when the store goes on, though nobody got it: so much less
than the limit may pass in that window, a lease and what had passed without one for each process, and never more.

While the store cannot be reached, **each process goes on by itself with the whole limit**, at once, so that all of them let pass at most the limit once for each
process; what passes then is not counted later, nor is what a store has forgotten that was started again. The log says it once, `store_lost` and `store_found` count it.
Keys are kept as digests, and for two windows at most.

All workers count together, and a limit in a policy is one for all routes that use it. A reload keeps what is counted as long as `key`, `ipv6_prefix` and
`max_keys` are what they were. `explain` and `[[tests]]` count nothing and are let pass.
"#;

/// So often for each key; asked before who the client is.
pub struct RateLimit;

/// So often for each key; asked when it is known who the client is.
pub struct Quota;

impl Kind for RateLimit {
    const NAME: &'static str = "rate_limit";
    const SUMMARY: &'static str = "lets each key, such as an address, pass so often and no more";
    const ABOUT: &'static str = ABOUT;
    type Settings = RateLimitSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(LimitSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        Limiter::build(Self::NAME, &settings, site, Stage::BeforeAuthentication)
    }
}

const ABOUT_QUOTA: &str = r#"
```toml
[policies.api]
jwt = { jwks = "https://id.example/.well-known/jwks.json", issuer = "https://id.example", audience = "api" }
quota = [{ rate = "10000/1d", key = "identity", name = "daily" }, { rate = "20/s", key = "claim:tenant" }]

[routes."/api"]
to = "http://127.0.0.1:8000"
use = "api"
```

All of it, its events too, is as with [`rate_limit`](rate_limit.md), but that it is asked behind authentication: it can count by `identity`, which is who the client has
proved to be and how, and by `claim:NAME`, which is what is proved of it under that name; on a route where nobody has to prove anything that is a problem. Who is refused by authentication has taken nothing; to limit
guessing there is `rate_limit`.
"#;

impl Kind for Quota {
    const NAME: &'static str = "quota";
    const SUMMARY: &'static str = "lets each key, such as who the client has proved to be, pass so often and no more";
    const ABOUT: &'static str = ABOUT_QUOTA;
    type Settings = RateLimitSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(LimitSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        Limiter::build(Self::NAME, &settings, site, Stage::BehindAuthentication)
    }

    fn who_asks(settings: &Self::Settings) -> WhoAsks {
        let is_proved = settings.limits.iter().any(|limit| limit.key.is_proved());
        if is_proved { WhoAsks::OnTheWayIn } else { WhoAsks::Unasked }
    }
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// One filter: several limits that all must hold.
struct Limiter {
    kind: &'static str,
    limits: Vec<Limit>,
    /// What is told of those that are.
    policies: Option<HeaderValue>,
}

struct Limit {
    name: String,
    /// How `RateLimit` tells of it, up to what is left.
    item: String,
    key: Key,
    bucket: Bucket,
    buckets: Arc<Buckets>,
    dry_run: bool,
    is_told: bool,
    would_refuse: Event,
    crowded: Event,
    /// What several processes share.
    leases: Option<Arc<Leases>>,
}

/// The buckets of all keys, which outlive settings that say something else about them.
struct Buckets {
    table: Table,
    /// What they are keyed by.
    key: String,
}

impl Limiter {
    fn build(
        kind: &'static str,
        settings: &RateLimitSettings,
        site: &Site<'_>,
        stage: Stage,
    ) -> Result<Step, Problems> {
        settings.check(stage, site)?;
        let limits = settings.limits.iter().enumerate().map(|(index, limit)| {
            let key = limit.key(stage).expect("it was checked");
            let written = key.to_string();
            let fits = |buckets: &Buckets| buckets.key == written && buckets.table.has_room_for(limit.max_keys);
            let make = || Buckets { table: Table::with_room_for(limit.max_keys), key: written.clone() };
            let name = settings.name(kind, index);
            Limit {
                item: format!("\"{name}\";r="),
                name,
                bucket: limit.bucket().expect("it was checked"),
                leases: limit.window(site).map(|(window, store)| leases(site, index, (window, store), limit, &key)),
                buckets: site.keep(PLACES[index], fits, make),
                key,
                dry_run: limit.dry_run,
                is_told: limit.fields && !limit.dry_run,
                would_refuse: site.event("would_refuse"),
                crowded: site.event("crowded"),
            }
        });
        let limits: Vec<_> = limits.collect();
        let told = settings.limits.iter().zip(&limits).filter(|(_, limit)| limit.is_told);
        let policies = told.map(|(written, limit)| written.policy(&limit.name)).collect::<Vec<_>>().join(", ");
        let policies = HeaderValue::from_str(&policies).ok().filter(|policies| !policies.is_empty());
        Ok(Step::Plain(Arc::new(Self { kind, limits, policies })))
    }

    fn refuse(&self, exchange: &mut Exchange, index: usize, wait: Duration) -> Response {
        let limit = &self.limits[index];
        if limit.is_told {
            exchange.notes.push(Note::of(self, Told { index, left: 0, wait }.number()));
        }
        Refusal::new(self.kind, StatusCode::TOO_MANY_REQUESTS, "too many requests")
            .of_kind(QUOTA_EXCEEDED)
            .with_member("violated-policies", vec![limit.name.clone()])
            .after(wait)
            .into()
    }
}

fn leases(
    site: &Site<'_>,
    index: usize,
    (window, store): (Window, &RedisSettings),
    limit: &LimitSettings,
    key: &Key,
) -> Arc<Leases> {
    let made_of = MadeOf {
        name: format!("{}[{index}]", problem::name(site.key())),
        store: store.clone(),
        window,
        key: key.clone(),
        max_keys: limit.max_keys,
    };
    let leases =
        site.keep(LEASES[index], |leases: &Leases| leases.are_of(&made_of), || Leases::new(made_of.clone(), site));
    site.chore(Arc::clone(&leases) as Arc<dyn Chore>);
    leases
}

/// What the leases of each limit are kept as.
const LEASES: [&str; MOST_LIMITS] =
    ["1st leases", "2nd leases", "3rd leases", "4th leases", "5th leases", "6th leases", "7th leases", "8th leases"];

/// What the buckets of each limit are kept as.
const PLACES: [&str; MOST_LIMITS] = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"];

impl Filter for Limiter {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        if exchange.is_rehearsal {
            return None;
        }
        let now = clock::nanoseconds();
        let mut taken: SmallVec<[(Taken, Told); 2]> = SmallVec::new();
        for (index, limit) in self.limits.iter().enumerate() {
            match limit.take(exchange, now) {
                Ok(one) => {
                    let (left, wait) = (limit.bucket.left(one.full_at, now), one.full_at - now);
                    taken.push((one, Told { index, left, wait: Duration::from_nanos(wait) }));
                }
                Err(_) if limit.dry_run => limit.would_refuse.happened(),
                Err(Empty(wait)) => {
                    for (one, Told { index, .. }) in taken {
                        self.limits[index].put_back(one);
                    }
                    return Some(self.refuse(exchange, index, wait));
                }
            }
        }
        let told = taken.iter().filter(|(_, told)| self.limits[told.index].is_told);
        exchange.notes.extend(told.map(|(_, told)| Note::of(self, told.number())));
        None
    }

    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        let Some(policies) = &self.policies else { return };
        let mut text = scratch::lines();
        for told in exchange.notes.iter().filter(|note| note.is_of(self)).map(Told::of) {
            if !text.is_empty() {
                text.extend_from_slice(b", ");
            }
            text.extend_from_slice(self.limits[told.index].item.as_bytes());
            scratch::write_decimal(told.left, &mut text);
            text.extend_from_slice(b";t=");
            scratch::write_decimal(whole_seconds(told.wait), &mut text);
        }
        let value = HeaderValue::from_bytes(&text);
        scratch::give_back_lines(text);
        if let Ok(value) = value {
            response.headers.append(RATE_LIMIT_POLICY, policies.clone());
            if !value.is_empty() {
                response.headers.append(RATE_LIMIT, value);
            }
        }
    }
}

impl Limit {
    fn take(&self, exchange: &Exchange, now: u64) -> Result<Taken, Empty> {
        let table = &self.buckets.table;
        let hash = self.key.of(exchange, table.seed());
        let (place, taken) = table.change(hash, &Taking { bucket: self.bucket, now });
        if place.is_shared() {
            self.crowded.happened();
        }
        let one = Taken { place, full_at: taken?, leased: None };
        let Some(leases) = &self.leases else { return Ok(one) };
        match leases.spend(exchange) {
            Ok(leased) => Ok(Taken { leased, ..one }),
            Err(empty) => {
                self.put_back(one);
                Err(empty)
            }
        }
    }

    fn put_back(&self, one: Taken) {
        self.buckets.table.change_at(one.place, |full_at| self.bucket.put_back(full_at));
        if let (Some(leases), Some(place)) = (&self.leases, one.leased) {
            leases.give_back(place);
        }
    }
}

/// One that was taken.
#[derive(Clone, Copy)]
struct Taken {
    place: Place,
    /// When its bucket is full.
    full_at: u64,
    /// Where it is counted for all processes.
    leased: Option<Place>,
}

/// What an answer tells of one limit.
struct Told {
    index: usize,
    left: u64,
    wait: Duration,
}

impl Told {
    fn number(&self) -> u64 {
        let most = |number: u64| number.min(u64::from(u32::MAX >> 4));
        (self.index as u64) << 56 | most(self.left) << 28 | most(whole_seconds(self.wait))
    }

    fn of(Note { number, .. }: &Note) -> Self {
        let part = |shift: u32| number >> shift & u64::from(u32::MAX >> 4);
        Self { index: (number >> 56) as usize, left: part(28), wait: Duration::from_secs(part(0)) }
    }
}

/// Nobody is to come too early.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl LimitSettings {
    /// The item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10, 3).
    fn policy(&self, name: &str) -> Cow<'static, str> {
        let (count, window) = (self.rate.count(), whole_seconds(self.rate.per()));
        format!("\"{name}\";q={count};w={window}").into()
    }
}

#[cfg(test)]
mod tests;
