//! Whatever comes in at the edge: what intake lets through is a request that a strict parser reads the same way, once
//! it was written for an endpoint.

use aqueduct::{
    edge::{h1::head::HeadReader, limits::Limits as EdgeLimits},
    exchange::{Client, Exchange},
    http::{HeaderMap, RequestBody, downstream::Peer},
    plan::{Plan, Route},
    proxy::{
        Proxy, decision,
        intake::{Limits, check as take_in},
        outgoing,
    },
    settings::{ServerSettings, Settings},
    transport::h1::head,
};
use bytes::BytesMut;

pub fn check(data: &[u8]) {
    let edge = EdgeLimits::of(&ServerSettings::default(), "fuzz");
    let mut buffer = BytesMut::from(data);
    let Ok(Some(read)) = HeadReader::default().read(&mut buffer, &edge) else { return };
    let nominated: Vec<Vec<u8>> = read
        .headers
        .get_all("connection")
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|token| token.trim_ascii().to_ascii_lowercase())
        .collect();
    let client = Client::at(Peer::Tcp(([192, 0, 2, 1], 1000).into()), false);
    let body = RequestBody::empty();
    let mut exchange = Exchange::new(read.method, read.uri, read.version, read.headers, body, client);
    let limits = Limits::of(&Settings::default());
    if take_in(&mut exchange, &limits).is_err() {
        return;
    }
    assert!(exchange.path.starts_with('/') || exchange.path == "*", "{}", exchange.path);
    let plan = plan();
    let Some(matched) = decision::route(&plan, &exchange) else { panic!("`/` takes everything") };
    let decision::Verdict::Forward { target, upstream } = decision::verdict(&matched, &exchange) else {
        panic!("the route leads to an upstream")
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
    assert!(target.bytes().all(allowed), "{target}");
    let route: &Route = &matched.entry.value;
    // Without an edge there are no upgrades: those are refused here.
    let Ok(upgrade) = outgoing::upgrade(&exchange) else { return };
    let mut outgoing = outgoing::build(route, (target.clone(), upgrade), &mut exchange, &limits, Vec::new());
    outgoing::address(&mut outgoing, &route.host, &upstream.members().endpoints[0], &exchange);
    let mut written = Vec::new();
    head::write(&outgoing, &mut written);
    reread(&written, outgoing.method.as_str(), &target, &outgoing.headers, &nominated);
}

/// What the proxy writes itself, whatever a client says of a field of this name.
const OURS: [&str; 8] = [
    "host",
    "content-length",
    "via",
    "x-request-id",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
];

fn plan() -> std::sync::Arc<Plan> {
    thread_local! {
        static PLAN: std::sync::Arc<Plan> =
            Proxy::builder().route("/", "http://127.0.0.1:8000").build().expect("it is good").plan();
    }
    PLAN.with(std::sync::Arc::clone)
}

/// Another parser reads one request and nothing behind it, with one Host, no framing and nothing of one connection.
fn reread(written: &[u8], method: &str, target: &str, headers: &HeaderMap, nominated: &[Vec<u8>]) {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut request = httparse::Request::new(&mut fields);
    let length = request.parse(written).expect("it is well formed").unwrap();
    assert_eq!(length, written.len());
    assert!(!written.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'));
    assert_eq!((request.method, request.path, request.version), (Some(method), Some(target), Some(1)));
    let count = |name: &str| request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
    assert_eq!(count("host"), 1, "{headers:?}");
    for name in ["transfer-encoding", "keep-alive", "proxy-connection", "upgrade", "expect"] {
        assert_eq!(count(name), 0, "{name}");
    }
    for field in request.headers.iter().filter(|field| !OURS.contains(&&*field.name.to_ascii_lowercase())) {
        let name = field.name.to_ascii_lowercase();
        // That trailers are welcome is said anew, of our own connection.
        let is_ours = ["te", "connection"].contains(&&*name);
        assert!(is_ours || !nominated.contains(&name.into_bytes()), "{} was of the client's connection", field.name);
    }
    assert!(count("content-length") <= 1 && count("connection") <= 1 && count("x-request-id") == 1);
}
