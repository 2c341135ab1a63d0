//! The face of the cache: what is stored is answered from there, what is not is sent on and stored on its way back.
//!
//! The rules are in [`crate::cache::policy`], and pure. Here is what waits for others.

use std::{sync::Arc, time::SystemTime};

use futures_util::future::LocalBoxFuture;

pub use self::settings::{CacheKeySettings, CacheSettings, SetCookie};
use self::{
    asked::Asked,
    fetch::{Begun, Errand},
    opening::Opening,
    purge::{PURGE, Purgers},
};
use super::{Around, Kind, Next, Schema, Site, Step, schemars};
use crate::{
    cache::{
        entry::{Entry, moment, now},
        flight::{Awaited, Boarding},
        key::{Key, KeyRules},
        policy::{self, Ask, Rules, Use, WhyValidate},
        status::{CACHE_STATUS, CacheStatus, Forward},
        store::Shelf,
    },
    exchange::Exchange,
    http::{BodyError, HeaderMap, Method, Refusal, Response, StatusCode},
    settings::{Problem, Problems},
    telemetry::metrics::Event,
};

mod asked;
mod assembly;
mod below;
mod explained;
mod fetch;
mod head;
mod opening;
mod pieces;
mod posted;
mod purge;
mod query;
mod settings;
mod settled;
mod shared;
mod way;

const ABOUT: &str = r#"
```toml
[routes]
"/" = { to = "http://127.0.0.1:8000", cache = true }
"/shop" = { to = "http://127.0.0.1:8001", cache = { max_object = "1MiB", key = { ignore = ["utm_*"], sort = true }, status_ttl = { 404 = "10s" } } }
"/news" = { to = "http://127.0.0.1:8002", cache = { stale_while_revalidate = "10s", stale_if_error = "1h" } }
```

What endpoints say of their answers decides (`Cache-Control`, `Expires`, `Vary`; RFC 9111): without a word nothing is kept, but for what has a `Last-Modified` to guess
by. Never kept is what is `private` or `no-store`, what was asked for with `Authorization` or by somebody who has proved who he is or has shown a certificate, unless the answer says that it is for everybody, what sets a
cookie, and streams of events. `Aqueduct-Cache-Control` and `CDN-Cache-Control` come before `Cache-Control` (RFC 9213).

**One fetch.** Of many requests for something that is not there one is sent on. The others get its answer as it comes, from its first byte on, on whichever worker they are, and a slow client
holds up none of them. If it is not for everybody, each asks for himself, and for ten seconds nobody waits. What breaks off is whole for nobody, and is not kept.

**What is old** is asked for with its `ETag` or `Last-Modified`; where it may be used meanwhile (`stale-while-revalidate`) it is, and where endpoints fail
(`stale-if-error`) it stands in, for a second without asking again. Ranges, `HEAD` and conditions of clients are answered from what is kept.

**Whose answer.** Filters of access stand further out: nobody gets from here what they would have refused. `rewrite`, `header_rules` and `substitute` stand further in: what they
make of an answer is kept, for everybody. What they make of one client (`${client.ip}`) must not be in there: `check` warns of it. The key is scheme, host, path and query, as routes see them; a
request with a body passes by, and so does one for what only the endpoint can judge (`If-Match`).

A QUERY (RFC 10008) asks with its body: that, its type, coding and language are part of its key, and it is held until all of it is there, up to `max_query`; a longer one passes by. Trailers of one
that is held are not sent on. Of one URL no
more than 64 answers are kept, the newest, and they go with it when it is changed or purged.

**In pieces.** With `slice = "1MiB"` what is larger is asked for by ranges of that size, each when somebody wants something of it and the next one while he reads, and each is kept by
itself: of a film no more is fetched than is watched. All must be of one answer, by a strong `ETag`, or by `Last-Modified` and length; if one shows that it is not, those that are kept are dropped, and
who was reading sees it break off. What one client is told instead of a piece (a 401, a 431) is for him alone. `max_object` is for what endpoints send as a whole, because they know no ranges. What is smaller than a piece, or not for everybody, is as without it;
nothing in more than 65,536 pieces is kept, and no piece on disk.

The answer to a `POST` is kept for `GET` only if it says for how long, and that it is what is there (`Content-Location` with the same URL).

A `POST`, `PUT`, `DELETE` that passes here and succeeds makes what is kept of its path old, and of `Location` and `Content-Location` on the same host: give the route of those methods a `cache`, too.

**Memory.** All routes share 256 MiB, and those that name a store share that. Heads, keys and what is kept beside are counted. What is asked for often stays. A reload keeps
what is in a store as long as its size is what it was. What `compress` makes of an answer is kept with it from the second time on, which may take an eighth as much again: who asks after that
is sent it as it is.

```toml
[stores.pages]
memory = { size = "2GiB" }
disk = { path = "cache", size = "10GiB" }

[defaults]
cache = { store = "pages" }
```

**Disk.** With `disk` a store goes on in a folder of its own: what memory gave up, what is too large for it (up to a sixteenth of the folder's size), and all that was there when the process ended, however it
did. Memory, 256 MiB if nothing is said, is asked first, and never waits for the disk. A file that is not as it was written is found out by its sums and removed; nobody gets a byte of it.
What differs by `Cookie` or `Authorization` (`Vary`, `key`) is in memory only: credentials are not written down; of what clients say in other fields that answers differ by there is a digest. Who is asked to stop writes down first what waits for that, for two seconds at most.
Files are for the user of the process alone. Whatever fails there (full, slow, gone) is counted, said once, and a miss. Answers with trailers, and those in groups (RFC 9875) after a new start, are not kept there. A folder is for one process at
a time: another one, also the one that takes over from it, goes on without until it is free. `Cache-Status` says `detail="disk"` where the answer came from there.

**Several machines.** With a `redis` beside the `memory` of a store (not with a `disk`), answers of up to its `max_object` (64 KiB) are shared by all who have it: what one has fetched the others find there, after their own memory, and
what one purges or changes is so for all who can reach it, within a tenth of a second also in their memory. While a machine cannot, its memory goes on answering with what others purge meanwhile, until it is back. Nobody waits for it longer than
50 ms, and where it is dead or hangs it is not asked until then. Purged softly, an answer is dropped there, and stale in memory alone. Of answers that vary the newest is shared, of one target no more than 64 that differ by `key`, and of large answers no pieces.

**Purging.** Operators have what is stored go, or be stale, by URL, prefix, tag or group: `POST /cache/purge` of the admin API. With `purge = ["127.0.0.1", "10.0.0.0/8"]`
the method `PURGE` does so for its own URL, with all variants, and with `Fastly-Soft-Purge: 1` has them be stale; from other addresses it is refused with 403, and no endpoint hears of it. The address is
the one that `ip_access` goes by. `server.http.methods` must let the method through; without `purge` endpoints get it then, as any other.

Tags are what answers name in `Surrogate-Key` (separated by spaces) and `Cache-Tag` (by commas). As at Fastly and Cloudflare clients do not see these fields; a cache in front
of this one that is to have them needs `show_tags = true`.

Each answer tells in `Cache-Status` (RFC 9211) what was done and, if it was not kept, why; `explain` what it would be kept under, and `GET /cache/entry?url=..` of the admin API what is kept
of it. Events counted: `hit`, `miss`, `stale`, `revalidated`, `collapsed`, `stored`, `purged`.
"#;

/// Keeps answers.
pub struct Cache(Arc<Desk>);

/// What there is to keep answers by.
struct Desk {
    rules: Rules,
    keys: KeyRules,
    max_object: u64,
    /// Answers are kept in pieces of this size.
    slice: Option<u64>,
    /// No longer body of a QUERY is part of a key.
    max_query: u64,
    /// Clients are told what was done.
    tells: bool,
    shelf: Arc<Shelf>,
    /// Who may purge here, if anybody.
    purgers: Option<Purgers>,
    /// Clients see tags.
    shows_tags: bool,
    hits: Event,
    misses: Event,
    stale: Event,
    revalidated: Event,
    collapsed: Event,
    stored: Event,
    purged: Event,
}

/// A stored answer, and what can be done with it.
struct Found {
    entry: Arc<Entry>,
    usage: Use,
    /// Where it was, if not in memory.
    below: Option<&'static str>,
}

impl Kind for Cache {
    const NAME: &'static str = "cache";
    const SUMMARY: &'static str = "keeps answers, and gives them to others that ask for the same";
    const ABOUT: &'static str = ABOUT;
    type Settings = CacheSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(CacheSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let shelf = settings.shelf(site)?;
        let (rules, keys) = (settings.rules(&shelf, &mut problems), settings.key.rules(&mut problems));
        let purgers = Purgers::of(&settings.purge);
        if purgers.is_some() && !site.lets_in(PURGE) {
            let what = "`purge` is for the method PURGE, which the server does not let in";
            problems.push(Problem::at(["purge"], what).help("add \"PURGE\" to `server.http.methods`"));
        }
        problems.none_or(())?;
        if !shelf.lower().is_empty() {
            site.chore(Arc::new(Opening(Arc::clone(&shelf))));
        }
        site.keeps_by(&keys);
        Ok(Step::Around(Arc::new(Self(Arc::new(Desk {
            rules,
            keys,
            max_object: settings.max_object.0,
            slice: settings.slice.map(|slice| slice.0),
            max_query: settings.max_query.0,
            tells: settings.status,
            shelf,
            purgers,
            shows_tags: settings.show_tags,
            hits: site.event("hit"),
            misses: site.event("miss"),
            stale: site.event("stale"),
            revalidated: site.event("revalidated"),
            collapsed: site.event("collapsed"),
            stored: site.event("stored"),
            purged: site.event("purged"),
        })))))
    }
}

impl Around for Cache {
    fn at_once(&self, exchange: &mut Exchange) -> Option<Response> {
        let Self(desk) = self;
        if exchange.is_rehearsal || desk.bars(exchange).is_some() {
            return None;
        }
        let (ask, now) = (asked::ask(exchange, &desk.rules), now());
        // Its body has to be waited for.
        if ask.is_stored_query(&desk.rules) {
            return None;
        }
        let key = asked::key(exchange, &desk.keys);
        let found = desk.find(&key, &ask, now)?;
        let mut response =
            matches!(found.usage, Use::Fresh | Use::Stale).then(|| desk.hit(&found.entry, &ask, now, None))??;
        if exchange.wants_codings {
            found.entry.lend(&mut response, &desk.shelf.room);
        }
        Some(response)
    }

    fn explain(&self, exchange: &Exchange) -> Vec<String> {
        self.0.explain(exchange)
    }

    fn pass<'e>(&'e self, exchange: &'e mut Exchange, next: Next<'e>) -> LocalBoxFuture<'e, Response> {
        Box::pin(self.0.carry(exchange, next))
    }
}

impl Desk {
    async fn carry(self: &Arc<Self>, exchange: &mut Exchange, next: Next<'_>) -> Response {
        if exchange.is_rehearsal {
            return next.run(exchange).await;
        }
        if let Some(forward) = self.bars(exchange) {
            if let Some(response) = self.purge(exchange).await {
                return response;
            }
            return self.past(exchange, next, forward).await;
        }
        let asked = match self.asked(exchange).await {
            Ok(Some(asked)) => asked,
            Ok(None) => return self.past(exchange, next, Forward::Bypass).await,
            Err(error) => return Response { cause: Some(error.into()), ..Response::default() },
        };
        // What another has asked for may be had from him: once.
        let (mut waits, mut joins) = (true, true);
        loop {
            let (ask, now) = (asked.ask(&self.rules), now());
            let found = self.find(&asked.key, &ask, now);
            if let Some(response) = self.from_store(exchange, &asked, found.as_ref(), next).await {
                return response;
            }
            let errand = Errand::of(found, &asked);
            // Of these nothing is stored that others could use.
            if !asked.is_shared() || ask.wishes.no_store || ask.wishes.only_if_cached {
                return self.seek(exchange, next, asked, errand).await;
            }
            let is_good = |entry: &Entry| self.usage(&ask, entry, now).is_some_and(is_good);
            let fits = |entry: &Entry| joins && is_good(entry) && !self.shelf.has_purged(&asked.key, entry);
            let find =
                || self.find(&asked.key, &ask, now).map(|found| found.entry).filter(|entry| joins && is_good(entry));
            let came = match self.shelf.flights.board(&asked.key, waits, fits, find, moment()) {
                Boarding::Lead(lead) => {
                    let piece = self.first_piece(&asked, next);
                    return self.seek(exchange, next, asked, errand.for_all(lead, piece)).await;
                }
                Boarding::Direct { lead, has_failed } => {
                    if has_failed && let Some(response) = self.stand_in(&errand, &asked) {
                        return response;
                    }
                    return self.seek(exchange, next, asked, errand.for_one(lead)).await;
                }
                Boarding::Stored(entry) => self.give(exchange, &asked, next, &entry, false).await,
                Boarding::Joined(entry) => self.give(exchange, &asked, next, &entry, true).await,
                Boarding::Wait(waiting) => match waiting.head().await {
                    Awaited::Came(entry) => self.give(exchange, &asked, next, &entry, true).await,
                    // Nobody stands in line for what is not for everybody.
                    Awaited::Direct => None,
                    Awaited::Gone => continue,
                },
            };
            match came {
                Some(response) => return response,
                None => (waits, joins) = (false, joins && waits),
            }
        }
    }

    /// What is asked of the cache; `None`: what it asks with is too long to be part of a key.
    async fn asked(&self, exchange: &mut Exchange) -> Result<Option<Asked>, BodyError> {
        if !asked::ask(exchange, &self.rules).is_stored_query(&self.rules) {
            return Ok(Some(Asked::of(exchange, &self.keys)));
        }
        let question = query::read(&mut exchange.body, self.max_query).await?;
        if let (Some(_), Some(downstream)) = (&question, &exchange.downstream) {
            // Where the edge has them, they would go on.
            drop(downstream.request_trailers());
        }
        Ok(question.map(|question| Asked::with(exchange, &self.keys, question)))
    }

    /// Why it is not for the cache, if it is not.
    fn bars(&self, exchange: &Exchange) -> Option<Forward> {
        if exchange.upgrade.is_some() {
            return Some(Forward::Bypass);
        }
        let ask = asked::ask(exchange, &self.rules);
        match ask.passes(&self.rules) {
            Some(policy::WhyPass::Method) => Some(Forward::Method),
            Some(policy::WhyPass::Precondition) => Some(Forward::Request),
            // What it asks for may be in there, and is in no key.
            None if !exchange.body.is_empty() && !ask.is_stored_query(&self.rules) => Some(Forward::Bypass),
            None => None,
        }
    }

    /// Sends on what is not for the cache. If it has changed something, what is stored of that is old.
    async fn past(&self, exchange: &mut Exchange, next: Next<'_>, forward: Forward) -> Response {
        let posted = (exchange.method == Method::POST).then(|| Asked::of(exchange, &self.keys));
        let begun = Begun::now();
        let mut response = next.run(exchange).await;
        if response.cause.is_none() {
            self.invalidate(exchange, &response);
        }
        let mut told = CacheStatus { forward: Some(forward), ..CacheStatus::default() };
        if let Some(asked) = posted {
            response = self.posted(exchange, &asked, begun.came(response), &mut told);
        }
        self.tell(&mut response, &told);
        response
    }

    /// How it can be used; `None` if it was invalidated.
    fn usage(&self, ask: &Ask<'_>, entry: &Entry, now: SystemTime) -> Option<Use> {
        let is_there = !self.shelf.groups.has_invalidated(ask.target, entry) && !entry.is_lost();
        is_there.then(|| policy::lookup(ask, &entry.head, now))
    }

    /// The stored answer for it, or one that is for others.
    fn find(&self, key: &Key, ask: &Ask<'_>, now: SystemTime) -> Option<Found> {
        let variants = self.shelf.memory.of_target(key)?;
        let mut other = None;
        for entry in variants.of_key(key) {
            match self.usage(ask, entry, now) {
                None => {}
                Some(usage @ (Use::OtherVariant | Use::Impersonal)) => {
                    other.get_or_insert_with(|| Found { entry: Arc::clone(entry), usage, below: None });
                }
                Some(usage) => return Some(Found { entry: Arc::clone(entry), usage, below: None }),
            }
        }
        other
    }

    /// What can be answered with what is stored, also where a newer one is to be asked for meanwhile.
    async fn from_store(
        self: &Arc<Self>,
        exchange: &Exchange,
        asked: &Asked,
        found: Option<&Found>,
        next: Next<'_>,
    ) -> Option<Response> {
        let Found { entry, usage, below } = found?;
        match usage {
            Use::Fresh | Use::Stale => {}
            Use::WhileRevalidating => self.revalidate(exchange, asked, entry, next),
            Use::Validate { .. } | Use::OtherVariant | Use::Impersonal => return None,
        }
        if entry.sliced.is_some() {
            return self.give(exchange, asked, next, entry, false).await;
        }
        self.hit(entry, &asked.ask(&self.rules), now(), *below)
    }

    /// What this request gets of an answer that is stored, or on its way there; `None` if it will not do after all.
    async fn give(
        self: &Arc<Self>,
        exchange: &Exchange,
        asked: &Asked,
        next: Next<'_>,
        entry: &Arc<Entry>,
        is_collapsed: bool,
    ) -> Option<Response> {
        let ask = asked.ask(&self.rules);
        match is_collapsed {
            _ if entry.sliced.is_some() => {
                let is_good = self.usage(&ask, entry, now()).is_some_and(is_good);
                let giving = self.hit_in_pieces(exchange, asked, next, entry, is_collapsed);
                if is_good { Box::pin(giving).await } else { None }
            }
            true => self.joined(entry, asked),
            false => self.hit(entry, &ask, now(), None),
        }
    }

    fn hit(&self, entry: &Arc<Entry>, ask: &Ask<'_>, now: SystemTime, below: Option<&'static str>) -> Option<Response> {
        let mut response = entry.respond(ask, now)?;
        let ttl = entry.head.ttl(now);
        self.hits.happened();
        if ttl < 0 {
            self.stale.happened();
        }
        self.tell(&mut response, &CacheStatus { ttl: Some(ttl), detail: below, ..CacheStatus::default() });
        Some(response)
    }

    /// Another's answer, whose body may still be growing.
    fn joined(&self, entry: &Arc<Entry>, asked: &Asked) -> Option<Response> {
        let (ask, now) = (asked.ask(&self.rules), now());
        let usage = self.usage(&ask, entry, now).filter(|usage| is_good(*usage));
        usage.filter(|_| !self.shelf.has_purged(&asked.key, entry))?;
        let mut response = entry.respond(&ask, now)?;
        self.collapsed.happened();
        let forward = Some(Forward::UriMiss);
        self.tell(&mut response, &CacheStatus { forward, is_collapsed: true, ..CacheStatus::default() });
        Some(response)
    }

    fn nothing_stored(&self) -> Response {
        let refusal = Refusal::new(Cache::NAME, StatusCode::GATEWAY_TIMEOUT, "nothing is stored that could be used");
        let mut told = HeaderMap::new();
        if self.tells {
            CacheStatus { has_nothing: true, detail: Some("only-if-cached"), ..CacheStatus::default() }
                .append(&mut told);
        }
        let told = told.get(CACHE_STATUS).cloned();
        told.into_iter().fold(refusal, |refusal, value| refusal.with(CACHE_STATUS, value)).into()
    }

    fn invalidate(&self, exchange: &Exchange, response: &Response) {
        let target = asked::target(exchange);
        let gone = policy::invalidates(&asked::ask(exchange, &self.rules), response.status, &response.headers);
        for place in &gone.places {
            self.shelf.forget(&Key::of(&self.keys, place.at(target), &HeaderMap::new()));
        }
        for group in &gone.groups {
            self.shelf.forget_group(target, group);
        }
    }

    fn tell(&self, response: &mut Response, status: &CacheStatus) {
        if response.takeover.is_some() {
            return;
        }
        self.hide_tags(&mut response.headers);
        if self.tells {
            status.append(&mut response.headers);
        }
    }
}

/// It can be given out as it is.
fn is_good(usage: Use) -> bool {
    matches!(usage, Use::Fresh | Use::Stale | Use::WhileRevalidating)
}

/// Why a request is sent on for which this was found.
fn forward(found: Option<&Found>) -> Forward {
    match found.map(|found| found.usage) {
        None => Forward::UriMiss,
        Some(Use::OtherVariant) => Forward::VaryMiss,
        Some(Use::Validate { why: WhyValidate::Stale, .. }) => Forward::Stale,
        Some(Use::Validate { why: WhyValidate::Request, .. } | Use::Impersonal) => Forward::Request,
        Some(Use::Fresh | Use::Stale | Use::WhileRevalidating) => Forward::Miss,
    }
}
