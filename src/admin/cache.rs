//! `POST /cache/purge`: what is stored is to be asked for again.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Status, found, problem};
use crate::cache::{purge::What, store::Shelf};

/// What is to go: one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    url: Option<String>,
    prefix: Option<String>,
    tag: Option<String>,
    group: Option<String>,
    everything: bool,
    /// It becomes stale instead.
    soft: bool,
}

/// How many answers were purged.
#[derive(Serialize, JsonSchema)]
pub struct Purged {
    /// In all stores.
    purged: u64,
    stores: Vec<InStore>,
}

/// The same for one store.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PurgedInStore")]
struct InStore {
    /// `built_in` is the one of routes that name none.
    store: String,
    purged: u64,
}

/// Has it go from every store. It has when this answers.
pub async fn purge(status: &Status, body: &[u8]) -> HttpResponse {
    let order: Result<Order, _> = serde_json::from_slice(body);
    let read = order.map_err(|error| error.to_string()).and_then(|order| order.what().map(|what| (what, order.soft)));
    let (what, is_soft) = match read {
        Ok(read) => read,
        Err(why) => return problem(StatusCode::BAD_REQUEST, &format!("not {{ \"url\": \"..\" }} or the like: {why}")),
    };
    let shelves = status.proxy().plan().shelves();
    // It may take a while to look at everything, and others have questions, too.
    let purged = web::block(move || {
        let purge = |shelf: &Arc<Shelf>| InStore { store: shelf.name.clone(), purged: shelf.purge(&what, is_soft) };
        let mut stores: Vec<_> = shelves.iter().map(purge).collect();
        // Of the settings before, and still held by somebody.
        stores.dedup_by(|older, newer| {
            let is_same = older.store == newer.store;
            newer.purged += if is_same { older.purged } else { 0 };
            is_same
        });
        stores
    });
    match purged.await {
        Ok(stores) => {
            let purged = stores.iter().map(|store| store.purged).sum();
            log::info!("{purged} answers were purged from the cache: an operator wants it so");
            found(&Purged { purged, stores })
        }
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

impl Order {
    /// What it names, or why it names nothing.
    fn what(&self) -> Result<What, String> {
        let Self { url, prefix, tag, group, everything, soft: _ } = self;
        match (url, prefix, tag, group, everything) {
            (Some(url), None, None, None, false) => What::url(url),
            (None, Some(prefix), None, None, false) => What::prefix(prefix),
            (None, None, Some(tag), None, false) => What::tag(tag),
            (None, None, None, Some(group), false) => Ok(What::Group(group.clone().into())),
            (None, None, None, None, true) => Ok(What::Everything),
            _ => Err("one of url, prefix, tag, group and \"everything\": true"),
        }
        .map_err(str::to_owned)
    }
}
