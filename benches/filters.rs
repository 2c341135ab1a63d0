//! What filters add to a request that they let pass: each alone, from the way in to the way out.

use std::{hint::black_box, net::Ipv4Addr};

use aqueduct::{
    Exchange, Response,
    exchange::{Client, Identities},
    filters::{End, Site, Step, pass},
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, StatusCode, Version, downstream::Peer},
    kinds::Kinds,
    telemetry::metrics::Ledger,
};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// What is measured: a name, and filters with their settings.
fn cases() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let limit = || json!({ "rate": "1000000/s", "key": "ip" });
    let networks = |count: u32| {
        // Every other one: a client between two of them passes.
        let network = |number: u32| format!("{}/24", Ipv4Addr::from(0x0b00_0000 + (number << 9)));
        json!({ "deny": (0..count).map(network).collect::<Vec<_>>() })
    };
    let token = || json!({ "secret": SECRET, "issuer": "bench", "pass_on": true });
    let rules = || json!({ "request": { "set": { "x-tier": "gold" } }, "response": { "remove": ["server"] } });
    let bundle = vec![
        ("security_headers", json!({})),
        ("ip_access", networks(100_000)),
        ("rate_limit", limit()),
        ("jwt", token()),
        ("header_rules", rules()),
    ];
    vec![
        ("none", vec![]),
        ("rate_limit", vec![("rate_limit", limit())]),
        ("rate_limit, not told", vec![("rate_limit", json!({ "rate": "1000000/s", "fields": false }))]),
        ("rate_limit, two", vec![("rate_limit", json!([limit(), { "rate": "1000000/s", "key": ["host", "path"] }]))]),
        ("concurrency", vec![("concurrency", json!({ "requests": 10, "key": "ip" }))]),
        ("header_rules", vec![("header_rules", rules())]),
        ("security_headers", vec![("security_headers", json!({}))]),
        ("ip_access, 10 networks", vec![("ip_access", networks(10))]),
        ("ip_access, 100,000 networks", vec![("ip_access", networks(100_000))]),
        ("jwt, a token that is known", vec![("jwt", token())]),
        ("the bundle", bundle),
    ]
}

const SECRET: &str = "a secret that is as long as what it makes";

/// What an issuer of this name has signed.
fn signed() -> String {
    let claims = json!({ "iss": "bench", "sub": "alice", "exp": 4_102_444_800_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
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
    let token = HeaderValue::try_from(format!("Bearer {}", signed())).expect("a value");
    headers.append(HeaderName::from_static("authorization"), token);
    for (name, value) in [("host", "shop.example"), ("accept", "*/*"), ("user-agent", "bench/1")] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let client = Client::at(Peer::Tcp((Ipv4Addr::new(12, 1, 3, 7), 1000).into()), false);
    let target = "/api/orders/7?page=2".parse().expect("a target");
    let mut exchange = Exchange::new(Method::GET, target, Version::HTTP_11, headers, RequestBody::empty(), client);
    exchange.path = "/api/orders/7".to_owned();
    exchange
}

fn filters(criterion: &mut Criterion) {
    for (name, filters) in cases() {
        let (steps, mut exchange) = (steps(&filters), request());
        let passed = pass(&steps, &mut exchange, &Nobody).now_or_never().map(|response| response.status);
        assert_eq!(passed, Some(StatusCode::OK), "{name}");
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                exchange.notes.clear();
                exchange.identities = Identities::default();
                exchange.held.clear();
                pass(black_box(&steps), &mut exchange, &Nobody).now_or_never().map(|response| response.status)
            });
        });
    }
}

criterion_group!(benches, filters);
criterion_main!(benches);
