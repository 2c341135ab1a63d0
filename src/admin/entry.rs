//! `GET /cache/entry?url=..`: what is stored of something, in memory.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Status, found, problem};
use crate::{
    cache::{
        entry::{Entry, now},
        purge::{self, What},
        store::Shelf,
    },
    http::query,
};

/// What is stored of a URL in the memory of all stores; the newest of each first.
#[derive(Serialize, JsonSchema)]
pub struct Entries {
    entries: Vec<Stored>,
}

/// One answer that is stored.
#[derive(Serialize, JsonSchema)]
struct Stored {
    /// `built_in` is the one of routes that name none.
    store: String,
    #[schemars(extend("enum" = ["memory"]))]
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
pub fn told(status: &Status, asked: &str) -> HttpResponse {
    let url = query::values(&format!("?{asked}"), "url").next().map(|url| String::from_utf8_lossy(&url).into_owned());
    let what = url.ok_or("there is none").and_then(|url| What::url(&url));
    match what {
        Ok(What::Url(targets)) => {
            let shelves = status.proxy().plan().shelves();
            let entries = shelves.iter().flat_map(|shelf| targets.iter().flat_map(|target| of_target(shelf, target)));
            found(&Entries { entries: entries.collect() })
        }
        Ok(_) => problem(StatusCode::BAD_REQUEST, "not /cache/entry?url=https://.."),
        Err(why) => problem(StatusCode::BAD_REQUEST, &format!("not /cache/entry?url=https://..: {why}")),
    }
}

fn of_target(shelf: &Arc<Shelf>, target: &[u8]) -> Vec<Stored> {
    let entries = shelf.memory.entries(target);
    entries.iter().map(|(is_keyed, entry)| Stored::of(shelf, target, *is_keyed, entry)).collect()
}

impl Stored {
    fn of(shelf: &Shelf, target: &[u8], is_keyed: bool, entry: &Entry) -> Self {
        let (head, now) = (&entry.head, now());
        let pieces = entry.sliced.as_ref().map(|sliced| {
            let is_stored = |key: &_| shelf.memory.has(key);
            Pieces {
                of: sliced.keys(target).count() as u64,
                stored: sliced.keys(target).filter(is_stored).count() as u64,
            }
        });
        Self {
            store: shelf.name.clone(),
            tier: "memory",
            status: head.status.as_u16(),
            age: head.age(now).as_secs(),
            ttl: head.ttl(now),
            size: entry.length(),
            weight: entry.weight(),
            vary: head.vary.names().map(str::to_owned).collect(),
            is_keyed,
            codings: entry.content.codings(),
            tags: purge::tags(&head.headers),
            groups: head.groups.iter().map(|group| group.to_string()).collect(),
            pieces,
        }
    }
}
