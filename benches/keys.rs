//! What `rate_limit` takes for each key with a million and with ten million of them: memory, time, and whether any key that had used up
//! its own comes in again.
//!
//! `cargo bench --bench keys`

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use aqueduct::{
    Exchange,
    exchange::Client,
    filters::{Filter, Site, Step},
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, Version, downstream::Peer},
    kinds::Kinds,
    telemetry::metrics::Ledger,
};
use serde_json::json;

/// So many ask first, and again when all have asked.
const EARLY: u32 = 100_000;

const KEY: HeaderName = HeaderName::from_static("x-key");

fn main() {
    // What it takes to make the first one is no key's.
    passes(&*limit(1, &Ledger::default()), &mut request(), 0);
    println!(
        "| room for | keys that ask | bytes a key, set aside | bytes more when all have asked | ns a request | early ones that come in again | without a place |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (room, asking) in
        [(1_000_000, 1_000_000), (1_000_000, 10_000_000), (10_000_000, 1_000_000), (10_000_000, 10_000_000)]
    {
        measure(room, asking);
    }
}

fn measure(room: u32, asking: u32) {
    let ledger = Ledger::default();
    let before = resident();
    let limit = limit(room, &ledger);
    let set_aside = resident() - before;
    let mut exchange = request();
    let early = (0..EARLY).filter(|key| passes(&*limit, &mut exchange, *key)).count();
    assert_eq!(early, EARLY as usize, "each has one");

    let began = Instant::now();
    for key in EARLY..asking {
        passes(&*limit, &mut exchange, key);
    }
    let each = began.elapsed().as_nanos() / u128::from(asking - EARLY);
    let more = resident().saturating_sub(before + set_aside);
    let again = (0..EARLY).filter(|key| passes(&*limit, &mut exchange, *key)).count();
    let crowded = ledger.events().into_iter().find(|((_, event), _)| *event == "crowded").map_or(0, |(_, count)| count);

    println!("| {room} | {asking} | {} | {more} | {each} | {again} | {crowded} |", set_aside / u64::from(room));
    assert_eq!(again, 0, "somebody was forgotten");
}

/// One an hour for each value of a field.
fn limit(room: u32, ledger: &Ledger) -> std::sync::Arc<dyn Filter> {
    let kinds = Kinds::built_in();
    let kind = kinds.filters().iter().find(|kind| kind.name == "rate_limit").expect("a kind");
    let settings = json!({ "rate": "1/1h", "burst": 1, "key": "header:x-key", "max_keys": room, "fields": false });
    let at = ["rate_limit".to_owned()];
    let step = kind.build(&settings, &Site::new(kind.name, &at, None, ledger));
    let Ok(Step::Plain(limit)) = step else { panic!("it does not wait") };
    limit
}

fn request() -> Exchange {
    let client = Client::at(Peer::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1000))), false);
    let target = "/".parse().expect("a target");
    Exchange::new(Method::GET, target, Version::HTTP_11, HeaderMap::new(), RequestBody::empty(), client)
}

fn passes(limit: &dyn Filter, exchange: &mut Exchange, key: u32) -> bool {
    exchange.headers.insert(KEY, HeaderValue::from(key));
    exchange.notes.clear();
    limit.on_request(exchange).is_none()
}

/// Bytes of memory that this process has in use.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it tells");
    let kilobytes = line.split_whitespace().nth(1).and_then(|count| count.parse::<u64>().ok()).expect("a number");
    kilobytes * 1024
}
