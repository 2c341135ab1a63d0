//! What filters add to a request that they let pass: each alone, from the way in to the way out.

use std::{hint::black_box, net::Ipv4Addr};

use aqueduct::{
    Exchange, Response,
    exchange::Client,
    filters::{End, Site, Step, pass},
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, StatusCode, Version, downstream::Peer},
    kinds::Kinds,
    telemetry::metrics::Ledger,
};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use serde_json::{Value, json};

/// What is measured: a name, and filters with their settings.
fn cases() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let limit = || json!({ "rate": "1000000/s", "key": "ip" });
    vec![
        ("none", vec![]),
        ("rate_limit", vec![("rate_limit", limit())]),
        ("rate_limit, not told", vec![("rate_limit", json!({ "rate": "1000000/s", "fields": false }))]),
        ("rate_limit, two", vec![("rate_limit", json!([limit(), { "rate": "1000000/s", "key": ["host", "path"] }]))]),
        ("concurrency", vec![("concurrency", json!({ "requests": 10, "key": "ip" }))]),
        ("header_rules", vec![("header_rules", json!({ "request": { "set": { "x-tier": "gold" } } }))]),
    ]
}

/// Whoever is asked in the end answers at once, with nothing.
struct Nobody;

impl End for Nobody {
    async fn send(&self, _: &mut Exchange) -> Response {
        Response::new(StatusCode::OK)
    }

    fn show(&self, _: &mut Exchange, refused: Response) -> Response {
        refused
    }
}

fn steps(filters: &[(&'static str, Value)]) -> Vec<Step> {
    let (kinds, ledger) = (Kinds::built_in(), Ledger::default());
    let built = filters.iter().map(|(name, settings)| {
        let kind = kinds.filters().iter().find(|kind| kind.name == *name).expect("a kind");
        let at = [(*name).to_owned()];
        kind.build(settings, &Site::new(kind.name, &at, None, &ledger)).unwrap_or_else(|wrong| panic!("{wrong}"))
    });
    built.collect()
}

fn request() -> Exchange {
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", "shop.example"), ("accept", "*/*"), ("user-agent", "bench/1")] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let client = Client::at(Peer::Tcp((Ipv4Addr::new(192, 0, 2, 7), 1000).into()), false);
    let target = "/api/orders/7?page=2".parse().expect("a target");
    let mut exchange = Exchange::new(Method::GET, target, Version::HTTP_11, headers, RequestBody::empty(), client);
    exchange.path = "/api/orders/7".to_owned();
    exchange
}

fn filters(criterion: &mut Criterion) {
    for (name, filters) in cases() {
        let (steps, mut exchange) = (steps(&filters), request());
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                exchange.notes.clear();
                exchange.held.clear();
                pass(black_box(&steps), &mut exchange, &Nobody).now_or_never().map(|response| response.status)
            });
        });
    }
}

criterion_group!(benches, filters);
criterion_main!(benches);
