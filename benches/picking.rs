//! Picking one of 2, 30 and 1,000 endpoints, each of which carries something: under a microsecond.
//! `cargo bench --bench picking`

use std::{hint::black_box, sync::Arc, time::Duration};

use aqueduct::{
    Exchange,
    exchange::Client,
    http::{HeaderMap, Method, RequestBody, Uri, Version, downstream::Peer},
    kinds::Kinds,
    settings::upstream::PoolSettings,
    transport::Address,
    upstream::{Candidates, Endpoint},
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn endpoints(count: u32) -> Vec<Arc<Endpoint>> {
    let endpoint = |number: u32| {
        let address = Address::Tcp { host: format!("10.0.{}.{}", number / 250, number % 250).into(), port: 80 };
        Arc::new(Endpoint::new(address, "endpoint", 1 + number % 3, &PoolSettings::default()))
    };
    (0..count).map(endpoint).collect()
}

fn picks(criterion: &mut Criterion) {
    let client = Client { address: Some([10, 1, 2, 3].into()), ..Client::at(Peer::Unix, false) };
    let body = RequestBody::empty();
    let exchange = Exchange::new(Method::GET, Uri::from_static("/"), Version::HTTP_11, HeaderMap::new(), body, client);
    for kind in Kinds::built_in().balancers() {
        let mut group = criterion.benchmark_group(kind.name);
        for count in [2, 30, 1_000] {
            let endpoints = endpoints(count);
            let _carried: Vec<_> = endpoints.iter().map(|endpoint| endpoint.enter()).collect();
            for endpoint in &endpoints {
                endpoint.latency.observe(Duration::from_millis(5), aqueduct::clock::coarse());
            }
            let balancer =
                kind.build(&serde_json::json!({}), &endpoints, &[]).unwrap_or_else(|wrong| panic!("{wrong}"));
            let candidates = Candidates::all(&endpoints).expect("there are some");
            group.bench_with_input(BenchmarkId::from_parameter(count), &candidates, |bencher, candidates| {
                bencher.iter(|| balancer.pick(black_box(*candidates), &exchange).weight);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, picks);
criterion_main!(benches);
