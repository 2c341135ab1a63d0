//! One exchange with one endpoint: the transport driven directly, against origins that do what real servers do.

use std::{future::poll_fn, rc::Rc, sync::atomic::Ordering, time::Duration};

use aqueduct::{
    http::{Body, BodyError, BodySize, Frame, HeaderMap, HeaderName, HeaderValue, Method, RequestBody},
    settings::upstream::PoolSettings,
    transport::{Cause, Outgoing, Phase, Timeouts, TransportError, h1::H1},
    upstream::endpoint::Endpoint,
};
use bytes::Bytes;
use futures_util::future::join;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    client::{Client, refusing},
    exchange::{
        self, Answer, Fed, Pieces, Recorder, SHORT, data, endpoint, endpoint_at, exchange, get, pass, put, request,
        told,
    },
    origin::{Origin, Script},
    scripts::{self, HELLO},
    wire::patiently,
};

/// One GET to such an origin, with a transport of its own.
async fn got(script: Script) -> (Origin, Result<Answer, TransportError>) {
    let origin = script.start().await;
    let outcome = exchange(&H1::new(), &endpoint(&origin), get("/")).await;
    (origin, outcome)
}

/// A GET of such an origin fails, or its body does, and the connection is closed.
async fn condemned(name: &str, script: Script) -> String {
    let origin = script.start().await;
    let transport = H1::new();
    let outcome = exchange(&transport, &endpoint(&origin), get("/")).await;
    let failed = outcome.as_ref().map_or(true, |answer| answer.end.is_err());
    assert!(failed, "{name}: {}", told(&outcome));
    origin.wait_for_closed(1).await;
    told(&outcome)
}

fn field(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

// Interim responses.

#[actix_rt::test]
async fn early_hints_are_relayed_and_100_is_not() {
    let origin = scripts::interim_at_once().start().await;
    let recorder = Rc::new(Recorder::default());
    let request = Outgoing { downstream: Some(recorder.clone()), ..get("/") };

    let outcome = exchange(&H1::new(), &endpoint(&origin), request).await;

    assert_eq!(told(&outcome), r#"200 "hello""#);
    assert_eq!(recorder.statuses(), [103, 102]);
    assert_eq!(recorder.interim.borrow()[0].1.get("link").expect("it is kept"), "</a.css>");
}

#[actix_rt::test]
async fn early_hints_are_relayed_before_the_answer_is_there() {
    let origin = scripts::interim_apart().start().await;
    let recorder = Rc::new(Recorder::default());
    let request = Outgoing { downstream: Some(recorder.clone()), ..get("/") };
    let hinted = async {
        recorder.wait().await;
        origin.tell("the hints were read");
    };

    let (outcome, ()) = join(exchange(&H1::new(), &endpoint(&origin), request), hinted).await;

    assert_eq!(told(&outcome), r#"200 "hello""#);
}

#[actix_rt::test]
async fn a_switch_nobody_asked_for_is_an_error() {
    let told = condemned("101", Origin::replying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")).await;

    assert!(told.starts_with("Head: Malformed"), "{told}");
}

#[actix_rt::test]
async fn interim_responses_without_end_are_an_error() {
    let endless = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        while conn.try_write("HTTP/1.1 102 Processing\r\n\r\n".repeat(100)).await.is_ok() {}
    });

    condemned("102 for ever", endless).await;
}

// Where answers end.

#[actix_rt::test]
async fn a_body_that_ends_with_its_connection_arrives_whole() {
    for script in [scripts::close_delimited(), scripts::close_delimited_old()] {
        let origin = script.start().await;
        let (transport, endpoint) = (H1::new(), endpoint(&origin));

        for _ in 0..2 {
            let answer = exchange(&transport, &endpoint, get("/")).await.expect("an answer");
            assert_eq!((answer.told().as_str(), answer.reused), (r#"200 "until the end""#, false));
        }

        assert_eq!(origin.connections_seen(), 2);
    }
}

#[actix_rt::test]
async fn a_reset_within_a_body_is_an_error() {
    let origin = scripts::reset_in_body().start().await;
    let mut open = exchange::send(&H1::new(), &endpoint(&origin), &mut get("/")).await.expect("a head");
    let Some(Ok(Frame::Data(_))) = open.frame().await else { panic!("the start is there") };

    origin.tell("the start was read");
    let answer = open.read().await.expect("it has begun");

    assert!(answer.end.is_err(), "{}", answer.told());
}

#[actix_rt::test]
async fn answers_end_where_rfc_9112_says() {
    for case in scripts::CASES {
        let (_origin, outcome) = got((case.script)()).await;
        assert_eq!(told(&outcome), case.ours, "{}", case.name);
    }
}

#[actix_rt::test]
async fn the_answer_to_a_head_has_a_length_and_no_body() {
    for coded in ["Content-Length: 5", "Content-Length: 5\r\nX-Y: z"] {
        let origin = Origin::replying(format!("HTTP/1.1 200 OK\r\n{coded}\r\n\r\n")).start().await;
        let (transport, endpoint) = (H1::new(), endpoint(&origin));

        for turn in 0..2 {
            let open = exchange::send(&transport, &endpoint, &mut request(Method::HEAD, "/")).await.expect("a head");
            assert_eq!((open.body.size(), open.reused), (BodySize::Sized(5), turn == 1));
            assert_eq!(open.read().await.expect("an answer").told(), r#"200 """#);
        }
    }
}

#[actix_rt::test]
async fn an_answer_with_both_lengths_ends_its_connection() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    let (origin, _outcome) = got(Origin::replying(reply)).await;

    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn trailers_are_kept() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nSum: 7\r\n\r\n";
    let (_origin, outcome) = got(Origin::replying(reply)).await;

    let answer = outcome.expect("an answer");
    assert_eq!(answer.told(), r#"200 "ab""#);
    assert_eq!(answer.trailers.expect("they are kept").get("sum").expect("it is kept"), "7");
}

#[actix_rt::test]
async fn an_answer_in_tiny_segments_is_the_same_answer() {
    let dribbled = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        let reply =
            "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0\r\nSum: 7\r\n\r\n";
        conn.dribble(reply, 1).await;
        conn.wait_closed().await;
    });
    let (_origin, outcome) = got(dribbled).await;

    let answer = outcome.expect("an answer");
    assert_eq!((answer.told().as_str(), answer.header("x-a")), (r#"200 "hello""#, Some("b")));
    assert!(answer.trailers.is_some());
}

// What condemns a connection.

#[actix_rt::test]
async fn bytes_behind_an_answer_condemn_the_connection() {
    for first in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\r\n",
    ] {
        let origin = Origin::script(move |mut conn, number| async move {
            conn.read_head().await;
            conn.write(if number == 0 { first } else { HELLO }).await;
            conn.wait_closed().await;
        })
        .start()
        .await;
        let (transport, endpoint) = (H1::new(), endpoint(&origin));

        exchange(&transport, &endpoint, get("/1")).await.expect("the first is well");
        origin.wait_for_closed(1).await;
        let second = exchange(&transport, &endpoint, get("/2")).await.expect("the second is well");

        assert_eq!((second.told().as_str(), second.reused), (r#"200 "hello""#, false), "after {first:?}");
    }
}

#[actix_rt::test]
async fn bytes_that_come_between_two_requests_condemn_the_connection() {
    let origin = Origin::script(|mut conn, number| async move {
        if number == 0 {
            return scripts::speaks_later(conn).await;
        }
        conn.read_head().await;
        conn.write(HELLO).await;
        if number == 1 {
            conn.wait_for("the first was read").await;
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
            conn.tell("it has happened");
        }
        conn.wait_closed().await;
    })
    .start()
    .await;
    let mut later = Client::connect(origin.address()).await;
    origin.wait_for_connections(1).await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));

    exchange(&transport, &endpoint, get("/1")).await.expect("the first is well");
    origin.tell("the first was read");
    later.read_exact(1).await;
    let second = exchange(&transport, &endpoint, get("/2")).await;

    assert_eq!(told(&second), r#"200 "hello""#);
    assert!(!second.expect("an answer").reused);
}

#[actix_rt::test]
async fn a_head_that_cannot_be_trusted_is_an_error() {
    for head in scripts::MALFORMED_HEADS {
        let told = condemned(head, scripts::malformed_head(head)).await;
        assert!(told.starts_with("Head: Malformed("), "{head:?}: {told}");
    }
}

#[actix_rt::test]
async fn a_head_without_end_is_an_error() {
    let endless = |piece: &'static str| {
        Origin::script(move |mut conn, _| async move {
            conn.read_head().await;
            conn.write("HTTP/1.1 200 OK\r\nX-Long: ").await;
            while conn.try_write(piece.repeat(1000)).await.is_ok() {}
        })
    };
    for piece in ["x", "x\r\nY: "] {
        assert_eq!(condemned(piece, endless(piece)).await, "Head: TooLarge");
    }
}

#[actix_rt::test]
async fn chunks_that_cannot_be_trusted_are_an_error() {
    for chunk in scripts::MALFORMED_CHUNKS {
        let told = condemned(chunk, scripts::malformed_chunk(chunk)).await;
        // They come with the head, so nobody was told that there is an answer.
        assert!(told.starts_with("Head: Malformed"), "{chunk:?}: {told}");
    }
}

#[actix_rt::test]
async fn chunks_that_cannot_be_trusted_cut_an_answer_that_has_begun() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        conn.wait_for("the start was read").await;
        conn.write("x\r\n").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let mut request = get("/");
    let mut open = exchange::send(&H1::new(), &endpoint(&origin), &mut request).await.expect("an answer");
    assert!(matches!(open.frame().await, Some(Ok(Frame::Data(data))) if data == "hello"));

    origin.tell("the start was read");

    assert!(matches!(open.frame().await, Some(Err(BodyError::Malformed))));
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_connection_closed_without_an_answer_is_told_with_its_facts() {
    let left = Origin::script(|mut conn, _| async move { drop(conn.read_head().await) });
    let (_origin, outcome) = got(left).await;

    let error = outcome.expect_err("it left");
    assert!(matches!(error.cause, Cause::Closed), "{error:?}");
    assert_eq!(error.phase, Phase::Head);
    assert!(error.request_started && !error.response_started && !error.reused && !error.body_consumed);
}

#[actix_rt::test]
async fn a_head_that_is_cut_is_told_with_its_facts() {
    let (_origin, outcome) = got(scripts::then_close("HTTP/1.1 200 OK\r\nContent-Le")).await;

    let error = outcome.expect_err("it left");
    assert!(matches!(error.cause, Cause::Closed), "{error:?}");
    assert!(error.request_started && error.response_started);
}

#[actix_rt::test]
async fn a_refused_connection_is_told_with_its_facts() {
    let mut request = put(Pieces::new(2, 10).sized());
    let endpoint = endpoint_at(refusing(), &PoolSettings::default());

    let error = exchange::send(&H1::new(), &endpoint, &mut request).await.err().expect("nobody is there");

    assert_eq!(error.phase, Phase::Connect);
    assert!(!error.request_started && !error.response_started && !error.reused && !error.body_consumed);
    assert!(request.body.is_replayable() && !request.body.is_empty());
}

#[actix_rt::test]
async fn a_name_that_does_not_resolve_is_told_with_its_facts() {
    let address = aqueduct::transport::Address::Tcp { host: "no-such-name.invalid".into(), port: 80 };
    let endpoint = Endpoint::new(address, "x", 1, &PoolSettings::default());

    let error = exchange(&H1::new(), &endpoint, get("/")).await.expect_err("there is no such name");

    assert_eq!(error.phase, Phase::Resolve);
    assert!(!error.request_started && !error.response_started);
}

// Requests.

#[actix_rt::test]
async fn a_request_is_sent_with_these_fields_and_no_others() {
    let origin = Origin::echo().start().await;
    let mut request = get("/a?b=%20");
    for (name, value) in [field("x-two", "1"), field("x-two", "2")] {
        request.headers.append(name, value);
    }
    request.added = b"Via: 1.1 aqueduct\r\n".to_vec();

    let answer = exchange(&H1::new(), &endpoint(&origin), request).await.expect("an answer");

    let told = answer.text().to_ascii_lowercase();
    let mut lines: Vec<_> = told.trim_end().lines().collect();
    assert_eq!(lines[0], "get /a?b=%20 http/1.1");
    lines[1..].sort_unstable();
    assert_eq!(lines[1..], ["host: example.com", "via: 1.1 aqueduct", "x-two: 1", "x-two: 2"]);
}

#[actix_rt::test]
async fn a_request_says_how_long_its_body_is() {
    for (body, expected) in [
        (RequestBody::buffered(Bytes::from_static(b"abc")), "content-length: 3"),
        (Pieces::new(3, 1).sized(), "content-length: 3"),
        (Pieces::new(3, 1).chunked(), "transfer-encoding: chunked"),
        (RequestBody::buffered(Bytes::new()), "content-length: 0"),
    ] {
        let origin = Origin::echo().start().await;
        let length = if expected.ends_with('0') { 0 } else { 3 };

        let answer = exchange(&H1::new(), &endpoint(&origin), put(body)).await.expect("an answer");

        let told = answer.text().to_ascii_lowercase();
        let (head, body) = told.split_once("\n\n").expect("an empty line");
        let framing: Vec<_> =
            head.lines().filter(|line| line.contains("-length") || line.contains("-encoding")).collect();
        assert_eq!((framing, body.len()), (vec![expected], length));
    }
}

#[actix_rt::test]
async fn the_trailers_of_a_request_are_sent() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") {
            body.extend(conn.read_some().await);
        }
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        conn.write([reply.as_bytes(), &body].concat()).await;
    })
    .start()
    .await;
    let (name, value) = field("sum", "7");
    let trailers = HeaderMap::from_iter([(name, value)]);
    let recorder = Recorder { request_trailers: Some(trailers), ..Recorder::default() };
    let request = Outgoing { downstream: Some(Rc::new(recorder)), ..put(Pieces::new(1, 2).chunked()) };

    let answer = exchange(&H1::new(), &endpoint(&origin), request).await.expect("an answer");

    assert_eq!(answer.text().to_ascii_lowercase(), "2\r\n..\r\n0\r\nsum: 7\r\n\r\n");
}

#[actix_rt::test]
async fn an_empty_piece_of_a_body_does_not_end_it() {
    let origin = Origin::echo().start().await;
    let (feed, body) = Fed::chunked();
    for piece in ["a", "", "b"] {
        feed.send(data(piece)).expect("it is taken");
    }
    drop(feed);

    let answer = exchange(&H1::new(), &endpoint(&origin), put(body)).await.expect("an answer");

    assert!(answer.text().ends_with("\n\nab"), "{}", answer.text());
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn an_early_refusal_of_a_large_upload_is_received_each_time() {
    for status in ["HTTP/1.1 413 Content Too Large", "HTTP/1.1 401 Unauthorized"] {
        let careful = scripts::early_refusal(status).start().await;
        let rude = scripts::rude_refusal(status).start().await;
        for turn in 0..10 {
            for origin in [&careful, &rude] {
                let upload = put(Pieces::new(1600, 64 * 1024).sized());
                let outcome = exchange(&H1::new(), &endpoint(origin), upload).await;
                assert_eq!(told(&outcome), format!("{} \"no\"", &status[9..12]), "turn {turn}");
                origin.tell(&format!("answer {turn} was read"));
            }
        }
    }
}

#[actix_rt::test]
async fn a_body_goes_on_while_the_answer_is_read() {
    let origin = scripts::duplex_echo().start().await;
    let (feed, body) = Fed::chunked();
    let mut request = put(body);

    feed.send(data("one")).expect("it is taken");
    let mut open = exchange::send(&H1::new(), &endpoint(&origin), &mut request).await.expect("a head");
    for piece in ["one", "two", "three"] {
        if piece != "one" {
            feed.send(data(piece)).expect("it is taken");
        }
        let Some(Ok(Frame::Data(bytes))) = open.frame().await else { panic!("{piece} comes back") };
        assert_eq!(bytes, piece.as_bytes());
    }
    drop(feed);

    assert!(open.frame().await.is_none());
}

#[actix_rt::test]
async fn a_client_that_fails_is_not_the_endpoints_fault() {
    let origin = Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await;
    let (feed, body) = Fed::chunked();
    feed.send(data("abc")).expect("it is taken");
    feed.send(Err(BodyError::Incomplete)).expect("it is taken");

    let error = exchange(&H1::new(), &endpoint(&origin), put(body)).await.expect_err("it has no end");

    assert!(matches!(error.cause, Cause::RequestBody(BodyError::Incomplete)), "{error:?}");
    assert!(error.body_consumed);
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_client_that_stops_sending_is_told_from_an_endpoint_that_does() {
    let origin = Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await;
    let (feed, body) = Fed::chunked();
    feed.send(data("abc")).expect("it is taken");
    let mut request = put(body);
    request.timeouts.idle = Some(SHORT);

    let error = exchange(&H1::new(), &endpoint(&origin), request).await.expect_err("it has no end");

    assert!(matches!(error.cause, Cause::RequestBody(BodyError::Stalled)), "{error:?}");
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_client_that_fails_after_the_answer_has_begun_has_its_answer() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 6\r\n\r\nyou ").await;
        conn.wait_for("failed").await;
        conn.write("no").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));
    let (feed, body) = Fed::chunked();
    let open = exchange::send(&transport, &endpoint, &mut put(body)).await.expect("an early answer");
    feed.send(Err(BodyError::TooLarge { limit: 1 })).expect("it is taken");
    origin.tell("failed");

    let answer = open.read().await.expect("the whole answer");

    assert_eq!(answer.text(), "you no");
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_body_is_not_read_ahead_without_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.wait_for("enough").await;
    })
    .start_unix(folder.path().join("origin"))
    .await;
    let pieces = Pieces::new(6400, 16 * 1024);
    let taken = Rc::clone(&pieces.taken);
    let mut request = put(pieces.sized());
    request.timeouts.idle = Some(Duration::from_millis(300));

    let outcome = exchange(&H1::new(), &endpoint(&origin), request).await;

    let error = outcome.expect_err("nobody reads it");
    assert!(matches!((error.phase, &error.cause), (Phase::Send, Cause::Stalled(_))), "{error:?}");
    assert!(taken.get() * 16 * 1024 < scripts::MOST_AHEAD, "{} pieces were taken", taken.get());
    origin.tell("enough");
}

#[actix_rt::test]
async fn an_answer_is_not_read_ahead_without_bound() {
    const LENGTH: usize = 100_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let (script, written) = scripts::floods(LENGTH);
    let origin = script.start_unix(folder.path().join("origin")).await;

    let open = exchange::send(&H1::new(), &endpoint(&origin), &mut get("/")).await.expect("a head");
    origin.wait_for("nobody reads").await;
    let held = written.load(Ordering::Relaxed);
    let answer = open.read().await.expect("an answer");

    assert!(held < scripts::MOST_AHEAD, "{held} bytes went out");
    assert_eq!(answer.body.len(), LENGTH);
}

// Limits of time, and leaving early.

#[actix_rt::test]
async fn waits_for_the_head_are_limited() {
    let none = Timeouts { connect: None, first_byte: None, idle: None, total: None };
    for (timeouts, expected) in [
        (Timeouts { first_byte: Some(SHORT), ..none }, "Head: Timeout(100ms)"),
        (Timeouts { total: Some(SHORT), ..none }, "Head: Total(100ms)"),
    ] {
        let origin = Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await;
        let transport = H1::new();
        let outcome = exchange(&transport, &endpoint(&origin), Outgoing { timeouts, ..get("/") }).await;
        assert_eq!(told(&outcome), expected);
        origin.wait_for_closed(1).await;
    }
}

#[actix_rt::test]
async fn an_answer_may_take_longer_than_the_idle_limit_to_begin() {
    let slow = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 103 Early Hints\r\n\r\n").await;
        conn.wait_for("enough").await;
        conn.write(HELLO).await;
        conn.wait_closed().await;
    });
    let origin = slow.start().await;
    let mut request = get("/");
    request.timeouts.idle = Some(Duration::from_millis(50));
    let time_passes = async {
        pass(Duration::from_millis(200)).await;
        origin.tell("enough");
    };

    let (outcome, ()) = join(exchange(&H1::new(), &endpoint(&origin), request), time_passes).await;

    assert_eq!(told(&outcome), r#"200 "hello""#);
}

#[actix_rt::test]
async fn a_head_that_stalls_ends_in_an_error() {
    let stalling = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nX-").await;
        conn.wait_closed().await;
    });
    let origin = stalling.start().await;
    let mut request = get("/");
    request.timeouts.idle = Some(SHORT);

    let outcome = exchange(&H1::new(), &endpoint(&origin), request).await;

    assert_eq!(told(&outcome), "Head: Stalled(100ms)");
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_body_that_stalls_ends_in_an_error() {
    let stalling = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe").await;
        conn.wait_closed().await;
    });
    let origin = stalling.start().await;
    let mut request = get("/");
    request.timeouts.idle = Some(SHORT);
    let transport = H1::new();

    let outcome = exchange(&transport, &endpoint(&origin), request).await;

    assert_eq!(told(&outcome), r#"200 "he", Stalled"#);
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_body_that_never_stops_dribbling_has_a_limit_in_all() {
    let dribbling = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
        while conn.try_write(".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let origin = dribbling.start().await;
    let mut request = get("/");
    request.timeouts.total = Some(Duration::from_millis(300));
    let transport = H1::new();

    let outcome = exchange(&transport, &endpoint(&origin), request).await;

    assert!(outcome.map_or(true, |answer| answer.end.is_err()));
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_reader_that_takes_its_time_is_no_stall() {
    let (origin, mut request) = (Origin::answering("hello").start().await, get("/"));
    request.timeouts.idle = Some(Duration::from_millis(50));

    let open = exchange::send(&H1::new(), &endpoint(&origin), &mut request).await.expect("a head");
    pass(Duration::from_millis(200)).await;

    assert_eq!(open.read().await.expect("an answer").told(), r#"200 "hello""#);
}

#[actix_rt::test]
async fn an_exchange_that_is_given_up_closes_its_connection() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_closed().await;
    })
    .start()
    .await;
    let (transport, endpoint, mut request) = (H1::new(), endpoint(&origin), get("/"));

    tokio::select! {
        _ = exchange::send(&transport, &endpoint, &mut request) => panic!("there is no answer"),
        () = origin.wait_for("asked") => {}
    }

    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn an_answer_nobody_reads_to_its_end_closes_its_connection() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));

    drop(exchange::send(&transport, &endpoint, &mut get("/")).await.expect("a head"));

    origin.wait_for_closed(1).await;
}

// Other ways to speak.

#[actix_rt::test]
async fn a_unix_socket_is_as_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let origin = Origin::answering("hello").start_unix(directory.path().join("origin")).await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));

    for reused in [false, true] {
        let answer = exchange(&transport, &endpoint, get("/")).await.expect("an answer");
        assert_eq!((answer.told().as_str(), answer.reused), (r#"200 "hello""#, reused));
    }
}

#[actix_rt::test]
async fn after_a_switch_of_protocols_it_is_bytes() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly").await;
        let bytes = conn.read_exact(4).await;
        conn.write(bytes).await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let request = Outgoing { upgrade: Some(HeaderValue::from_static("echo")), ..get("/") };

    let (head, mut io, mut early) = exchange::switch(&H1::new(), &endpoint(&origin), request).await;
    io.write_all(b"ping").await.expect("it is open");
    let mut bytes = early.split_to(early.len()).to_vec();
    while bytes.len() < 9 {
        patiently("an echo", io.read_buf(&mut bytes)).await.expect("it is open");
    }

    assert_eq!(bytes, b"earlyping");
    assert_eq!(head.headers.get("upgrade").expect("it is kept"), "echo");
    let sent = origin.request(0).to_ascii_lowercase();
    assert!(sent.contains("\r\nconnection: upgrade\r\n") && sent.contains("\r\nupgrade: echo\r\n"), "{sent}");
    drop(io);
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_switch_before_the_end_of_the_request_is_an_error() {
    let eager = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n").await;
        conn.wait_closed().await;
    });
    let eager = eager.start().await;
    let (_feed, body) = Fed::chunked();
    let request = Outgoing { upgrade: Some(HeaderValue::from_static("echo")), ..put(body) };

    let outcome = exchange(&H1::new(), &endpoint(&eager), request).await;

    assert!(told(&outcome).starts_with("Send: Malformed"), "{}", told(&outcome));
    eager.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_switch_that_is_declined_is_an_ordinary_answer() {
    let origin = Origin::answering("hello").start().await;
    let request = Outgoing { upgrade: Some(HeaderValue::from_static("echo")), ..get("/") };

    let outcome = exchange(&H1::new(), &endpoint(&origin), request).await;

    assert_eq!(told(&outcome), r#"200 "hello""#);
}

#[actix_rt::test]
async fn fields_of_the_connection_end_here_and_others_are_kept() {
    let reply = "HTTP/1.1 200 OK\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a\r\n\
                 Set-Cookie: b\r\nContent-Length: 0\r\n\r\n";
    let (_origin, outcome) = got(Origin::replying(reply)).await;

    let answer = outcome.expect("an answer");
    let names: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(names, [("set-cookie", b"a".as_slice()), ("set-cookie", b"b")]);
}

fn length(frame: Option<Result<Frame, BodyError>>) -> usize {
    let Some(Ok(Frame::Data(bytes))) = frame else { panic!("no content, but {frame:?}") };
    bytes.len()
}

/// Pieces are asked for until the answer turns out to come fast; the rest is asked for as frames, and what comes of it in small
/// parts is there at once.
#[actix_rt::test]
async fn who_takes_pieces_and_then_frames_waits_for_no_more_than_there_is() {
    const FAST: usize = 8 << 20;
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", FAST + 2 * 1000)).await;
        conn.write(vec![b'a'; FAST]).await;
        for word in ["go on", "end"] {
            conn.wait_for(word).await;
            conn.write(vec![b'b'; 1000]).await;
        }
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let transport = H1::new();
    let mut answer = exchange::send(&transport, &endpoint(&origin), &mut get("/")).await.expect("an answer");

    let mut came = 0;
    let mut comes_fast = false;
    while !comes_fast && came < FAST {
        let piece = patiently("a piece", poll_fn(|cx| answer.body.poll_piece(cx))).await;
        match piece.transpose().expect("it is well") {
            Some(mut piece) => {
                comes_fast = piece.len() >= 1 << 16;
                came += piece.read_out().expect("it is there").len();
            }
            None => came += length(answer.frame().await),
        }
    }
    assert!(comes_fast, "it came in small pieces only");
    for (total, word) in [(FAST, "go on"), (FAST + 1000, "end"), (FAST + 2000, "")] {
        while came < total {
            came += length(answer.frame().await);
        }
        origin.tell(word);
    }

    assert!(answer.frame().await.is_none());
    assert_eq!(came, FAST + 2000);
}
