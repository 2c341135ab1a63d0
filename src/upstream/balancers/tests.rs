//! What holds for balancers whatever the endpoints.

use std::{net::IpAddr, sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Balancer, ConsistentHash, Kind, LeastRequests, P2c, Random, RoundRobin};
use crate::{
    chance, clock,
    exchange::{Client, Exchange},
    http::{HeaderMap, Method, RequestBody, Uri, Version, downstream::Peer},
    settings::upstream::PoolSettings,
    transport::Address,
    upstream::{Candidates, Endpoint, Places},
};

fn endpoints(weights: &[u32]) -> Vec<Arc<Endpoint>> {
    let pool = PoolSettings::default();
    let made = (1..).zip(weights).map(|(number, weight)| {
        let address = Address::Tcp { host: format!("10.0.0.{number}").into(), port: 80 };
        Arc::new(Endpoint::new(address, "endpoint", *weight, &pool))
    });
    made.collect()
}

fn exchange(client: u32) -> Exchange {
    let address = IpAddr::from(client.to_be_bytes());
    let client = Client { address: Some(address), ..Client::at(Peer::Unix, false) };
    let body = RequestBody::empty();
    Exchange::new(Method::GET, Uri::from_static("/"), Version::HTTP_11, HeaderMap::new(), body, client)
}

const ALL: [&str; 5] = [P2c::NAME, RoundRobin::NAME, LeastRequests::NAME, Random::NAME, ConsistentHash::NAME];

fn balancer(policy: &str, options: Value, endpoints: &[Arc<Endpoint>]) -> Box<dyn Balancer> {
    match policy {
        P2c::NAME => build::<P2c>(options, endpoints),
        RoundRobin::NAME => build::<RoundRobin>(options, endpoints),
        LeastRequests::NAME => build::<LeastRequests>(options, endpoints),
        Random::NAME => build::<Random>(options, endpoints),
        _ => build::<ConsistentHash>(options, endpoints),
    }
}

fn build<K: Kind>(options: Value, endpoints: &[Arc<Endpoint>]) -> Box<dyn Balancer> {
    let settings = serde_json::from_value(options).expect("they fit");
    K::build(settings, endpoints).unwrap_or_else(|problems| panic!("{problems}"))
}

fn place(of: &Arc<Endpoint>, among: &[Arc<Endpoint>]) -> usize {
    among.iter().position(|endpoint| Arc::ptr_eq(endpoint, of)).expect("it is one of them")
}

/// How often each is picked, by a client of its own each time.
fn picks(balancer: &dyn Balancer, endpoints: &[Arc<Endpoint>], times: u32) -> Vec<u32> {
    let mut counts = vec![0; endpoints.len()];
    for client in 0..times {
        let candidates = Candidates::all(endpoints).expect("there is one");
        counts[place(balancer.pick(candidates, &exchange(client)), endpoints)] += 1;
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn idle_endpoints_are_picked_as_they_weigh(weights in prop::collection::vec(1u32..9, 1..9), seed: u64) {
        const TIMES: u32 = 20_000;
        chance::seed(seed);
        let endpoints = endpoints(&weights);
        let sum: u32 = weights.iter().sum();
        // By chance, within five standard deviations; on a ring, as its points fall.
        for (policy, play) in [("random", 0.0), ("p2c", 0.0), ("round_robin", 0.0), ("consistent_hash", 0.25)] {
            let counts = picks(&*balancer(policy, json!({}), &endpoints), &endpoints, TIMES);

            for (count, weight) in counts.iter().zip(&weights) {
                let share = f64::from(*weight) / f64::from(sum);
                let expected = share * f64::from(TIMES);
                let deviation = (expected * (1.0 - share)).sqrt();
                let off = (f64::from(*count) - expected).abs();
                prop_assert!(off <= 5.0 * deviation + play * expected + 1.0, "{} {:?} {:?}", policy, weights, counts);
            }
        }
    }

    #[test]
    fn of_those_that_are_left_each_is_picked_as_it_weighs(
        weights in prop::collection::vec(1u32..9, 2..9), gone: prop::sample::Index, seed: u64,
    ) {
        const TIMES: u32 = 20_000;
        chance::seed(seed);
        let endpoints = endpoints(&weights);
        let gone = gone.index(weights.len());
        let places = Places::these((0..weights.len()).filter(|place| *place != gone)).expect("there is another");
        let sum: u32 = weights.iter().sum::<u32>() - weights[gone];
        for (policy, play) in [("random", 0.0), ("p2c", 0.0), ("consistent_hash", 0.3)] {
            let balancer = balancer(policy, json!({}), &endpoints);
            let mut counts = vec![0; weights.len()];
            for client in 0..TIMES {
                let candidates = Candidates::only(&endpoints, &places).expect("there is one");
                counts[place(balancer.pick(candidates, &exchange(client)), &endpoints)] += 1;
            }

            // So many throws may all miss: then it is anyone.
            let missed = (f64::from(weights[gone]) / f64::from(sum + weights[gone])).powi(8) * f64::from(TIMES);
            for at in places.as_slice() {
                let share = f64::from(weights[*at]) / f64::from(sum);
                let expected = share * f64::from(TIMES);
                let deviation = (expected * (1.0 - share)).sqrt();
                let off = (f64::from(counts[*at]) - expected).abs();
                let most = 5.0 * deviation + play * expected + missed + 1.0;
                prop_assert!(off <= most, "{} {:?} without {} {:?}", policy, weights, gone, counts);
            }
        }
    }

    #[test]
    fn the_fewest_requests_are_the_fewest_for_a_weight(weights in prop::collection::vec(1u32..9, 1..9), requests in 1u32..500) {
        let endpoints = endpoints(&weights);
        let balancer = balancer("least_requests", json!({}), &endpoints);
        let all = Candidates::all(&endpoints).expect("there is one");

        let _entered: Vec<_> = (0..requests).map(|client| balancer.pick(all, &exchange(client)).enter()).collect();

        let loads = || endpoints.iter().map(|one| f64::from(one.in_flight()) / f64::from(one.weight));
        for one in &endpoints {
            // The last one that it got was one that nobody had less load to get with.
            let before = f64::from(one.in_flight().saturating_sub(1)) / f64::from(one.weight);
            prop_assert!(loads().all(|load| before <= load), "{:?} carry {:?}", weights, loads().collect::<Vec<_>>());
        }
    }

    #[test]
    fn nobody_is_picked_who_is_no_candidate(weights in prop::collection::vec(1u32..5, 1..20), left: prop::sample::Index, mask: u32) {
        let endpoints = endpoints(&weights);
        let masked = Places::these((0..weights.len()).filter(|place| mask >> place & 1 == 1));
        let places = masked.or_else(|| Places::these([left.index(weights.len())])).expect("there is one");
        for policy in ALL {
            let balancer = balancer(policy, json!({}), &endpoints);
            for client in 0..64 {
                let candidates = Candidates::only(&endpoints, &places).expect("there is one");
                let picked = place(balancer.pick(candidates, &exchange(client)), &endpoints);
                prop_assert!(places.as_slice().contains(&picked), "{} picked {} of {:?}", policy, picked, &places);
            }
        }
    }

    #[test]
    fn only_the_keys_of_an_endpoint_that_leaves_move(weights in prop::collection::vec(1u32..5, 2..9), gone: prop::sample::Index) {
        let all = endpoints(&weights);
        let gone = gone.index(weights.len());
        let mut rest = all.clone();
        rest.remove(gone);
        let (before, after) =
            (balancer("consistent_hash", json!({}), &all), balancer("consistent_hash", json!({}), &rest));
        let mut moved = 0;
        let standing = Places::these((0..all.len()).filter(|place| *place != gone)).expect("there is one");
        for client in 0..2_000 {
            let exchange = exchange(client);
            let was = before.pick(Candidates::all(&all).expect("some"), &exchange);
            let is = after.pick(Candidates::all(&rest).expect("some"), &exchange);
            // Whether it is taken out of the settings or only unwell, its keys go to the same ones.
            let unwell = before.pick(Candidates::only(&all, &standing).expect("some"), &exchange);

            prop_assert!(place(was, &all) == gone || Arc::ptr_eq(was, is));
            prop_assert!(Arc::ptr_eq(unwell, is));
            moved += u32::from(!Arc::ptr_eq(was, is));
        }
        // It has as many points as it weighs, and those fall by chance.
        let share = f64::from(weights[gone]) / f64::from(weights.iter().sum::<u32>());
        prop_assert!(f64::from(moved) <= share * 1.3 * 2_000.0, "{} of {:?} moved {} keys", gone, weights, moved);
    }
}

#[test]
fn a_key_is_what_the_settings_say_and_the_client_where_it_is_missing() {
    let endpoints = endpoints(&[1; 16]);
    let all = Candidates::all(&endpoints).expect("some");
    for (key, field, value, other) in
        [("header:x-tenant", "x-tenant", "ada", "grace"), ("cookie:cart", "cookie", "a=b; cart=17", "cart=18; a=b")]
    {
        let balancer = balancer("consistent_hash", json!({ "key": key }), &endpoints);
        let asking = |client: u32, value: Option<&'static str>| {
            let mut exchange = exchange(client);
            if let Some(value) = value {
                exchange.headers.insert(field.parse().expect("a name"), value.parse().expect("a value"));
            }
            place(balancer.pick(all, &exchange), &endpoints)
        };

        assert!((0..50).all(|client| asking(client, Some(value)) == asking(0, Some(value))), "{key}");
        assert_ne!(asking(0, Some(value)), asking(0, Some(other)), "{key}: the two are known to part");
        assert!((1..50).any(|client| asking(client, None) != asking(0, None)), "{key}");
    }
}

#[test]
fn with_a_bound_one_key_alone_does_not_burden_one_endpoint() {
    let endpoints = endpoints(&[1; 4]);
    let all = Candidates::all(&endpoints).expect("some");
    for (options, most) in [(json!({ "bound": 1.25 }), 32), (json!({}), 100)] {
        let balancer = balancer("consistent_hash", options, &endpoints);

        let entered: Vec<_> = (0..100).map(|_| balancer.pick(all, &exchange(7)).enter()).collect();

        let busiest = endpoints.iter().map(|endpoint| endpoint.in_flight()).max();
        assert_eq!(busiest, Some(most));
        drop(entered);
    }
}

#[test]
fn of_two_the_better_one_is_taken() {
    let endpoints = endpoints(&[1, 1]);
    let balancer = balancer("p2c", json!({}), &endpoints);
    let (slow, fast) = (&endpoints[0], &endpoints[1]);
    slow.latency.observe(Duration::from_millis(100), clock::coarse());
    fast.latency.observe(Duration::from_millis(10), clock::coarse());
    assert_eq!(picks(&*balancer, &endpoints, 100), [0, 100]);

    // As soon as the fast one is ten times as busy it is the same.
    let _busy: Vec<_> = (0..15).map(|_| fast.enter()).collect();
    assert_eq!(picks(&*balancer, &endpoints, 100), [100, 0]);
}

#[test]
fn who_never_answered_is_tried_with_one_request() {
    let endpoints = endpoints(&[1, 1]);
    let balancer = balancer("p2c", json!({}), &endpoints);
    let (new, known) = (&endpoints[0], &endpoints[1]);
    known.latency.observe(Duration::from_millis(50), clock::coarse());
    assert_eq!(picks(&*balancer, &endpoints, 100), [100, 0]);

    let _first = new.enter();

    assert_eq!(picks(&*balancer, &endpoints, 100), [0, 100]);
}
