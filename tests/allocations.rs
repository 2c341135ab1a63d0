//! What the hot path may allocate, counted.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use actix_web::{App, HttpResponse, web};
use aqueduct::{
    EdgeServer, Exchange, Proxy, Response,
    cache::{
        key::{Key, KeyRules, Target},
        policy::{Answer, Ask, Rules, Times, Use, answer, lookup, store},
    },
    exchange::Client,
    filters::{Filter, Kind, Site, Step},
    http::{HeaderMap, HeaderValue, Method, RequestBody, ResponseBody, StatusCode, Version, downstream::Peer, header},
    language::Condition,
    plan::ListenAddress,
    routing::{Entry, Lookup, Table},
    settings::{Layers, Problems, RouteSettings, ServerSettings, server::Workers, upstream::PoolSettings},
    transport::{Address, Incoming, Outgoing, Timeouts, h1::H1},
    upstream::Endpoint,
};

use self::plain::body;

mod plain;

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more, and nobody asks for it.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often this thread allocates meanwhile.
fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn looking_at_a_stored_answer_allocates_nothing() {
    let mut request = HeaderMap::new();
    request.append(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
    request.append(header::IF_NONE_MATCH, HeaderValue::from_static("\"x\", \"a\""));
    let mut fields = HeaderMap::new();
    fields.append(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    fields.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    fields.append(header::ETAG, HeaderValue::from_static("\"a\""));
    let (rules, keys, now) = (Rules::default(), KeyRules::default(), SystemTime::now());
    let target = Target { secure: true, authority: "shop.example", path: "/items", query: Some("page=2&sort=price") };
    let asked = || Ask::of(&Method::GET, target, &request, false, &rules);
    let head = store(&asked(), StatusCode::OK, &fields, Times { asked: now, answered: now }, &rules).expect("stored");

    let mut decision = None;
    let count = allocations_of(|| {
        let (key, ask) = (Key::of(&keys, target, &request), asked());
        decision = Some((key.as_bytes().len(), lookup(&ask, &head, now), answer(&ask, &head, Some(10))));
    });

    assert_eq!((decision, count), (Some((44, Use::Fresh, Answer::NotModified)), 0));
}

#[test]
fn asking_a_condition_allocates_nothing() {
    let mut headers = HeaderMap::new();
    headers.append(header::COOKIE, HeaderValue::from_static("a=1; beta=on"));
    headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let (uri, client) =
        ("/a/b?x=1&y=2".parse().expect("a target"), Client::at(Peer::Tcp(([10, 0, 0, 1], 1).into()), true));
    let mut exchange = Exchange::new(Method::GET, uri, Version::HTTP_11, headers, RequestBody::empty(), client);
    exchange.path = "/a/b".into();
    let text = "method in ['GET', 'HEAD'] and path starts_with '/a/' and query('y') == '2' and cookie('beta') == 'on' \
                and content_type == 'application/json' and client.ip in cidr('10.0.0.0/8', 'fd00::/8') and has(header('cookie')) \
                and not (host == 'a.example' or header('x') contains 'y' or claim('sub') == 'alice') and scheme == 'https'";
    let condition = Condition::parse(text).expect("a condition");

    let mut verdicts = [false; 2];
    let count = allocations_of(|| verdicts = [condition.holds(&exchange), condition.may_hold(&exchange)]);

    assert_eq!((verdicts, count), ([true, true], 0));
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(7)))), 1);
}

#[test]
fn finding_a_route_allocates_nothing() {
    let patterns = ["/", "/api", "GET /api/", "=/health", "a.example/", "*.example/x/y", "~^/v(?<major>[0-9]+)/"];
    let entry = |text: &str| Entry { pattern: text.parse().expect("a pattern"), priority: 0, value: () };
    let table = Table::build(patterns.map(entry).into()).expect("no ties");
    let find_all = || {
        for host in ["", "a.example", "b.a.example", "elsewhere.test"] {
            for path in ["/", "/api/orders/7", "/health", "/x/y/z", "/v12/users", "/v/users"] {
                std::hint::black_box(table.find(&Lookup { method: &Method::GET, host, path }));
            }
        }
    };
    // A regular expression makes its working memory when a thread uses it first.
    find_all();

    assert_eq!(allocations_of(find_all), 0);
}

/// What one request through the whole house may take: edge, intake, routing, dispatch, transport and back.
const PER_EXCHANGE: usize = 4;

#[test]
fn an_exchange_allocates_little() {
    let each = per_exchange(GET, "/proxied?x=1", "");

    println!("{each:.2} heap allocations an exchange");
    assert!(each <= PER_EXCHANGE as f64, "{each:.2} heap allocations an exchange");
}

/// The same inside an `App`, with its routing and its map of fields.
const PER_EXCHANGE_IN_AN_APP: usize = 10;

#[test]
fn an_exchange_in_an_app_allocates_little_more() {
    let each = per_exchange_at(edge_in(origin(), "", true), GET, "/proxied?x=1");

    println!("{each:.2} heap allocations an exchange in an App");
    assert!(each <= PER_EXCHANGE_IN_AN_APP as f64, "{each:.2} heap allocations an exchange in an App");
}

/// The same where the client speaks HTTP/2: what answers on a stream and what the stream is, beside that.
const PER_STREAM: usize = 7;

#[test]
fn a_stream_of_http_2_allocates_little_more_than_an_exchange_of_http_1_1() {
    let edge = edge(origin(), "");
    let (mut client, mut counter) = (streams(edge), TcpStream::connect(edge).expect("it listens"));
    let mut count = || {
        counter.write_all(b"GET /count HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
        body(&mut counter).parse::<usize>().expect("a number")
    };
    // Connections, buffers, pools and tables are made once.
    (0..20).for_each(|number| ask_on(&mut client, 2 * number + 1));

    const ROUNDS: u32 = 1000;
    let (first, second) = (count(), count());
    (20..20 + ROUNDS).for_each(|number| ask_on(&mut client, 2 * number + 1));
    let last = count();

    let each = (last - second - (second - first)) as f64 / f64::from(ROUNDS);
    println!("{each:.2} heap allocations a stream");
    assert!(each <= PER_STREAM as f64, "{each:.2} heap allocations a stream");
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A client that has begun to speak it.
fn streams(edge: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(edge).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("it reads");
    client.write_all(&frame(4, 0, 0, &[])).expect("it reads");
    client
}

/// Asks as clients do that send the same fields again and again: from the second time on they are numbers.
fn ask_on(client: &mut TcpStream, stream: u32) {
    // GET, http, `:path` spelled out, `:authority` and two fields.
    let mut block = vec![0x82, 0x86, 0x04, 12];
    block.extend_from_slice(b"/proxied?x=1");
    if stream == 1 {
        for (number, value) in [(1, "shop.example"), (58, "test"), (19, "*/*")] {
            block.extend_from_slice(&[0x40 | number, value.len() as u8]);
            block.extend_from_slice(value.as_bytes());
        }
    } else {
        block.extend_from_slice(&[0xc0, 0xbf, 0xbe]);
    }
    client.write_all(&frame(1, 5, stream, &block)).expect("it reads");
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        client.read_exact(&mut payload).expect("all of it");
        if (head[3], head[4] & 1, &head[5..]) == (0, 1, &stream.to_be_bytes()) {
            return assert_eq!(payload, b"hello");
        }
    }
}

#[test]
fn an_exchange_that_is_counted_allocates_no_more_than_one_that_is_not() {
    for request in [GET, POST] {
        let (counted, uncounted) = (per_exchange(request, "/proxied", COUNTED), per_exchange(request, "/proxied", ""));

        // Now and then something that is kept grows, in either.
        assert!(
            counted < uncounted + 0.1,
            "{request:?}: {counted:.2} heap allocations, and {uncounted:.2} if not counted"
        );
    }
}

#[test]
fn an_exchange_with_a_line_in_the_log_allocates_little_more_than_one_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = format!("log.access.path = {:?}\n", folder.path().join("log"));

    let (logged, bare) = (per_exchange(GET, "/proxied", &log), per_exchange(GET, "/proxied", ""));

    println!("{logged:.2} heap allocations an exchange, {bare:.2} without a log");
    assert!(logged <= bare + PER_LINE, "{logged:.2} heap allocations, {bare:.2} without a log");
}

/// A place for what came that the line will show, and what counts who has it. Now and then something that is kept grows.
const PER_LINE: f64 = 2.1;

#[test]
fn what_is_kept_is_given_out_with_no_more_allocations_than_an_exchange_takes() {
    let each = per_exchange(GET, "/kept?x=1", "");

    println!("{each:.2} heap allocations a hit");
    assert!(each <= PER_HIT as f64, "{each:.2} heap allocations a hit");
}

/// The map of the answer's fields, its age, what the cache says of it, and what the edge and the App take.
const PER_HIT: usize = 5;

/// Beside an exchange its task, and what its loop and its handler share. Buffers are those of the connection before.
const PER_CONNECTION: usize = 6;

#[test]
fn a_connection_for_a_request_allocates_little_more_than_the_exchange() {
    let edge = edge(origin(), "");
    let ask = |path: &str| {
        let mut client = TcpStream::connect(edge).expect("it listens");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).expect("it reads");
        body(&mut client)
    };
    (0..20).for_each(|_| assert_eq!(ask("/proxied?x=1"), "hello"));

    const ROUNDS: usize = 1000;
    let count = || ask("/count").parse::<usize>().expect("a number");
    let (first, second) = (count(), count());
    (0..ROUNDS).for_each(|_| drop(ask("/proxied?x=1")));
    let each = (count() - second - (second - first)) as f64 / ROUNDS as f64;

    println!("{each:.2} heap allocations a connection with its exchange");
    assert!(each <= PER_CONNECTION as f64, "{each:.2} heap allocations a connection with its exchange");
}

/// A method, and content.
type Request = (&'static str, &'static str);

const GET: Request = ("GET", "");
const POST: Request = ("POST", "hello");

/// How often the worker allocates for such a request, on a connection that is kept.
fn per_exchange(request: Request, path: &str, beside: &str) -> f64 {
    per_exchange_at(edge(origin(), beside), request, path)
}

fn per_exchange_at(edge: SocketAddr, (method, content): Request, path: &str) -> f64 {
    let mut client = TcpStream::connect(edge).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut ask = |(method, content): Request, path: &str| {
        let length = if content.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", content.len()) };
        let fields = format!("Host: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\n{length}");
        let request = format!("{method} {path} HTTP/1.1\r\n{fields}\r\n{content}");
        client.write_all(request.as_bytes()).expect("it reads");
        body(&mut client)
    };
    // Connections, buffers and pools are made once.
    for _ in 0..20 {
        assert_eq!(ask((method, content), path), "hello");
    }

    const ROUNDS: usize = 1000;
    let mut count = || ask(GET, "/count").parse::<usize>().expect("a number");
    let (first, second) = (count(), count());
    for _ in 0..ROUNDS {
        ask((method, content), path);
    }
    let last = ask(GET, "/count").parse::<usize>().expect("a number");

    let counting = second - first;
    (last - second - counting) as f64 / ROUNDS as f64
}

/// Answers every request with five bytes.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = socket.read(&mut bytes) {
                    head.extend_from_slice(&bytes[..read]);
                    if head.ends_with(b"\r\n\r\n") || head.ends_with(b"\r\n\r\nhello") {
                        head.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
                        socket.write_all(answer).expect("it reads");
                    }
                }
            });
        }
    });
    address
}

/// Where operators could ask, requests are counted; nobody has to listen there for that.
const COUNTED: &str = "admin.listen = \"127.0.0.1:9901\"\n";

/// The proxy on one worker, and nothing else.
fn edge(origin: SocketAddr, beside: &str) -> SocketAddr {
    edge_in(origin, beside, false)
}

/// Tells what its worker has allocated.
struct Count;

impl Kind for Count {
    const NAME: &'static str = "count";
    const SUMMARY: &'static str = "tells what its worker has allocated";
    type Settings = serde_json::Value;

    fn build(_: Self::Settings, _: &Site<'_>) -> Result<Step, Problems> {
        Ok(Step::Plain(Arc::new(Self)))
    }
}

impl Filter for Count {
    fn on_request(&self, _: &mut Exchange) -> Option<Response> {
        let mut response = Response::new(StatusCode::OK);
        response.body = ResponseBody::Bytes(ALLOCATIONS.get().to_string().into());
        Some(response)
    }
}

/// The proxy on one worker, with these settings besides; what this worker has allocated is told by a filter, or, where there is an `App`
/// around it, by a handler.
fn edge_in(origin: SocketAddr, beside: &str, is_in_an_app: bool) -> SocketAddr {
    let (told, address) = mpsc::channel();
    let beside = beside.to_owned();
    thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let kept =
                format!("routes.\"/kept\" = {{ to = \"http://{origin}\", cache = {{ default_ttl = \"1h\" }} }}\n");
            let text = format!("{beside}{kept}routes.\"/\" = \"http://{origin}\"\n");
            let loaded = Layers::new().text("edge.toml", text).load().expect("it is good");
            let mut counting = RouteSettings::from("http://127.0.0.1:9");
            counting.filters.insert("count".into(), serde_json::Value::Null);
            let proxy = Proxy::builder().filter::<Count>().settings(|settings| *settings = loaded.settings);
            let proxy = proxy.route("=/count", counting).build().expect("it is good");
            let settings = ServerSettings { workers: Workers::Exactly(1), ..ServerSettings::default() };
            let server = EdgeServer::new(())
                .settings(&settings)
                .signals(false)
                .bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into()))
                .expect("a free port");
            let ListenAddress::Tcp(address) = server.addresses()[0].clone() else { unreachable!("it is TCP") };
            told.send(address).expect("the test waits");
            let count = || async { HttpResponse::Ok().body(ALLOCATIONS.get().to_string()) };
            let inside = proxy.clone();
            let app = move || App::new().route("/count", web::get().to(count)).default_service(inside.clone());
            let running = if is_in_an_app { server.hosting(app).run() } else { server.run_proxy(&proxy) };
            running.await.expect("it serves");
        });
    });
    address.recv().expect("it starts")
}

/// The map of the answer's fields.
const PER_ATTEMPT: usize = 1;

#[actix_rt::test]
async fn an_attempt_on_a_kept_connection_allocates_next_to_nothing() {
    let address = Address::Tcp { host: "127.0.0.1".into(), port: origin().port() };
    let endpoint = Endpoint::new(address, "shop.example", 1, &PoolSettings::default());
    let transport = H1::new();
    let attempt = async || {
        let mut request = get();
        let before = ALLOCATIONS.get();
        let answer = transport.exchange(&endpoint.target, &mut request).await.expect("an answer");
        let Incoming::Response { body: ResponseBody::Bytes(body), .. } = answer else { panic!("not a small answer") };
        assert_eq!(body, "hello");
        ALLOCATIONS.get() - before
    };
    // Connections, buffers and tasks are made once.
    for _ in 0..20 {
        attempt().await;
    }

    let mut most = 0;
    for _ in 0..100 {
        most = most.max(attempt().await);
    }

    assert!(most <= PER_ATTEMPT, "{most} heap allocations an attempt");
}

fn get() -> Outgoing {
    let limit = Some(Duration::from_secs(60));
    Outgoing {
        method: Method::GET,
        target: "/".to_owned(),
        headers: HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("shop.example"))]),
        added: Vec::new(),
        body: RequestBody::empty(),
        upgrade: None,
        fresh: false,
        preamble: None,
        timeouts: Timeouts { connect: limit, first_byte: limit, idle: limit, total: limit },
        downstream: None,
        connected: None,
    }
}
