//! Upstreams that carry only so many requests at once: who waits, for how long, and who goes first.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aqueduct::{
    Proxy,
    settings::{Layers, Settings, server::Workers},
};
use tokio::task::JoinHandle;

use super::support::{
    client::{self, Client, Response},
    origin::{Origin, Script},
    proxy::TestProxy,
    wire::patiently,
};

/// Answers each request with its target, once the test says that it may be answered.
fn holding() -> Script {
    Origin::script(|mut conn, _| async move {
        while let Some(head) = conn.next_head().await {
            let target = head.split(' ').nth(1).expect("a request has a target").to_owned();
            conn.tell(&format!("got {target}"));
            conn.wait_for(&target).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
            if conn.try_write(answer).await.is_err() {
                return;
            }
        }
    })
}

fn limited(origins: &[&Origin], limit: &str) -> String {
    let servers: Vec<String> = origins.iter().map(|origin| origin.url()).collect();
    format!(
        "routes.\"/\" = \"few\"\n[upstreams.few]\nservers = {servers:?}\nbalance = \"round_robin\"\nlimit = {{ {limit} }}\n"
    )
}

/// A GET under way.
fn get(proxy: &TestProxy, path: &str) -> JoinHandle<Response> {
    get_with(proxy, path, "")
}

fn get_with(proxy: &TestProxy, path: &str, fields: &str) -> JoinHandle<Response> {
    let address = proxy.address;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");
    actix_rt::spawn(async move { client::request(address, request).await })
}

/// Until so many are carried, and so many wait.
async fn until(proxy: &TestProxy, in_flight: u32, waiting: usize) {
    let counted = || {
        let plan = proxy.proxy.plan();
        let gate = &plan.upstreams["few"].limit.as_ref().expect("it is limited").gate;
        (gate.in_flight(), gate.waiting())
    };
    let reached = async {
        while counted() != (in_flight, waiting) {
            tokio::task::yield_now().await;
        }
    };
    patiently(&format!("{in_flight} carried and {waiting} waiting"), reached).await;
}

async fn text(request: JoinHandle<Response>) -> String {
    let response = request.await.expect("no panic");
    assert_eq!(response.status, 200, "{}", response.head);
    response.text()
}

async fn refused(request: JoinHandle<Response>) -> String {
    let response = request.await.expect("no panic");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{}", response.head);
    response.header("proxy-status").expect("it says why").to_owned()
}

#[actix_rt::test]
async fn what_is_too_much_waits_and_goes_in_the_order_in_which_it_came() {
    let origin = holding().start().await;
    let proxy = TestProxy::with(&limited(&[&origin], "requests = 2")).start().await;
    let mut requests = Vec::new();
    for (number, (in_flight, waiting)) in [(1, 0), (2, 0), (2, 1), (2, 2), (2, 3)].into_iter().enumerate() {
        requests.push(get(&proxy, &format!("/{number}")));
        until(&proxy, in_flight, waiting).await;
    }
    origin.wait_for_requests(2).await;
    assert_eq!(origin.requests_seen(), 2, "who waits is not seen by the endpoint");

    for (number, request) in requests.into_iter().enumerate() {
        origin.wait_for(&format!("got /{number}")).await;
        assert!(origin.requests_seen() <= number + 2, "never more than two at once");
        origin.tell(&format!("/{number}"));
        assert_eq!(text(request).await, format!("/{number}"));
    }

    until(&proxy, 0, 0).await;
}

#[actix_rt::test]
async fn workers_share_one_limit_and_one_wakes_who_waits_on_another() {
    let origin = holding().start().await;
    let text_of = limited(&[&origin], "requests = 3");
    let workers = |settings: &mut Settings| settings.server.workers = Workers::Exactly(4);
    let proxy = TestProxy::with(&text_of).change(workers).start().await;
    let requests: Vec<_> = (0..40).map(|number| get(&proxy, &format!("/{number}"))).collect();
    until(&proxy, 3, 37).await;
    assert!(origin.requests_seen() <= 3);

    for round in 1..=40 {
        origin.wait_for_requests(round).await;
        assert!(origin.requests_seen() <= round + 2, "never more than three at once");
        let request = origin.request(round - 1);
        origin.tell(request.split(' ').nth(1).expect("a target"));
    }

    for (number, request) in requests.into_iter().enumerate() {
        assert_eq!(text(request).await, format!("/{number}"));
    }
}

#[actix_rt::test]
async fn an_endpoint_that_has_enough_is_not_asked_while_others_have_room() {
    let (full, free) = (holding().start().await, Origin::answering("free").start().await);
    let proxy = TestProxy::with(&limited(&[&full, &free], "per_endpoint = 1")).start().await;
    let held = get(&proxy, "/held");
    if free.requests_seen() == 0 {
        full.wait_for("got /held").await;
    }

    for _ in 0..6 {
        assert_eq!(text(get(&proxy, "/")).await, "free");
    }

    full.tell("/held");
    assert_eq!(text(held).await, "/held");
    assert_eq!(full.requests_seen(), 1);
}

#[actix_rt::test]
async fn when_all_endpoints_have_enough_the_first_that_is_free_takes_who_waits() {
    let origins = [holding().start().await, holding().start().await];
    let proxy = TestProxy::with(&limited(&[&origins[0], &origins[1]], "per_endpoint = 1")).start().await;
    let (one, two) = (get(&proxy, "/one"), get(&proxy, "/two"));
    for origin in &origins {
        origin.wait_for_requests(1).await;
    }
    let third = get(&proxy, "/third");
    until(&proxy, 2, 1).await;

    for name in ["/two", "/third"] {
        origins.iter().for_each(|origin| origin.tell(name));
    }

    assert_eq!((text(two).await, text(third).await), ("/two".into(), "/third".into()));
    origins.iter().for_each(|origin| origin.tell("/one"));
    assert_eq!(text(one).await, "/one");
}

#[actix_rt::test]
async fn who_finds_no_place_is_told_why() {
    let origin = holding().start().await;
    let limit = "requests = 1, queue = 1, queue_timeout = \"100ms\"";
    let proxy = TestProxy::with(&limited(&[&origin], limit)).start().await;
    let held = get(&proxy, "/held");
    origin.wait_for("got /held").await;

    let (late, one_too_many) = {
        let late = get(&proxy, "/late");
        until(&proxy, 1, 1).await;
        (late, get(&proxy, "/more"))
    };

    let (full, late) = (refused(one_too_many).await, refused(late).await);
    assert_eq!(full, "aqueduct; error=connection_limit_reached; details=\"queue full\"");
    assert_eq!(late, "aqueduct; error=connection_limit_reached; details=\"queue timeout\"");
    origin.tell("/held");
    assert_eq!(text(held).await, "/held");
    let plan = proxy.proxy.plan();
    assert_eq!(plan.upstreams["few"].limit.as_ref().expect("it is limited").gate.refused.sum(), 2);
}

#[actix_rt::test]
async fn who_leaves_gives_up_its_place() {
    let origin = holding().start().await;
    let proxy = TestProxy::with(&limited(&[&origin], "requests = 1, queue = 1, queue_timeout = \"1h\"")).start().await;
    let held = get(&proxy, "/held");
    origin.wait_for("got /held").await;
    let mut leaving = Client::connect(proxy.address).await;
    leaving.send("GET /leaving HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&proxy, 1, 1).await;

    leaving.reset();

    until(&proxy, 1, 0).await;
    let next = get(&proxy, "/next");
    until(&proxy, 1, 1).await;
    origin.tell("/held");
    origin.tell("/next");
    assert_eq!((text(held).await, text(next).await), ("/held".into(), "/next".into()));
    assert_eq!(origin.requests_seen(), 2);
}

#[actix_rt::test]
async fn a_place_is_free_with_the_last_byte_and_not_with_the_first() {
    let origin = Origin::script(|mut conn, _| async move {
        while let Some(head) = conn.next_head().await {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n.").await;
            if head.starts_with("GET /slow") {
                conn.wait_for("end").await;
            }
            conn.write(".").await;
        }
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&limited(&[&origin], "requests = 1, queue_timeout = \"1h\"")).start().await;
    let mut slow = proxy.connect().await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(slow.read_head().await.contains(" 200 "));
    let next = get(&proxy, "/next");
    until(&proxy, 1, 1).await;
    assert_eq!(origin.requests_seen(), 1);

    origin.tell("end");

    assert_eq!(text(next).await, "..");
}

#[actix_rt::test]
async fn a_tunnel_keeps_its_place_until_it_ends() {
    let origin = Origin::script(|mut conn, _| async move {
        let head = conn.read_head().await;
        if !head.starts_with("GET /tunnel") {
            return conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
        conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n").await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&limited(&[&origin], "requests = 1, queue_timeout = \"1h\"")).start().await;
    let mut tunnel = proxy.connect().await;
    tunnel.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n").await;
    assert!(tunnel.read_head().await.contains(" 101 "));
    let next = get(&proxy, "/next");
    until(&proxy, 1, 1).await;

    drop(tunnel);

    assert_eq!(text(next).await, "ok");
    until(&proxy, 0, 0).await;
}

#[actix_rt::test]
async fn a_request_that_is_tried_elsewhere_takes_its_place_along() {
    let well = Origin::answering("well").start().await;
    let text_of = format!(
        "routes.\"/\" = \"few\"\n[upstreams.few]\nservers = [\"http://{}\", {:?}]\nbalance = \"round_robin\"\n\
         outlier.consecutive = 0\nlimit = {{ requests = 1, per_endpoint = 1, queue = 0 }}\n",
        client::refusing(),
        well.url()
    );
    let proxy = TestProxy::with(&text_of).start().await;

    for _ in 0..6 {
        assert_eq!(text(get(&proxy, "/")).await, "well");
        until(&proxy, 0, 0).await;
    }

    assert_eq!(well.requests_seen(), 6);
}

const CLASSES: &str = "[routes]\n\"/low\" = { to = \"few\", class = \"sheddable\" }\n\
                       \"/high\" = { to = \"few\", class = \"critical\" }\n\"/\" = \"few\"\n";

#[actix_rt::test]
async fn a_higher_class_goes_first_and_a_lower_one_gives_up_its_place() {
    let origin = holding().start().await;
    let upstream = limited(&[&origin], "requests = 1, queue = 2, queue_timeout = \"1h\"");
    let text_of = upstream.replace("routes.\"/\" = \"few\"\n", CLASSES);
    let proxy = TestProxy::with(&text_of).start().await;
    let held = get(&proxy, "/held");
    origin.wait_for("got /held").await;
    let low = get(&proxy, "/low");
    until(&proxy, 1, 1).await;
    let usual = get(&proxy, "/usual");
    until(&proxy, 1, 2).await;

    let high = get(&proxy, "/high");

    assert_eq!(refused(low).await, "aqueduct; error=connection_limit_reached; details=\"shed\"");
    let another = refused(get(&proxy, "/low/2")).await;
    assert_eq!(another, "aqueduct; error=connection_limit_reached; details=\"queue full\"");
    for name in ["/held", "/high", "/usual"] {
        origin.wait_for(&format!("got {name}")).await;
        origin.tell(name);
    }
    assert_eq!(
        (text(held).await, text(high).await, text(usual).await),
        ("/held".into(), "/high".into(), "/usual".into())
    );
    assert_eq!(origin.requests_seen(), 3);
}

#[actix_rt::test]
async fn the_lowest_class_gets_only_a_part_of_the_places() {
    let origin = holding().start().await;
    let upstream = limited(&[&origin], "requests = 4, sheddable = \"50%\", queue = 0");
    let text_of = upstream.replace("routes.\"/\" = \"few\"\n", CLASSES);
    let proxy = TestProxy::with(&text_of).start().await;
    let mut held = vec![get(&proxy, "/low/1")];
    until(&proxy, 1, 0).await;
    held.push(get(&proxy, "/low/2"));
    until(&proxy, 2, 0).await;

    assert!(refused(get(&proxy, "/low/3")).await.contains("queue full"));
    held.push(get(&proxy, "/3"));
    until(&proxy, 3, 0).await;

    for (number, held) in held.into_iter().enumerate() {
        let name = ["/low/1", "/low/2", "/3"][number];
        origin.tell(name);
        assert_eq!(text(held).await, name);
    }
}

#[actix_rt::test]
async fn a_field_names_the_class_if_a_trusted_proxy_sends_it() {
    for (trusted, seen) in [("127.0.0.0/8", "shed"), ("192.0.2.0/24", "queue full")] {
        let origin = holding().start().await;
        let limit = "requests = 1, queue = 1, queue_timeout = \"1h\", class_header = \"x-class\"";
        let text_of = format!("trusted_proxies = [\"{trusted}\"]\n{}", limited(&[&origin], limit));
        let proxy = TestProxy::with(&text_of).start().await;
        let from = |class: &str| format!("X-Forwarded-For: 203.0.113.7\r\nX-Class: {class}\r\n");
        let held = get(&proxy, "/held");
        origin.wait_for("got /held").await;
        let low = get_with(&proxy, "/low", &from("sheddable"));
        until(&proxy, 1, 1).await;

        let high = get_with(&proxy, "/high", &from("critical"));

        let (turned_away, carried, name) = if seen == "shed" { (low, high, "/high") } else { (high, low, "/low") };
        assert!(refused(turned_away).await.contains(seen));
        origin.tell("/held");
        origin.tell(name);
        assert_eq!((text(held).await, text(carried).await), ("/held".into(), name.into()));
    }
}

#[actix_rt::test]
async fn a_reload_keeps_count_and_queue() {
    let origin = holding().start().await;
    let proxy = TestProxy::with(&limited(&[&origin], "requests = 1, queue_timeout = \"1h\"")).start().await;
    let held = get(&proxy, "/held");
    origin.wait_for("got /held").await;
    let waiting = get(&proxy, "/waiting");
    until(&proxy, 1, 1).await;

    reload(&proxy.proxy, &limited(&[&origin], "requests = 2, queue_timeout = \"1h\""));

    until(&proxy, 1, 1).await;
    origin.tell("/held");
    origin.tell("/waiting");
    assert_eq!((text(held).await, text(waiting).await), ("/held".into(), "/waiting".into()));
    let more: Vec<_> = ["/a", "/b", "/c"].into_iter().map(|path| get(&proxy, path)).collect();
    until(&proxy, 2, 1).await;
    ["/a", "/b", "/c"].into_iter().for_each(|name| origin.tell(name));
    for request in more {
        text(request).await;
    }
}

fn reload(proxy: &Proxy, text: &str) {
    let settings = Layers::new().text("test.toml", text).load().expect("they are good").settings;
    proxy.reload(settings).expect("they are good");
}

#[actix_rt::test]
async fn a_time_that_is_up_says_which_one_it_was() {
    let silent = Origin::script(|mut conn, _| async move {
        conn.read_request().await;
        conn.wait_closed().await;
    });
    let silent = silent.start().await;
    for (timeout, details) in [("first_byte", "first byte"), ("total", "total")] {
        let text_of = format!("defaults.timeout.{timeout} = \"50ms\"\nroutes.\"/\" = \"{}\"\n", silent.url());
        let proxy = TestProxy::with(&text_of).start().await;

        let response = proxy.get("/").await;

        let said = format!("aqueduct; error=http_response_timeout; details=\"{details}\"");
        assert_eq!((response.status, response.header("proxy-status")), (504, Some(said.as_str())));
    }
}

#[actix_rt::test]
async fn a_limit_that_is_found_out_falls_while_answers_fail_and_grows_when_they_do_not() {
    let is_well = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_well);
    let origin = Origin::serving(move |_, _| {
        let status = if shared.load(Ordering::SeqCst) { "200 OK" } else { "503 No" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into()
    });
    let origin = origin.start().await;
    let text_of = limited(&[&origin], "adaptive = true, requests = 5, least = 1");
    let proxy = TestProxy::with(&text_of).start().await;
    let allowed = || proxy.proxy.plan().upstreams["few"].limit.as_ref().expect("it is limited").allowed();
    assert_eq!(allowed(), 5);
    let mut client = proxy.connect().await;

    for (well, reached) in [(false, 1..=1), (true, 2..=5)] {
        is_well.store(well, Ordering::SeqCst);
        let found = async {
            while !reached.contains(&allowed()) {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                client.read_response().await;
            }
        };
        patiently(&format!("a limit of {reached:?}"), found).await;
    }
}

#[actix_rt::test]
async fn a_limit_that_is_found_out_falls_while_answers_break_off() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await;
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&limited(&[&origin], "adaptive = true, requests = 5, least = 1")).start().await;
    let allowed = || proxy.proxy.plan().upstreams["few"].limit.as_ref().expect("it is limited").allowed();
    assert_eq!(allowed(), 5);

    let found = async {
        while allowed() > 1 {
            let mut client = proxy.connect().await;
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(!client.read_response().await.complete);
        }
    };
    patiently("a limit of one", found).await;
}
