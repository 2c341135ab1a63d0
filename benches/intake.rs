//! What it costs to check a request and to settle its authority, path and client.

use std::hint::black_box;

use aqueduct::{
    exchange::{Client, Exchange},
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, Version, downstream::Peer},
    proxy::intake::{Limits, check},
    settings::Settings,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

fn exchange(target: &str, fields: &[(&'static str, &'static str)]) -> Exchange {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let client = Client::at(Peer::Tcp(([192, 0, 2, 7], 1000).into()), false);
    let target = target.parse().expect("a target");
    Exchange::new(Method::GET, target, Version::HTTP_11, headers, RequestBody::empty(), client)
}

fn intake(criterion: &mut Criterion) {
    let browser = [
        ("host", "shop.example"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("cookie", "session=0123456789abcdef; theme=dark"),
    ];
    let limits = Limits::of(&Settings::default());
    for (name, target) in
        [("plain path", "/api/orders/7?page=2"), ("path to settle", "/api/%7Eada/../orders/./7?page=2")]
    {
        criterion.bench_function(name, |bencher| {
            let fresh = || exchange(target, &browser);
            bencher.iter_batched(fresh, |mut exchange| check(black_box(&mut exchange), &limits), BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, intake);
criterion_main!(benches);
