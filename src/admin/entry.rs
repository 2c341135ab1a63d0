//! `GET /cache/entry?url=..`: what is stored of something, and in which tier.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode, web};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Status, found, problem};
use crate::{
    cache::{
        entry::{Entry, now},
        policy::Head,
        purge::{self, What},
        store::{Shelf, lower::Told},
    },
    http::query,
};

/// What is stored of a URL in all stores; of each in memory, the newest first, and below it.
#[derive(Serialize, JsonSchema)]
pub struct Entries {
    entries: Vec<Stored>,
}

/// One answer that is stored.
#[derive(Serialize, JsonSchema)]
struct Stored {
    /// `built_in` is the one of routes that name none.
    store: String,
    /// `memory`, or what is below it, such as `disk`.
    tier: &'static str,
    status: u16,
    /// In seconds.
    age: u64,
    /// So many seconds it is fresh yet; negative: it is stale.
    ttl: i64,
    /// Bytes of its body.
    size: Option<u64>,
    /// Bytes that it takes, with all that is kept beside its body.
    weight: u64,
    /// Fields of requests that it is for, by `Vary`.
    vary: Vec<String>,
    /// More than the URL is in its key: fields, cookies, or what a QUERY asks.
    is_keyed: bool,
    /// In which codings it is kept besides.
    codings: Vec<&'static str>,
    tags: Vec<String>,
    groups: Vec<String>,
    pieces: Option<Pieces>,
}

/// Where it is kept in pieces.
#[derive(Serialize, JsonSchema)]
struct Pieces {
    /// All that there are.
    of: u64,
    /// Those that are stored.
    stored: u64,
}

/// What is stored of the URL that the query names.
pub async fn told(status: &Status, asked: &str) -> HttpResponse {
    let url = query::values(&format!("?{asked}"), "url").next().map(|url| String::from_utf8_lossy(&url).into_owned());
    let what = url.ok_or("there is none").and_then(|url| What::url(&url));
    match what {
        Ok(What::Url(targets)) => {
            let shelves = status.proxy().plan().shelves();
            // A disk may take a while.
            let entries = web::block(move || {
                let of =
                    |shelf: &Arc<Shelf>| targets.iter().flat_map(|target| of_target(shelf, target)).collect::<Vec<_>>();
                shelves.iter().flat_map(of).collect()
            });
            match entries.await {
                Ok(entries) => found(&Entries { entries }),
                Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            }
        }
        Ok(_) => problem(StatusCode::BAD_REQUEST, "not /cache/entry?url=https://.."),
        Err(why) => problem(StatusCode::BAD_REQUEST, &format!("not /cache/entry?url=https://..: {why}")),
    }
}

fn of_target(shelf: &Arc<Shelf>, target: &[u8]) -> Vec<Stored> {
    let entries = shelf.memory.entries(target);
    let in_memory = entries.iter().map(|(is_keyed, entry)| Stored::of(shelf, target, *is_keyed, entry));
    let below = shelf.lower().iter().flat_map(|lower| {
        let told = lower.told(target).into_iter();
        told.map(|told| Stored::below(shelf, lower.kind(), &told)).collect::<Vec<_>>()
    });
    in_memory.chain(below).collect()
}

impl Stored {
    fn below(shelf: &Shelf, tier: &'static str, told: &Told) -> Self {
        let size = Some(told.length);
        Self { tier, size, weight: told.weight, is_keyed: told.is_keyed, ..Self::head(shelf, &told.head) }
    }

    fn of(shelf: &Shelf, target: &[u8], is_keyed: bool, entry: &Entry) -> Self {
        let pieces = entry.sliced.as_ref().map(|sliced| {
            let is_stored = |key: &_| shelf.memory.has(key);
            Pieces {
                of: sliced.keys(target).count() as u64,
                stored: sliced.keys(target).filter(is_stored).count() as u64,
            }
        });
        Self {
            size: entry.length(),
            weight: entry.weight(),
            is_keyed,
            codings: entry.content.codings(),
            pieces,
            ..Self::head(shelf, &entry.head)
        }
    }

    fn head(shelf: &Shelf, head: &Head) -> Self {
        let now = now();
        Self {
            store: shelf.name.clone(),
            tier: "memory",
            status: head.status.as_u16(),
            age: head.age(now).as_secs(),
            ttl: head.ttl(now),
            size: None,
            weight: 0,
            vary: head.vary.names().map(str::to_owned).collect(),
            is_keyed: false,
            codings: Vec::new(),
            tags: purge::tags(&head.fields),
            groups: head.groups.iter().map(|group| group.to_string()).collect(),
            pieces: None,
        }
    }
}
