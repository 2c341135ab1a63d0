//! `PURGE` on the route itself: what is stored of its target goes, where who asks may do that.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Cache, Desk, asked};
use crate::{
    cache::purge::{CACHE_TAG, SURROGATE_KEY, What},
    exchange::Exchange,
    filters::{Kind, ip_access::Networks},
    http::{HeaderMap, HeaderName, HeaderValue, Refusal, Response, ResponseBody, StatusCode, downstream::Peer, header},
    settings::Source,
};

/// Who may have something go.
pub struct Purgers {
    networks: Networks<bool>,
    unix: bool,
}

/// No RFC has this method; Squid, Varnish and nginx know it.
pub const PURGE: &str = "PURGE";

/// With `1` in it what is stored becomes stale instead; the name is Fastly's.
const SOFTLY: HeaderName = HeaderName::from_static("fastly-soft-purge");

impl Purgers {
    /// These; `None`: the method is one like others.
    pub fn of(sources: &[Source]) -> Option<Self> {
        let networks = sources.iter().filter_map(|source| match source {
            Source::Network(network) => Some((*network, true)),
            Source::Unix => None,
        });
        let unix = sources.contains(&Source::Unix);
        (!sources.is_empty()).then(|| Self { networks: Networks::new(networks, false), unix })
    }

    fn allow(&self, exchange: &Exchange) -> bool {
        let client = exchange.client;
        match (client.address, client.peer) {
            // He may be anybody.
            _ if client.is_hidden => false,
            (Some(address), _) => self.networks.of(address),
            (None, Peer::Unix) => self.unix,
            (None, Peer::Tcp(_)) => false,
        }
    }
}

impl Desk {
    /// The answer to a purge, if it is one, and here it is not for the endpoint.
    pub async fn purge(&self, exchange: &Exchange) -> Option<Response> {
        let purgers = self.purgers.as_ref().filter(|_| exchange.method.as_str() == PURGE)?;
        if !purgers.allow(exchange) {
            let why = "this address may not purge";
            return Some(Refusal::new(Cache::NAME, StatusCode::FORBIDDEN, why).into());
        }
        let is_soft = exchange.headers.get(SOFTLY).is_some_and(|value| value.as_bytes() == b"1");
        let target = asked::key(exchange, &self.keys).target().to_vec();
        let what = What::Url(vec![target.into()]);
        let purged = if self.shelf.lower().is_empty() {
            self.shelf.purge(&what, is_soft)
        } else {
            let shelf = Arc::clone(&self.shelf);
            // Whoever is below memory may keep a worker waiting.
            spawn_blocking(move || shelf.purge(&what, is_soft)).await.unwrap_or_default()
        };
        self.purged.happened();
        let mut response = Response::new(StatusCode::OK);
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.body = ResponseBody::Bytes(format!("{{\"purged\":{purged}}}\n").into());
        Some(response)
    }

    /// Tags tell what an answer was made of: clients have nothing from that.
    pub fn hide_tags(&self, headers: &mut HeaderMap) {
        if !self.shows_tags {
            headers.remove(SURROGATE_KEY);
            headers.remove(CACHE_TAG);
        }
    }
}
