//! Copies of requests for another upstream, of which clients notice nothing.

use super::support::{
    origin::{Origin, Script},
    proxy::TestProxy,
    wire::patiently,
};

const REFUSING: &str = "http://127.0.0.1:1";

/// A route to the one, and copies for the other.
fn mirrored(main: &Origin, to: &str, more: &str) -> String {
    format!("routes.\"/\" = {{ to = {:?}, mirror = {{ to = {to:?}{more} }} }}\n", main.url())
}

/// Reads a request and never answers it.
fn silent() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_request().await;
        conn.wait_closed().await;
    })
}

const POST: &str = "POST /orders?x=1 HTTP/1.1\r\nHost: shop.example\r\nX-Aqueduct-Mirror: no\r\nConnection: close\r\n";

#[actix_rt::test]
async fn another_upstream_gets_a_copy_with_the_body_and_the_client_the_answer_of_the_first() {
    for body in ["Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"] {
        let (main, other) = (Origin::answering("main").start().await, Origin::answering("other").start().await);
        let proxy = TestProxy::with(&mirrored(&main, &format!("{}/v2", other.url()), "")).start().await;

        let response = proxy.send(format!("{POST}{body}")).await;

        assert_eq!(response.text(), "main");
        other.wait_for_requests(1).await;
        let (sent, copy) = (main.request(0), other.request(0));
        assert!(sent.starts_with("POST /orders?x=1 HTTP/1.1\r\n"), "{sent}");
        assert!(copy.starts_with("POST /v2/orders?x=1 HTTP/1.1\r\n") && copy.ends_with("body"), "{copy}");
        let marks = |request: &str| request.to_ascii_lowercase().matches("x-aqueduct-mirror: 1\r\n").count();
        assert_eq!((marks(&sent), marks(&copy)), (0, 1));
        assert!(copy.to_ascii_lowercase().contains("host: shop.example\r\n"), "{copy}");
    }
}

#[actix_rt::test]
async fn a_mirror_that_is_down_or_hangs_or_breaks_off_changes_nothing_for_the_client() {
    let hanging = silent().start().await;
    let breaking = Origin::script(|mut conn, _| async move {
        conn.read_request().await;
    });
    let breaking = breaking.start().await;
    for to in [REFUSING.to_owned(), hanging.url(), breaking.url()] {
        let main = Origin::answering("main").start().await;
        let proxy = TestProxy::with(&mirrored(&main, &to, "")).start().await;
        let mut client = proxy.connect().await;

        for _ in 0..5 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.read_response().await.text(), "main", "with a mirror at {to}");
        }

        assert_eq!((main.requests_seen(), main.connections_seen()), (5, 1));
    }
}

#[actix_rt::test]
async fn a_body_that_is_too_long_has_no_copy() {
    let (main, other) = (Origin::answering("main").start().await, Origin::answering("other").start().await);
    let text = mirrored(&main, &other.url(), ", max_body = \"4B\"");
    let proxy = TestProxy::with(&format!("{text}[upstreams.x]\nservers = [\"http://x\"]\n")).start().await;
    let long = "5".repeat(20_000);

    for (length, body) in [(20_000, long.as_str()), (4, "four")] {
        assert_eq!(proxy.send(format!("{POST}Content-Length: {length}\r\n\r\n{body}")).await.text(), "main");
    }

    other.wait_for_requests(1).await;
    assert_eq!(other.requests_seen(), 1);
    assert!(other.request(0).ends_with("\r\n\r\nfour"));
}

#[actix_rt::test]
async fn of_a_sample_about_so_many_are_mirrored() {
    const REQUESTS: usize = 1000;
    let (main, other) = (Origin::answering("main").start().await, Origin::answering("other").start().await);
    let proxy = TestProxy::with(&mirrored(&main, &other.url(), ", sample = \"20%\", requests = 1000")).start().await;

    let mut client = proxy.connect().await;
    for _ in 0..REQUESTS {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 200);
    }

    // 200 of 1,000 within five standard deviations of 12.6.
    other.wait_for_requests(137).await;
    let copies = other.requests_seen();
    assert!((137..=263).contains(&copies), "{copies}");
}

#[actix_rt::test]
async fn no_more_copies_are_on_their_way_than_may_be() {
    let (main, other) = (Origin::answering("main").start().await, silent().start().await);
    let proxy = TestProxy::with(&mirrored(&main, &other.url(), ", requests = 3")).start().await;

    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.text(), "main");
    }

    other.wait_for_requests(3).await;
    assert_eq!(other.requests_seen(), 3);
}

#[actix_rt::test]
async fn a_copy_that_was_answered_makes_room_for_the_next_and_its_connection_is_used_again() {
    let (main, other) = (Origin::answering("main").start().await, Origin::answering("other").start().await);
    let proxy = TestProxy::with(&mirrored(&main, &other.url(), ", requests = 1")).start().await;

    let all = async {
        while other.requests_seen() < 10 {
            assert_eq!(proxy.get("/").await.text(), "main");
        }
    };
    patiently("copies go on", all).await;

    assert_eq!(other.connections_seen(), 1);
}

#[actix_rt::test]
async fn a_request_that_nobody_answers_is_mirrored_if_it_has_no_body() {
    let other = Origin::answering("other").start().await;
    let text = format!("routes.\"/\" = {{ to = {REFUSING:?}, mirror = {:?} }}\n", other.url());
    let proxy = TestProxy::with(&text).start().await;

    assert_eq!(proxy.send(format!("{POST}Content-Length: 4\r\n\r\nbody")).await.status, 502);
    assert_eq!(proxy.get("/").await.status, 502);

    other.wait_for_requests(1).await;
    assert!(other.request(0).starts_with("GET / "));
}

#[actix_rt::test]
async fn a_copy_that_hangs_does_not_keep_the_server_from_ending() {
    let (main, other) = (Origin::answering("main").start().await, silent().start().await);
    let proxy = TestProxy::with(&mirrored(&main, &other.url(), "")).start().await;
    assert_eq!(proxy.get("/").await.text(), "main");
    other.wait_for_requests(1).await;

    proxy.drain();

    proxy.outcome();
    other.wait_for_closed(1).await;
}
