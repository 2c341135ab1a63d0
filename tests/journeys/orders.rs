//! The order in which filters are written decides nothing about who gets in.
//!
//! Filters of which each lets some requests pass and others not, in any selection, in any order and at any place: at the route, in policies that it
//! uses in any order, in `[defaults]`; some of them for some requests only. What becomes of a request is the same each time, and only one that each of
//! those lets pass that are for it reaches the endpoint, or what a cache keeps of it.

use std::{cell::Cell, fs, net::SocketAddr, rc::Rc, sync::Arc};

use actix_rt::System;
use aqueduct::{
    Exchange, Response,
    exchange::Client,
    filters::{End, Step, pass},
    http::{
        ClientCertificate, Downstream, HeaderMap, HeaderName, HeaderValue, Method, RequestBody, StatusCode, Version,
        downstream::Peer, header,
    },
    kinds::Kinds,
    plan::Plan,
    proxy::decision,
    settings::Layers,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jsonwebtoken::{EncodingKey, Header, encode};
use proptest::{
    prelude::*,
    sample::subsequence,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use tempfile::TempDir;

use super::support::origin::Origin;

const SECRET: &str = "a secret that is as long as what it makes";
const ALICE: &str = "alice:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";
const KEY: &str = "not-a-key-to-let-anybody-in";
const ORDER: &[u8] = br#"{ "items": [{ "sku": "A-1", "count": 1 }] }"#;
/// Those of the last one are for some requests only, those of the one before it for all that come here.
const POLICIES: [&str; 5] = ["one", "two", "three", "for_all", "for_some"];
const FOR_SOME: Place = Place::Policy(4);

/// A filter with settings by which some pass.
struct Case {
    name: &'static str,
    settings: &'static str,
    lets_pass: fn(&Request) -> bool,
    /// Who has passed it is known by a name.
    proves: bool,
}

impl Case {
    /// It counts by who asks, which some filter has to find out.
    fn asks_who(&self) -> bool {
        self.settings.contains("identity")
    }

    fn finds_out_who(&self) -> bool {
        self.proves || self.name == "forward_auth"
    }
}

const fn case(name: &'static str, settings: &'static str, lets_pass: fn(&Request) -> bool) -> Case {
    Case { name, settings, lets_pass, proves: false }
}

const fn proof(name: &'static str, settings: &'static str, lets_pass: fn(&Request) -> bool) -> Case {
    Case { proves: true, ..case(name, settings, lets_pass) }
}

/// `header_rules` write what would let anybody in, if it was asked behind them.
static CASES: [Case; 23] = [
    case("ip_access", "{ deny = [\"198.51.100.0/24\"] }", |request| !request.is_from_afar),
    case("request_rules", "{ deny = [\"header('x-odd') == '1'\"] }", |request| !request.is_odd),
    case("rate_limit", "{ rate = \"3/1h\" }", |_| true),
    case("concurrency", "{ requests = 100, key = \"identity\" }", |_| true),
    case("bandwidth", "{ pace = \"1GiB/s\", key = [\"identity\", \"ip\"] }", |_| true),
    proof("basic_auth", "{ users = USERS }", |request| request.password == Shown::Good),
    proof("api_key", "{ keys = \"settings/recipes/shop.keys\" }", |request| request.key == Shown::Good),
    proof("jwt", "{ secret = SECRET, cookie = \"token\" }", |request| request.token == Shown::Good),
    proof("client_cert", "{ subjects = [\"CN=alice\"] }", |request| request.certificate == Shown::Good),
    case("forward_auth", "{ url = SERVICE, send = [\"x-word\"] }", |request| request.word == Shown::Good),
    proof(
        "auth",
        "{ any = [{ api_key = { keys = \"settings/recipes/shop.keys\", header = \"x-other\" } }, { client_cert = { subjects = [\"CN=alice\"] } }] }",
        |request| match request.other {
            Shown::Good => true,
            Shown::Bad => false,
            Shown::Nothing => request.certificate == Shown::Good,
        },
    ),
    case("authorize", "{ allow = [\"has(claim('sub'))\"] }", |_| true),
    case("quota", "{ rate = \"3/1h\", key = \"identity\" }", |_| true),
    case("response_rules", "{ max_body = \"1MiB\", deny = [{ content_types = \"application/x-sql\" }] }", |_| true),
    case("header_rules", "{ request = { remove = [\"x-odd\", \"x-beta\"], set = GOOD } }", |_| true),
    case("security_headers", "true", |_| true),
    case("cors", "{ origins = \"https://a.example\" }", |_| true),
    case("compress", "true", |_| true),
    case("cache", "true", |_| true),
    case("validate", "{ json_schema = \"settings/schemas/order.json\" }", |request| request.body != Shown::Bad),
    case("rewrite", "{ path = \"/other${path}\" }", |_| true),
    case("substitute", "[{ find = \"a\", with = \"b\" }]", |_| true),
    case("error_pages", "{ 4xx = \"settings/errors/404.html\", intercept = true }", |_| true),
];

/// What a client shows in one place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shown {
    Nothing,
    Bad,
    Good,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    is_from_afar: bool,
    is_odd: bool,
    password: Shown,
    key: Shown,
    other: Shown,
    token: Shown,
    certificate: Shown,
    word: Shown,
    body: Shown,
    /// Filters for some are for it where it shows something: what is bad is a field that is there twice.
    beta: Shown,
}

const STRANGER: Request = Request {
    is_from_afar: false,
    is_odd: false,
    password: Shown::Nothing,
    key: Shown::Nothing,
    other: Shown::Nothing,
    token: Shown::Nothing,
    certificate: Shown::Nothing,
    word: Shown::Nothing,
    body: Shown::Nothing,
    beta: Shown::Nothing,
};

/// Where one filter is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Route,
    Policy(usize),
    Defaults,
}

/// One way to write all of them.
#[derive(Debug, Clone)]
struct Layout {
    places: Vec<Place>,
    order: Vec<usize>,
    uses: Vec<&'static str>,
    uses_by_default: bool,
    routes_first: bool,
}

/// What filters ask: a file of users, and a service.
struct House {
    folder: TempDir,
    service: Origin,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("users"), ALICE).expect("a file");
        let service = Origin::serving(|head, _| {
            let status = if head.to_lowercase().contains("x-word: good") { "204 No Content" } else { "403 Forbidden" };
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
        });
        Self { folder, service: service.start().await }
    }

    fn filter(&self, index: usize) -> String {
        let good = json!({ "authorization": basic("hunter2"), "x-api-key": KEY, "x-other": KEY, "x-word": "good", "cookie": cookie(SECRET) });
        let good: Vec<_> =
            good.as_object().into_iter().flatten().map(|(name, value)| format!("{name} = {value}")).collect();
        let Case { name, settings, .. } = &CASES[index];
        let settings = settings
            .replace("USERS", &format!("{:?}", self.folder.path().join("users")))
            .replace("SERVICE", &format!("\"{}/\"", self.service.url()))
            .replace("SECRET", &format!("\"{SECRET}\""))
            .replace("GOOD", &format!("{{ {} }}", good.join(", ")));
        format!("{name} = {settings}\n")
    }

    fn settings(&self, selection: &[usize], layout: &Layout) -> String {
        let at = |place: Place| -> String {
            let here = layout.order.iter().filter(|index| selection.contains(index) && layout.places[**index] == place);
            here.map(|index| self.filter(*index)).collect()
        };
        let uses = format!("use = {:?}\n", layout.uses);
        let (by_default, by_route) = if layout.uses_by_default { (uses.as_str(), "") } else { ("", uses.as_str()) };
        let policies = POLICIES.iter().enumerate().map(|(number, name)| {
            let when = match *name {
                "for_all" => "when = \"method == 'GET'\"\n",
                "for_some" => "when = \"header('x-beta') == '1'\"\n",
                _ => "",
            };
            format!("[policies.{name}]\n{when}{}", at(Place::Policy(number)))
        });
        let route = format!("[routes.\"/\"]\nto = \"http://127.0.0.1:1\"\n{by_route}{}", at(Place::Route));
        let mut parts = [format!("[defaults]\n{by_default}{}", at(Place::Defaults)), policies.collect(), route];
        if layout.routes_first {
            parts.reverse();
        }
        parts.concat()
    }

    /// What becomes of each of these requests in turn.
    async fn outcomes(&self, selection: &[usize], layout: &Layout, requests: &[Request]) -> Vec<Outcome> {
        let plan = plan(&self.settings(selection, layout));
        let mut outcomes = Vec::new();
        for request in requests {
            let mut exchange = request.exchange();
            let matched = decision::route(&plan, &exchange).expect("there is a route for all");
            outcomes.push(outcome(&matched.entry.value.filters, &mut exchange).await);
        }
        outcomes
    }
}

fn plan(text: &str) -> Plan {
    let loaded = Layers::new().text("test.toml", text).load();
    let settings = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings;
    Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// Where a request ends that nobody has turned back. What it says is for everybody, and may be kept.
#[derive(Default)]
struct Endpoint {
    was_reached: Cell<bool>,
}

impl End for Endpoint {
    async fn send(&self, _: &mut Exchange) -> Response {
        self.was_reached.set(true);
        let mut response = Response::new(StatusCode::OK);
        response.headers.append(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
        response
    }

    fn show(&self, _: &mut Exchange, refused: Response) -> Response {
        Response::new(refused.cause.as_ref().map_or(refused.status, |cause| cause.status()))
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outcome {
    status: u16,
    was_reached: bool,
}

impl Outcome {
    /// It got what only those get who are let in, wherever that came from.
    fn got_in(self) -> bool {
        self.was_reached || self.status == 200
    }
}

async fn outcome(steps: &[Step], exchange: &mut Exchange) -> Outcome {
    let endpoint = Endpoint::default();
    let response = pass(steps, exchange, &endpoint).await;
    Outcome { status: response.status.as_u16(), was_reached: endpoint.was_reached.get() }
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("alice:{password}")))
}

fn cookie(secret: &str) -> String {
    let claims = json!({ "sub": "alice", "exp": 4_102_444_800_u64 });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()));
    format!("token={}", token.expect("a token"))
}

impl Request {
    fn exchange(&self) -> Exchange {
        let odd = if self.is_odd { Shown::Good } else { Shown::Nothing };
        let mut headers = HeaderMap::new();
        for (name, shown, good, bad) in [
            ("x-odd", odd, "1".to_owned(), String::new()),
            ("authorization", self.password, basic("hunter2"), basic("hunter3")),
            ("x-api-key", self.key, KEY.to_owned(), "guessed".to_owned()),
            ("x-other", self.other, KEY.to_owned(), "guessed".to_owned()),
            ("cookie", self.token, cookie(SECRET), cookie("a secret of somebody else, and as long as it")),
            ("x-word", self.word, "good".to_owned(), "bad".to_owned()),
        ] {
            let value = match shown {
                Shown::Nothing => continue,
                Shown::Bad => bad,
                Shown::Good => good,
            };
            headers.append(HeaderName::from_static(name), HeaderValue::try_from(value).expect("a value"));
        }
        let address = if self.is_from_afar { [198, 51, 100, 1] } else { [192, 0, 2, 1] };
        let client = Client::at(Peer::Tcp(SocketAddr::from((address, 1000))), true);
        let target = "/".parse().expect("a target");
        let (kind, body) = match self.body {
            Shown::Nothing => ("text/plain", RequestBody::empty()),
            Shown::Bad => ("application/json", RequestBody::buffered(Bytes::from_static(b"{\"sku\":"))),
            Shown::Good => ("application/json", RequestBody::buffered(Bytes::from_static(ORDER))),
        };
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        for value in match self.beta {
            Shown::Nothing => &[][..],
            Shown::Bad => &["0", "1"],
            Shown::Good => &["1"],
        } {
            headers.append(HeaderName::from_static("x-beta"), HeaderValue::from_static(value));
        }
        let mut exchange = Exchange::new(Method::GET, target, Version::HTTP_11, headers, body, client);
        exchange.path = "/".into();
        exchange.downstream = match self.certificate {
            Shown::Nothing => None,
            Shown::Bad => Some(Connection::of("CN=bob")),
            Shown::Good => Some(Connection::of("CN=alice")),
        };
        exchange
    }

    /// Each of these filters that is for it lets it pass by itself. What was proved by none of them is no claim.
    fn may_pass(&self, selection: &[usize], for_some: &[usize]) -> bool {
        let is_for_it = |index: &&usize| self.beta != Shown::Nothing || !for_some.contains(index);
        let chosen = || selection.iter().filter(is_for_it).map(|index| &CASES[*index]);
        let is_known = !chosen().any(|case| case.name == "authorize") || chosen().any(|case| case.proves);
        is_known && chosen().all(|case| (case.lets_pass)(self))
    }
}

/// A connection whose client has shown a certificate.
struct Connection(Arc<ClientCertificate>);

impl Connection {
    fn of(subject: &str) -> Rc<dyn Downstream> {
        Rc::new(Self(Arc::new(ClientCertificate {
            subject: subject.into(),
            issuer: "CN=ca".into(),
            serial: "0a".into(),
            names: Vec::new(),
            fingerprint: "ab".repeat(32),
        })))
    }
}

impl Downstream for Connection {
    fn peer(&self) -> Peer {
        Peer::Unix
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

/// Good more often than not: of those that need several proofs some are to get in.
fn shown() -> impl Strategy<Value = Shown> {
    prop_oneof![1 => Just(Shown::Nothing), 1 => Just(Shown::Bad), 4 => Just(Shown::Good)]
}

fn request() -> impl Strategy<Value = Request> {
    let rarely = || prop::bool::weighted(0.1);
    let proofs = (shown(), shown(), shown(), shown(), shown(), shown());
    (rarely(), rarely(), proofs, shown(), shown()).prop_map(
        |(is_from_afar, is_odd, (password, key, other, token, certificate, word), body, beta)| Request {
            is_from_afar,
            is_odd,
            password,
            key,
            other,
            token,
            certificate,
            word,
            body,
            beta,
        },
    )
}

/// Filters, and those of them that are for some requests only. Who counts by who asks is there where somebody finds it out.
fn selection() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let all = subsequence((0..CASES.len()).collect::<Vec<_>>(), 1..=8);
    all.prop_flat_map(|mut all| {
        if !all.iter().any(|index| CASES[*index].finds_out_who()) {
            all.retain(|index| !CASES[*index].asks_who());
        }
        let most = all.len().min(3);
        (Just(all.clone()), subsequence(all, 0..=most))
    })
}

fn layout() -> impl Strategy<Value = Layout> {
    let place = prop_oneof![Just(Place::Route), (0..POLICIES.len() - 1).prop_map(Place::Policy), Just(Place::Defaults)];
    let places = prop::collection::vec(place, CASES.len());
    let order = Just((0..CASES.len()).collect::<Vec<_>>()).prop_shuffle();
    let uses = Just(POLICIES.to_vec()).prop_shuffle();
    (places, order, uses, any::<bool>(), any::<bool>()).prop_map(
        |(places, order, uses, uses_by_default, routes_first)| Layout {
            places,
            order,
            uses,
            uses_by_default,
            routes_first,
        },
    )
}

#[test]
fn in_whichever_order_and_place_filters_are_written_the_same_requests_get_in_and_none_that_one_of_them_refuses() {
    let system = System::new();
    let house = system.block_on(House::new());
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let cases = (selection(), prop::collection::vec(request(), 1..4), prop::collection::vec(layout(), 3));
    let (got_in, kept_out) = (Cell::new(0), Cell::new(0));

    let ran = runner.run(&cases, |((selection, for_some), requests, mut layouts)| {
        for layout in &mut layouts {
            for_some.iter().for_each(|index| layout.places[*index] = FOR_SOME);
        }
        let has = |name: &str| selection.iter().any(|index| CASES[*index].name == name);
        let may_be_too_many = has("rate_limit") || has("quota");
        let first = system.block_on(house.outcomes(&selection, &layouts[0], &requests));
        for (request, outcome) in requests.iter().zip(&first) {
            if outcome.got_in() || !may_be_too_many {
                prop_assert_eq!(
                    outcome.got_in(),
                    request.may_pass(&selection, &for_some),
                    "{:?}: {:?}",
                    request,
                    outcome
                );
            }
            let count = if outcome.got_in() { &got_in } else { &kept_out };
            count.set(count.get() + 1);
        }
        for layout in &layouts[1..] {
            let outcomes = system.block_on(house.outcomes(&selection, layout, &requests));
            prop_assert_eq!(&outcomes, &first, "{}", house.settings(&selection, layout));
        }
        Ok(())
    });

    ran.unwrap_or_else(|failed| panic!("{failed}"));
    assert!(got_in.get() > 20 && kept_out.get() > 20, "{} got in, {} did not", got_in.get(), kept_out.get());
}

fn index(name: &str) -> usize {
    CASES.iter().position(|case| case.name == name).expect("a case")
}

/// All at the route, the last of the table first.
fn backwards() -> Layout {
    Layout {
        places: vec![Place::Route; CASES.len()],
        order: (0..CASES.len()).rev().collect(),
        uses: Vec::new(),
        uses_by_default: false,
        routes_first: false,
    }
}

#[test]
fn what_is_kept_is_for_nobody_who_would_have_been_refused() {
    let system = System::new();
    let house = system.block_on(House::new());
    let alice = Request { password: Shown::Good, ..STRANGER };
    let mallory = Request { password: Shown::Bad, ..STRANGER };
    let selection = [index("basic_auth"), index("cache")];

    let outcomes = system.block_on(house.outcomes(&selection, &backwards(), &[alice, alice, STRANGER, mallory]));

    let seen: Vec<_> = outcomes.iter().map(|outcome| (outcome.status, outcome.was_reached)).collect();
    assert_eq!(seen, [(200, true), (200, false), (401, false), (401, false)]);
}

#[test]
fn in_another_order_than_that_of_the_table_a_stranger_would_get_in() {
    let system = System::new();
    let house = system.block_on(House::new());
    for name in ["basic_auth", "api_key", "jwt", "forward_auth", "auth"] {
        let plan = plan(&house.settings(&[index("header_rules"), index(name)], &backwards()));
        let mut exchange = STRANGER.exchange();
        let route = decision::route(&plan, &exchange).expect("there is a route for all");
        let mut steps = route.entry.value.filters.clone();

        let ordered = system.block_on(outcome(&steps, &mut exchange));
        steps.reverse();
        let reversed = system.block_on(outcome(&steps, &mut STRANGER.exchange()));

        assert!(!ordered.got_in(), "{name}");
        assert!(reversed.was_reached, "{name}: the other tests can fail");
    }
}
