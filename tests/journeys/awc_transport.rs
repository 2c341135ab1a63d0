//! awc behind the transport's trait. What it cannot do is asserted as it is today, so that a better awc is noticed; see
//! docs/adr/0002-own-http1-transport.md.

use std::{rc::Rc, time::Duration};

use aqueduct::{
    http::{Frame, HeaderValue, Method, RequestBody},
    settings::upstream::PoolSettings,
    transport::{Cause, Outgoing, Phase, Timeouts, awc::AwcTransport},
};
use bytes::Bytes;
use futures_util::future::join;

use crate::support::{
    client::refusing,
    exchange::{
        self, Fed, Pieces, Recorder, SHORT, data, endpoint, endpoint_at, endpoint_with, exchange, get, put, request,
        told,
    },
    origin::Origin,
    scripts,
};

/// What awc makes of an answer that well-behaved and other origins give to a GET.
#[actix_rt::test]
async fn what_awc_makes_of_an_answer() {
    for case in scripts::CASES {
        let origin = (case.script)().start().await;
        let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), get("/")).await;
        assert_eq!(told(&outcome), case.awcs, "{}", case.name);
    }
}

#[actix_rt::test]
async fn heads_that_cannot_be_trusted_are_errors_with_awc_too() {
    for head in scripts::MALFORMED_HEADS {
        let origin = scripts::malformed_head(head).start().await;
        let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), get("/")).await;
        assert!(outcome.is_err(), "{head:?}: {}", told(&outcome));
    }
}

#[actix_rt::test]
async fn which_chunks_awc_takes_that_cannot_be_trusted() {
    let mut taken = Vec::new();
    for chunk in scripts::MALFORMED_CHUNKS {
        let origin = scripts::malformed_chunk(chunk).start().await;
        let mut request = get("/");
        // For some it waits without end; that is ended from outside.
        request.timeouts.idle = Some(SHORT);
        let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), request).await;
        if outcome.as_ref().is_ok_and(|answer| answer.end.is_ok()) {
            taken.push(chunk);
        }
    }

    // What stands in trailers, awc does not look at.
    assert_eq!(taken, ["0\r\nno colon\r\n\r\n"]);
}

#[actix_rt::test]
async fn hints_that_come_apart_are_the_answer_to_awc() {
    let origin = scripts::interim_apart().start().await;

    let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), get("/")).await;

    assert_eq!(told(&outcome), r#"Head: Malformed("awc cannot read past an interim response")"#);
}

#[actix_rt::test]
async fn a_reset_within_a_body_is_an_error_with_awc_too() {
    let origin = scripts::reset_in_body().start().await;
    let mut request = get("/");
    let transport = AwcTransport::new();
    let target = endpoint(&origin);
    let mut open = exchange::send(&transport, &target, &mut request).await.expect("a head");
    let Some(Ok(Frame::Data(_))) = open.frame().await else { panic!("the start is there") };

    origin.tell("the start was read");
    let answer = open.read().await.expect("it has begun");

    assert!(answer.end.is_err(), "{}", answer.told());
}

#[actix_rt::test]
async fn a_request_arrives_with_its_fields_its_body_and_little_else() {
    let origin = Origin::echo().start().await;
    let mut request = put(RequestBody::buffered(Bytes::from_static(b"abc")));
    request.target = "/a?b=%20".to_owned();
    request.headers.append("x-two".parse().expect("a name"), HeaderValue::from_static("1"));
    request.headers.append("x-two".parse().expect("a name"), HeaderValue::from_static("2"));
    request.added = b"Via: 1.1 aqueduct\r\nX-Forwarded-For: 10.0.0.1\r\n".to_vec();

    let answer = exchange(&AwcTransport::new(), &endpoint(&origin), request).await.expect("an answer");

    let told = answer.text();
    let mut lines: Vec<_> = told.lines().filter(|line| !line.starts_with("date: ")).collect();
    lines[1..].sort_unstable();
    // awc adds a date and says that it will close.
    let expected = [
        "PUT /a?b=%20 HTTP/1.1",
        "",
        "abc",
        "connection: close",
        "content-length: 3",
        "host: example.com",
        "via: 1.1 aqueduct",
        "x-forwarded-for: 10.0.0.1",
        "x-two: 1",
        "x-two: 2",
    ];
    assert_eq!(lines, expected);
}

#[actix_rt::test]
async fn what_a_browser_would_act_on_passes_as_it_is() {
    // An empty stream of gzip: ten bytes of header, an empty block, check sum and length.
    let compressed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    for (status, field, value, body) in [
        (302, "location", "/elsewhere", &b"no"[..]),
        (307, "location", "http://elsewhere.example/", b""),
        (200, "content-encoding", "gzip", compressed),
    ] {
        let reply = format!("HTTP/1.1 {status} X\r\n{field}: {value}\r\nContent-Length: {}\r\n\r\n", body.len());
        let origin = Origin::replying([reply.as_bytes(), body].concat()).start().await;

        let answer = exchange(&AwcTransport::new(), &endpoint(&origin), get("/")).await.expect("an answer");

        assert_eq!((answer.status.as_u16(), answer.header(field)), (status, Some(value)));
        assert!(answer.body == body && answer.end.is_ok(), "{}", answer.told());
        assert_eq!(origin.requests_seen(), 1, "{status}");
    }
}

#[actix_rt::test]
async fn an_answer_may_take_longer_than_awc_alone_would_wait() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_for("go on").await;
        conn.write(scripts::HELLO).await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let (transport, endpoint) = (AwcTransport::new(), endpoint(&origin));
    let waiting = async {
        origin.wait_for("asked").await;
        // Its limit is five seconds; nothing else that is waited for here has one so short.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(6)).await;
        tokio::time::resume();
        origin.tell("go on");
    };

    let (outcome, ()) = join(exchange(&transport, &endpoint, get("/")), waiting).await;

    assert_eq!(told(&outcome), r#"200 "hello""#);
}

#[actix_rt::test]
async fn the_answer_to_a_head_has_a_length_and_no_body() {
    let origin = Origin::replying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").start().await;

    let answer = exchange::send(&AwcTransport::new(), &endpoint(&origin), &mut request(Method::HEAD, "/")).await;

    let body = answer.expect("an answer").body;
    assert_eq!(aqueduct::http::Body::size(&body), aqueduct::http::BodySize::Sized(5));
}

#[actix_rt::test]
async fn fields_of_the_connection_end_here_and_others_are_kept() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
                  Content-Length: 0\r\n\r\n";
    let origin = Origin::replying(answer).start().await;

    let answer = exchange(&AwcTransport::new(), &endpoint(&origin), get("/")).await.expect("an answer");

    let mut names: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    names.sort_unstable();
    assert_eq!(names, [("set-cookie", b"a".as_slice()), ("set-cookie", b"b")]);
}

#[actix_rt::test]
async fn a_connection_is_never_used_again() {
    let origin = Origin::answering("hello").start().await;
    let (transport, endpoint) = (AwcTransport::new(), endpoint(&origin));

    for _ in 0..3 {
        let answer = exchange(&transport, &endpoint, get("/")).await.expect("an answer");
        assert!(!answer.reused);
    }

    assert_eq!(origin.connections_seen(), 3);
    origin.wait_for_closed(3).await;
}

#[actix_rt::test]
async fn a_unix_socket_is_as_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let origin = Origin::answering("hello").start_unix(directory.path().join("origin")).await;

    let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), get("/")).await;

    assert_eq!(told(&outcome), r#"200 "hello""#);
}

#[actix_rt::test]
async fn a_refused_connection_has_sent_nothing() {
    let endpoint = endpoint_at(refusing(), &PoolSettings::default());
    let mut request = put(RequestBody::buffered(Bytes::from_static(b"abc")));

    let error = exchange::send(&AwcTransport::new(), &endpoint, &mut request).await.err().expect("nobody is there");

    assert_eq!(error.phase, Phase::Connect);
    assert!(!error.request_started && !error.body_consumed && !error.response_started);
    assert!(request.body.is_replayable() && !request.body.is_empty());
}

#[actix_rt::test]
async fn a_failure_after_the_body_tells_that_it_is_gone() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.next_request().await;
    })
    .start()
    .await;
    let mut request = put(Pieces::new(2, 10).sized());

    let error = exchange::send(&AwcTransport::new(), &endpoint(&origin), &mut request).await.err().expect("it left");

    assert!(matches!((error.phase, &error.cause), (Phase::Head, Cause::Closed)), "{error:?}");
    assert!(error.request_started && error.body_consumed && !error.response_started);
    assert!(!request.body.is_replayable());
}

#[actix_rt::test]
async fn a_client_that_fails_is_not_the_endpoints_fault() {
    let origin = Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await;
    let (feed, body) = Fed::chunked();
    feed.send(data("abc")).expect("somebody takes it");
    feed.send(Err(aqueduct::http::BodyError::Incomplete)).expect("somebody takes it");

    let error = exchange(&AwcTransport::new(), &endpoint(&origin), put(body)).await.expect_err("it has no end");

    assert!(matches!(error.cause, Cause::RequestBody(aqueduct::http::BodyError::Incomplete)), "{error:?}");
}

#[actix_rt::test]
async fn an_upgrade_is_told_to_be_impossible() {
    let origin = Origin::answering("").start().await;
    let request = Outgoing { upgrade: Some(HeaderValue::from_static("websocket")), ..get("/") };

    let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), request).await;

    assert_eq!(told(&outcome), r#"Send: Upgrade("awc switches to no other protocol")"#);
}

#[actix_rt::test]
async fn waits_are_limited() {
    let silent = || Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start();
    let none = Timeouts { connect: None, first_byte: None, idle: None, total: None };
    for (timeouts, expected) in [
        (Timeouts { first_byte: Some(SHORT), ..none }, "Head: Timeout(100ms)"),
        (Timeouts { total: Some(SHORT), ..none }, "Head: Total(100ms)"),
    ] {
        let origin = silent().await;
        let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), Outgoing { timeouts, ..get("/") }).await;
        assert_eq!(told(&outcome), expected);
        origin.wait_for_closed(1).await;
    }
}

#[actix_rt::test]
async fn an_answer_that_stalls_ends_in_an_error() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let mut request = get("/");
    request.timeouts.idle = Some(SHORT);

    let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), request).await;

    assert_eq!(told(&outcome), r#"200 "he", Stalled"#);
}

#[actix_rt::test]
async fn connections_are_limited_and_who_waits_is_in_a_bounded_queue() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let pool = PoolSettings { max_total: 1, max_queue: 1, ..PoolSettings::default() };
    let (transport, endpoint) = (AwcTransport::new(), endpoint_with(&origin, &pool));
    let impatient = || {
        let mut request = get("/");
        request.timeouts.connect = Some(SHORT);
        request
    };

    let open = exchange::send(&transport, &endpoint, &mut get("/")).await.expect("a head");
    let two = join(exchange(&transport, &endpoint, impatient()), exchange(&transport, &endpoint, get("/"))).await;
    assert_eq!((told(&two.0), told(&two.1)), ("Queue: Timeout(100ms)".to_owned(), "Queue: Full".to_owned()));
    drop(open);

    assert!(exchange::send(&transport, &endpoint, &mut get("/")).await.is_ok());
}

// From here on: what awc cannot do, and transport/h1 can.

#[actix_rt::test]
async fn awc_tells_nobody_of_early_hints() {
    let origin = scripts::interim_at_once().start().await;
    let recorder = Rc::new(Recorder::default());
    let request = Outgoing { downstream: Some(recorder.clone()), ..get("/") };

    let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), request).await;

    assert!(outcome.is_err());
    assert!(recorder.interim.borrow().is_empty());
}

#[actix_rt::test]
async fn awc_does_not_read_while_it_sends() {
    let origin = scripts::early_refusal("HTTP/1.1 413 Content Too Large").start().await;
    // Nobody reads it, so it never is sent.
    let mut request = put(Pieces::new(1600, 64 * 1024).sized());
    request.timeouts.idle = Some(Duration::from_millis(300));

    let error = exchange(&AwcTransport::new(), &endpoint(&origin), request).await.expect_err("it waits for ever");

    assert!(matches!((error.phase, &error.cause), (Phase::Send, Cause::Stalled(_))), "{error:?}");
    assert!(!error.response_started);
}

#[actix_rt::test]
async fn awc_has_no_answer_before_its_request_is_over() {
    let origin = scripts::duplex_echo().start().await;
    let (feed, body) = Fed::chunked();
    feed.send(data("one")).expect("it is taken");
    let mut request = put(body);
    request.timeouts.total = Some(Duration::from_millis(300));

    let error = exchange(&AwcTransport::new(), &endpoint(&origin), request).await.expect_err("it waits for more");

    assert!(matches!((error.phase, &error.cause), (Phase::Send, Cause::Total(_))), "{error:?}");
}

#[actix_rt::test]
async fn awc_loses_the_trailers_of_an_answer() {
    let origin = Origin::replying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nSum: 7\r\n\r\n")
        .start()
        .await;

    let outcome = exchange(&AwcTransport::new(), &endpoint(&origin), get("/")).await;

    assert_eq!(told(&outcome), r#"200 "a""#);
    assert!(outcome.expect("it was told").trailers.is_none());
}

/// awc with nothing of ours around it: why a refusal is better than its answer.
#[actix_rt::test]
async fn what_awc_alone_makes_of_an_answer() {
    for (name, script, expected) in [
        ("interim responses", scripts::interim_at_once(), r#"100 """#),
        ("a body until the end", scripts::close_delimited(), r#"200 """#),
        ("a length that is cut", scripts::cut_length(), r#"200 "0123456789""#),
        ("a chunk that is cut", scripts::cut_chunk(), r#"200 "01234""#),
        ("an end between chunks", scripts::cut_between_chunks(), r#"200 "hello""#),
    ] {
        let origin = script.start().await;

        let mut answer = awc::Client::new().get(origin.url()).send().await.expect("an answer");
        let body = answer.body().await.expect("a body, it says");

        assert_eq!(format!("{} {body:?}", answer.status().as_u16()).replace(" b\"", " \""), expected, "{name}");
    }
}

/// Nor does it see where a body ends that has none: it waits.
#[actix_rt::test]
async fn awc_alone_waits_for_content_that_never_comes() {
    for reply in [
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let origin = Origin::replying(reply).start().await;

        let mut answer = awc::Client::new().get(origin.url()).send().await.expect("an answer");

        tokio::select! {
            body = answer.body() => panic!("awc has learned it: {body:?}"),
            () = exchange::pass(Duration::from_millis(300)) => {}
        }
    }
}
