//! What filters add to a request that they let pass: each alone, from the way in to the way out. Of `compress` and `substitute` this is
//! what they take to see that an answer without content is not for them; what content costs is a matter of its length.

use std::{
    fs,
    hint::black_box,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, LazyLock},
    thread,
};

use aqueduct::{
    Exchange, Response,
    exchange::{Client, Identities},
    filters::{End, Site, Step, pass},
    http::{
        Downstream, HeaderMap, HeaderName, HeaderValue, Method, RequestBody, StatusCode, Version,
        client_certificate::ClientCertificate, downstream::Peer,
    },
    kinds::Kinds,
    telemetry::metrics::Ledger,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// What is measured: a name, and filters with their settings.
fn cases() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let limit = || json!({ "rate": "1000000/s", "key": "ip" });
    let networks = |count: u32| json!({ "deny": (0..count).map(network).collect::<Vec<_>>() });
    let names = |count: u32| {
        let names = (0..count).map(|number| format!("*bot{number:06}/*"));
        json!({ "user_agents": { "deny": names.collect::<Vec<_>>() } })
    };
    let token = || json!({ "secret": SECRET, "issuer": "bench", "pass_on": true });
    let token_stays = || json!({ "secret": SECRET, "issuer": "bench", "forward": { "x-user": "sub" } });
    let rules = || json!({ "request": { "set": { "x-tier": "gold" } }, "response": { "remove": ["server"] } });
    let bundle = |token: Value| {
        vec![
            ("security_headers", json!({})),
            ("ip_access", networks(100_000)),
            ("rate_limit", limit()),
            ("jwt", token),
            ("header_rules", rules()),
        ]
    };
    let key = || ("api_key", json!({ "keys": KEYS, "pass_on": true }));
    let may = || ("authorize", json!({ "allow": ["has(claim('sub'))"] }));
    let quota = || ("quota", json!({ "rate": "1000000/s", "key": "identity" }));
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
        ("ip_access, 100,000 networks of a file", vec![("ip_access", json!({ "deny_files": [list()] }))]),
        (
            "request_rules",
            vec![("request_rules", json!({ "methods": ["GET"], "max_query": "2KiB", "query_names": ["page"] }))],
        ),
        ("request_rules, 10 names", vec![("request_rules", names(10))]),
        ("request_rules, 100,000 names", vec![("request_rules", names(100_000))]),
        (
            "response_rules",
            vec![(
                "response_rules",
                json!({ "max_body": "10MiB", "deny": [{ "content_types": "application/x-sql" }, { "status": "5xx" }] }),
            )],
        ),
        ("cors", vec![("cors", json!({ "origins": ["https://shop.example"] }))]),
        ("jwt, a token that is known", vec![("jwt", token())]),
        ("basic_auth, a password that is known", vec![("basic_auth", json!({ "users": USERS, "pass_on": true }))]),
        ("api_key", vec![("api_key", json!({ "keys": KEYS, "pass_on": true }))]),
        ("client_cert", vec![("client_cert", json!({ "names": ["DNS:*.ops.example"] }))]),
        (
            "auth, of two",
            vec![(
                "auth",
                json!({ "any": [{ "api_key": { "keys": KEYS, "pass_on": true } }, { "basic_auth": { "users": USERS } }] }),
            )],
        ),
        ("forward_auth, an answer that is known", vec![("forward_auth", json!({ "url": service(), "cache": "1h" }))]),
        ("jwt and authorize", vec![("jwt", token()), ("authorize", json!({ "allow": ["claim('sub') == 'alice'"] }))]),
        ("api_key and authorize", vec![key(), may()]),
        ("api_key, authorize and quota", vec![key(), may(), quota()]),
        (STAYS, vec![("jwt", token_stays())]),
        ("concurrency of each client", vec![key(), ("concurrency", json!({ "requests": 10, "key": "identity" }))]),
        ("jwt and quota", vec![("jwt", token()), ("quota", json!({ "rate": "1000000/s", "key": "identity" }))]),
        ("bandwidth", vec![("bandwidth", json!({ "pace": "1GiB/s", "burst": "1GiB", "key": "ip" }))]),
        ("validate", vec![("validate", json!({ "json_schema": SCHEMA, "max_body": "64KiB" }))]),
        (
            "rewrite",
            vec![(
                "rewrite",
                json!({ "path": "/compat${path}", "query": { "remove": ["utm_*"], "set": { "v": "2" } } }),
            )],
        ),
        ("compress, nothing to do", vec![("compress", json!({}))]),
        (
            "substitute, nothing to do",
            vec![("substitute", json!([{ "find": "http://internal", "with": "https://shop.example" }]))],
        ),
        ("error_pages", vec![("error_pages", json!({ "404": ERROR_PAGE }))]),
        ("the bundle", bundle(token())),
        (NEW, vec![]),
        (BUNDLE_NEW, bundle(token())),
        (BUNDLE_STAYS, bundle(token_stays())),
    ]
}

/// Where the token is taken out of the request, and the endpoint told who it is: each passage is of a new request.
const STAYS: &str = "jwt, a token that stays here";
const BUNDLE_STAYS: &str = "the bundle, with a token that stays here";
/// What that is to be held against: a new request each time is less near than one that was just there.
const NEW: &str = "none, of a new request";
const BUNDLE_NEW: &str = "the bundle, of a new request";

/// Every other one: a client between two of them passes.
fn network(number: u32) -> String {
    format!("{}/24", Ipv4Addr::from(0x0b00_0000 + (number << 9)))
}

/// A file of networks.
fn list() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("networks.txt");
    let lines: String = (0..100_000).map(|number| network(number) + "\n").collect();
    fs::write(&path, lines).expect("it can be written");
    path
}

/// Files of the repository that settings name.
const USERS: &str = "settings/recipes/users.htpasswd";
const KEYS: &str = "settings/recipes/shop.keys";
const SCHEMA: &str = "settings/schemas/order.json";
const ERROR_PAGE: &str = "settings/errors/404.html";

/// A service that lets everybody pass.
fn service() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a whole request");
                head.extend(byte);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .expect("somebody reads");
        }
    });
    format!("http://{address}/verify")
}

/// A connection that began with a certificate.
struct Certified(Arc<ClientCertificate>);

impl Certified {
    fn new() -> Rc<Self> {
        Rc::new(Self(Arc::new(ClientCertificate {
            subject: "CN=alice,O=Ops".to_owned(),
            issuer: "CN=Ops CA,O=Example".to_owned(),
            serial: "01".to_owned(),
            names: vec!["DNS:alice.ops.example".to_owned()],
            fingerprint: "00".repeat(32),
        })))
    }
}

impl Downstream for Certified {
    fn peer(&self) -> Peer {
        Peer::Tcp((Ipv4Addr::new(12, 1, 3, 7), 1000).into())
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        Some(&self.0)
    }

    fn informational(&self, _: StatusCode, _: &HeaderMap) {}

    fn request_trailers(&self) -> Option<HeaderMap> {
        None
    }

    fn response_trailers(&self, _: HeaderMap) {}
}

const SECRET: &str = "a secret that is as long as what it makes";

/// What an issuer of this name has signed.
static SIGNED: LazyLock<String> = LazyLock::new(|| {
    let claims = json!({ "iss": "bench", "sub": "alice", "exp": 4_102_444_800_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
});

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

fn request(case: &str) -> Exchange {
    let mut headers = HeaderMap::new();
    // "alice:open sesame"
    let basic = || "Basic YWxpY2U6b3BlbiBzZXNhbWU=".to_owned();
    let proof = if case.starts_with("basic_auth") { basic() } else { format!("Bearer {}", *SIGNED) };
    headers.append(HeaderName::from_static("authorization"), HeaderValue::try_from(proof).expect("a value"));
    for (name, value) in [
        ("host", "shop.example"),
        ("accept", "*/*"),
        ("user-agent", "bench/1"),
        ("accept-encoding", "gzip, br"),
        ("origin", "https://shop.example"),
        ("x-api-key", "not-a-key-to-let-anybody-in"),
    ] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let client = Client::at(Peer::Tcp((Ipv4Addr::new(12, 1, 3, 7), 1000).into()), false);
    let target = "/api/orders/7?page=2".parse().expect("a target");
    let mut exchange = Exchange::new(Method::GET, target, Version::HTTP_11, headers, RequestBody::empty(), client);
    exchange.path = "/api/orders/7".to_owned();
    exchange.downstream = Some(Certified::new());
    exchange
}

fn filters(criterion: &mut Criterion) {
    let system = actix_rt::System::new();
    for (name, filters) in cases() {
        let (steps, mut exchange) = (steps(&filters), request(name));
        // Who waits the first time, for a password or for a service, does not the second time.
        let is_changed = [STAYS, NEW, BUNDLE_NEW, BUNDLE_STAYS].contains(&name);
        for _ in 0..2 {
            let passed = system.block_on(pass(&steps, &mut exchange, &Nobody));
            assert_eq!(passed.status, StatusCode::OK, "{name}");
            forget(&mut exchange);
            if is_changed {
                exchange = request(name);
            }
        }
        let go = |exchange: &mut Exchange| {
            pass(black_box(&steps), exchange, &Nobody).now_or_never().map(|response| response.status)
        };
        criterion.bench_function(name, |bencher| {
            if is_changed {
                return bencher.iter_batched_ref(|| request(name), go, BatchSize::SmallInput);
            }
            bencher.iter(|| {
                forget(&mut exchange);
                go(&mut exchange)
            });
        });
    }
}

/// What filters have noted of the last passage.
fn forget(exchange: &mut Exchange) {
    exchange.notes.clear();
    exchange.identities = Identities::default();
    exchange.held.clear();
}

criterion_group!(benches, filters);
criterion_main!(benches);
