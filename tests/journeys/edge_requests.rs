//! What a client may ask of an `App` behind the edge, and how it is refused.

use aqueduct::settings::{Size, Time};

use super::support::{
    client::Client,
    edge::{MOMENT, TestEdge},
};

/// The status of a refusal: it says that the connection ends, and it does.
async fn refused(edge: &TestEdge, request: &str) -> u16 {
    let mut client = edge.connect().await;
    client.try_send(request).await;
    let response = client.read_response().await;
    assert_eq!(response.header("connection"), Some("close"), "{request:?}");
    client.half_close().await;
    assert_eq!(client.read_to_end().await, b"", "{request:?}");
    response.status
}

#[actix_rt::test]
async fn what_could_be_read_two_ways_is_refused() {
    let edge = TestEdge::start().await;

    for (request, expected) in [
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\n\r\n", 417),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        assert_eq!(refused(&edge, request).await, expected, "{request:?}");
    }
}

#[actix_rt::test]
async fn only_one_empty_line_before_a_request_is_forgiven_also_if_they_come_one_by_one() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.dribble("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2).await;
    assert_eq!(client.read_response().await.text(), "hello");
    client.send("\r\n").await;
    tokio::time::sleep(MOMENT).await;
    client.send("\r\n").await;

    assert_eq!(client.read_response().await.status, 400);
}

#[actix_rt::test]
async fn targets_of_every_form_reach_the_app_as_they_came() {
    let edge = TestEdge::start().await;

    for (request, expected) in [
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS *"),
        ("GET http://b.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://b.example/x?y"),
        ("BREW /%7e/../pot HTTP/1.1\r\nHost: a\r\n\r\n", "BREW /%7e/../pot"),
    ] {
        assert_eq!(edge.send(request).await.text(), expected);
    }
}

#[actix_rt::test]
async fn each_limit_has_its_status() {
    let edge = TestEdge::with(|settings| {
        settings.http.max_head = Size::kib(1);
        settings.http.max_uri = Size(100);
        settings.http.max_headers = 3;
        settings.http.max_body = Size(10);
    })
    .await;
    let long = "x".repeat(2000);

    for (request, expected) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..100]), 414),
        (format!("GET /{long}"), 414),
        (format!("GET / HTTP/1.1\r\nX: {long}"), 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n".to_owned(), 431),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n".to_owned(), 413),
    ] {
        assert_eq!(refused(&edge, &request).await, expected, "{:?}", &request[..20]);
    }
    let fits = format!("POST /echo{} HTTP/1.1\r\nA: 1\r\nB: 2\r\nContent-Length: 10\r\n\r\n0123456789", "?".repeat(90));
    assert_eq!(edge.send(fits).await.text(), "0123456789");
}

#[actix_rt::test]
async fn a_chunked_body_over_the_limit_fails_its_reader_and_ends_the_connection() {
    let edge = TestEdge::with(|settings| settings.http.max_body = Size(10)).await;
    let mut client = edge.connect().await;

    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let response = client.read_response().await;

    assert_eq!((response.text().as_str(), response.header("connection")), ("Overflow", Some("close")));
    assert_eq!(client.read_to_end().await, b"");
}

#[actix_rt::test]
async fn an_early_refusal_can_be_read_while_the_client_still_sends() {
    let edge = TestEdge::with(|settings| settings.http.max_body = Size(10)).await;
    let mut client = edge.connect().await;

    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").await;
    client.try_send(vec![b'x'; 1_000_000]).await;

    assert_eq!(client.read_response().await.status, 413);
}

#[actix_rt::test]
async fn a_malformed_body_that_nobody_reads_hurts_nobody() {
    let edge = TestEdge::start().await;

    for body in ["0\r\na b: c\r\n\r\n", "0\r\nbad\0: x\r\n\r\n", "5\r\nhello!!", "x\r\n"] {
        let mut client = edge.connect().await;
        client.send(format!("POST /unread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).await;
        let response = client.read_response().await;
        assert_eq!((response.text().as_str(), response.header("connection")), ("unread", Some("close")), "{body:?}");
        client.half_close().await;
        client.wait_closed().await;
    }
}

#[actix_rt::test]
async fn a_malformed_body_fails_its_reader() {
    let edge = TestEdge::start().await;

    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!";

    assert_eq!(edge.send(request).await.text(), "EncodingCorrupted");
}

#[actix_rt::test]
async fn a_small_body_that_nobody_reads_does_not_cost_the_connection() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let request = format!("POST /unread HTTP/1.1\r\nHost: a\r\n{body}");
        let (head, late) = request.split_at(request.len() - 3);
        client.send(head).await;
        let response = client.read_response().await;
        assert_eq!((response.text().as_str(), response.header("connection")), ("unread", None), "{body:?}");
        client.send(late).await;
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn a_large_body_that_nobody_reads_ends_the_connection() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n").await;
    let response = client.read_response().await;

    assert_eq!((response.text().as_str(), response.header("connection")), ("unread", Some("close")));
    assert_eq!(client.read_to_end().await, b"");
}

#[actix_rt::test]
async fn leave_to_send_a_body_is_given_when_the_handler_reads_and_not_before() {
    let edge = TestEdge::start().await;
    let asking =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let mut client = edge.connect().await;

    client.send(asking("/late")).await;
    edge.wait_for("asked").await;
    tokio::time::sleep(MOMENT).await;
    assert!(!client.is_closed());
    edge.tell("go on");
    let leave = client.read_head().await;
    client.send("hello").await;
    let answer = client.read_response().await;
    let unread = edge.send(asking("/unread")).await;

    assert_eq!(leave, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!((answer.text().as_str(), answer.interim.len()), ("hello", 0));
    assert_eq!((unread.text().as_str(), unread.interim.len()), ("unread", 0));
    assert_eq!(unread.header("connection"), Some("close"));
}

#[actix_rt::test]
async fn a_body_that_stalls_fails_its_reader() {
    let edge = TestEdge::with(|settings| settings.timeouts.request_body = Time::millis(100)).await;

    let response = edge.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;

    assert_eq!(response.text(), "Io(Kind(TimedOut))");
    assert_eq!(response.header("connection"), Some("close"));
}

#[actix_rt::test]
async fn a_body_does_not_stall_while_nobody_wants_it() {
    let edge = TestEdge::with(|settings| settings.timeouts.request_body = Time::millis(40)).await;
    let mut client = edge.connect().await;

    client.send("POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").await;
    edge.wait_for("asked").await;
    tokio::time::sleep(MOMENT * 2).await;
    client.send("hello").await;
    edge.tell("go on");

    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn a_body_that_breaks_off_cancels_its_reader() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    client.half_close().await;

    edge.wait_for("dropped").await;
    // A client that closes its half in the middle is taken for one that has left: it may be told why, or nothing.
    client.wait_closed().await;
}

#[actix_rt::test]
async fn requests_sent_ahead_are_served_one_by_one_in_their_order() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client
        .send(
            "GET /held HTTP/1.1\r\nHost: a\r\n\r\n\
             POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
             POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n\
             GET /three HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    edge.wait_for("asked").await;
    edge.tell("go on");

    for expected in ["done", "abc", "de", "GET /three"] {
        assert_eq!(client.read_response().await.text(), expected);
    }
}

#[actix_rt::test]
async fn a_request_may_come_byte_by_byte() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client
        .dribble("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n", 1)
        .await;

    assert_eq!(client.read_response().await.text(), "hi");
}

#[actix_rt::test]
async fn nothing_behind_a_refused_request_is_served() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send("GET / HTTP/1.1\r\nHost : a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.half_close().await;
    let all = String::from_utf8(client.read_to_end().await).expect("text");

    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
}

#[actix_rt::test]
async fn a_refused_head_is_answered_without_content() {
    let edge = TestEdge::with(|settings| settings.http.max_body = Size(10)).await;
    let mut client = edge.connect().await;

    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n").await;
    client.half_close().await;
    let all = String::from_utf8(client.read_to_end().await).expect("text");

    assert!(all.starts_with("HTTP/1.1 413 ") && all.ends_with("\r\n\r\n"), "{all}");
}

#[actix_rt::test]
async fn a_unix_socket_takes_requests_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("edge.sock");
    let _edge = TestEdge::also_on(path.clone()).await;
    let mut client = Client::connect_unix(&path).await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    assert_eq!(client.read_response().await.text(), "hello");
}
