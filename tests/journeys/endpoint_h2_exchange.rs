//! One exchange over HTTP/2 with an endpoint: what is said, in which order, and what becomes of what is wrong.

use std::rc::Rc;

use aqueduct::{
    http::{BodyError, Frame, Method, ResponseBody},
    transport::{Cause, Outgoing, Phase, Timeouts, TransportError, own::Own},
};
use bytes::Bytes;
use futures_util::future::join;
use h2::Reason;
use tokio::task::yield_now;

use crate::support::{
    exchange::{self, Answer, Fed, Pieces, Recorder, SHORT, data, exchange, get, pass, put, request, told},
    frames::{self, CANCEL, CONTINUATION, END_HEADERS, END_STREAM, NO_ERROR, PING, RST_STREAM, SETTINGS},
    h2 as h2_client,
    h2_origin::{self, answering, endpoint, head, reset_of, saying, upstream},
    origin::{Origin, Script},
    proxy::TestProxy,
    wire::patiently,
};

/// One GET to such an origin, with a transport of its own.
async fn got(script: Script) -> (Origin, Result<Answer, TransportError>) {
    let origin = script.start().await;
    let outcome = exchange(&Own::new(), &endpoint(&origin), get("/")).await;
    (origin, outcome)
}

fn error(outcome: Result<Answer, TransportError>) -> TransportError {
    outcome.map(|answer| answer.told()).expect_err("no answer")
}

const NO_LIMITS: Timeouts = Timeouts { connect: None, first_byte: None, idle: None, total: None };

// What is said.

#[actix_rt::test]
async fn a_request_of_http_1_1_arrives_as_one_of_http_2() {
    let origin = h2_origin::echo().start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;

    let answer = proxy
        .send(
            "POST /a%20b?c=d HTTP/1.1\r\nHost: shop.example:81\r\nCookie: a=1; b=2\r\nX-One: 1\r\nX-One: 2\r\n\
             Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
             Content-Length: 5\r\n\r\nhello",
        )
        .await;

    let text = answer.text();
    let (head, body) = text.split_once("\n\n").expect("a head and a body");
    assert_eq!(body, "hello");
    assert!(head.starts_with("POST http://shop.example:81/a%20b?c=d\n"), "{head}");
    for line in ["cookie: a=1", "cookie: b=2", "x-one: 1", "x-one: 2", "te: trailers", "content-length: 5"] {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
    for name in ["host:", "connection:", "keep-alive:", "x-mine:", "transfer-encoding:"] {
        assert!(!head.contains(&format!("\n{name}")), "{name} in {head}");
    }
    assert!(head.contains("\nx-forwarded-for: 127.0.0.1\n"), "{head}");
}

#[actix_rt::test]
async fn trailers_are_asked_for_only_by_a_client_that_takes_them() {
    let origin = h2_origin::echo().start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;

    assert!(!proxy.get("/").await.text().contains("te:"));
}

#[actix_rt::test]
async fn a_client_of_http_2_has_its_trailers_and_its_cookies_brought_both_ways() {
    let origin = h2_origin::echo().start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = h2_client::H2::connect(proxy.address).await;
    let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")];

    let (answer, mut stream) = client.begin(h2_client::request_with("POST", "/x", &fields), false).await;
    stream.send_data(Bytes::from_static(b"content"), false).expect("it takes content");
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "42".parse().expect("a value"));
    trailers.insert("content-length", "7".parse().expect("a value"));
    stream.send_trailers(trailers).expect("it takes trailers");
    let answer = h2_client::whole(answer).await;

    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("\ncookie: a=1\ncookie: b=2\n"), "{}", answer.text());
    assert!(answer.text().ends_with("\ncontent"), "{}", answer.text());
    assert_eq!(answer.trailer("x-sum"), Some("42"));
    assert_eq!(answer.trailer("content-length"), None);
}

#[actix_rt::test]
async fn a_body_of_unknown_length_ends_where_it_ends() {
    let origin = h2_origin::echo().start().await;
    let (feed, body) = Fed::chunked();
    for text in ["one ", "two"] {
        feed.send(data(text)).expect("it is read");
    }
    drop(feed);

    let outcome = exchange(&Own::new(), &endpoint(&origin), put(body)).await.expect("an answer");

    assert!(outcome.text().ends_with("\none two"), "{}", outcome.text());
    assert!(!outcome.text().contains("content-length"), "{}", outcome.text());
}

#[actix_rt::test]
async fn an_endpoint_at_a_unix_socket_is_spoken_with_like_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = saying("hello").start_unix(folder.path().join("s")).await;

    let outcome = exchange(&Own::new(), &endpoint(&origin), get("/")).await;

    assert_eq!(told(&outcome), r#"200 "hello""#);
}

// Answers.

#[actix_rt::test]
async fn an_answer_without_content_is_one() {
    let origin = answering(|mut call| async move {
        match call.path() {
            "/204" => call.reply_head(204, &[]),
            "/304" => call.reply_head(304, &[("content-length", "5"), ("etag", "\"x\"")]),
            "/empty" => call.reply_head(200, &[]),
            _ => call.reply_head(200, &[("content-length", "5")]),
        }
    });
    let (origin, transport) = (origin.start().await, Own::new());
    let endpoint = endpoint(&origin);

    for (method, target, length) in [
        (Method::GET, "/204", None),
        (Method::GET, "/304", Some(5)),
        (Method::GET, "/empty", None),
        (Method::HEAD, "/head", Some(5)),
    ] {
        let open = exchange::send(&transport, &endpoint, &mut request(method, target)).await.expect("an answer");
        match (open.body, length) {
            (ResponseBody::Empty, None) => {}
            (ResponseBody::Announced(announced), Some(length)) => assert_eq!(announced, length),
            (other, _) => panic!("{target}: {other:?}"),
        }
    }
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn the_length_an_answer_has_announced_is_kept_or_it_is_cut_short_visibly() {
    for (announced, sent, end) in [("5", "hello", true), ("6", "hello", false), ("4", "hello", false)] {
        let script = answering(move |mut call| async move {
            let mut stream = call.begin(200, &[("content-length", announced)]);
            stream.send_data(Bytes::from_static(sent.as_bytes()), true).expect("it takes content");
        });
        let (_origin, outcome) = got(script).await;

        let whole = outcome.as_ref().is_ok_and(|answer| answer.end.is_ok());
        assert_eq!(whole, end, "{announced}: {}", told(&outcome));
    }
}

#[actix_rt::test]
async fn a_client_is_told_that_an_answer_was_cut_short() {
    let origin = answering(|mut call| async move {
        let mut stream = call.begin(200, &[]);
        stream.send_data(Bytes::from_static(b"part"), false).expect("it takes content");
        call.wait_for("it has begun").await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = proxy.connect().await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.read_head().await;
    origin.tell("it has begun");
    let rest = client.read_to_end().await;

    assert!(head.contains("200 OK"), "{head}");
    assert!(!String::from_utf8_lossy(&rest).contains("\r\n0\r\n"), "{rest:?}");
}

#[actix_rt::test]
async fn early_hints_are_relayed_before_the_answer_is_there() {
    let origin = answering(|mut call| async move {
        call.respond.send_informational(head(100, &[])).expect("it takes a head");
        call.respond.send_informational(head(103, &[("link", "</a.css>")])).expect("it takes a head");
        call.wait_for("the hints were read").await;
        call.reply(200, "hello");
    });
    let origin = origin.start().await;
    let recorder = Rc::new(Recorder::default());
    let request = Outgoing { downstream: Some(recorder.clone()), ..get("/") };
    let hinted = async {
        recorder.wait().await;
        origin.tell("the hints were read");
    };

    let (outcome, ()) = join(exchange(&Own::new(), &endpoint(&origin), request), hinted).await;

    assert_eq!(told(&outcome), r#"200 "hello""#);
    assert_eq!(recorder.statuses(), [103]);
    assert_eq!(recorder.interim.borrow()[0].1.get("link").expect("it is kept"), "</a.css>");
}

#[actix_rt::test]
async fn interim_responses_without_end_are_an_error() {
    let (_origin, outcome) = got(answering(|mut call| async move {
        for _ in 0..100 {
            call.respond.send_informational(head(102, &[])).expect("it takes a head");
        }
        call.reply(200, "hello");
    }))
    .await;

    assert!(told(&outcome).contains("interim responses without end"), "{}", told(&outcome));
}

#[actix_rt::test]
async fn what_no_answer_can_be_is_a_502_and_the_connection_goes_on() {
    let cases: [(&str, Vec<(&str, &str)>); 6] = [
        ("a field of a connection", vec![(":status", "200"), ("connection", "close")]),
        ("a coding", vec![(":status", "200"), ("transfer-encoding", "chunked")]),
        ("a field for two lines", vec![(":status", "200"), ("x", " a")]),
        ("two lengths", vec![(":status", "200"), ("content-length", "1"), ("content-length", "2")]),
        ("a status beyond all", vec![(":status", "600")]),
        ("a switch", vec![(":status", "101")]),
    ];
    for (name, fields) in cases {
        let bad = frames::block(&fields);
        let origin = h2_origin::frames(&[], move |mut frames, _, _| {
            let bad = bad.clone();
            async move {
                let stream = frames.next_of(frames::HEADERS).await.stream;
                frames.send(frames::frame(frames::HEADERS, END_HEADERS, stream, bad)).await;
                let stream = frames.next_of(frames::HEADERS).await.stream;
                frames.send(frames::answer(stream, END_STREAM, "204")).await;
                frames.wait_closed().await;
            }
        });
        let origin = origin.start().await;
        let (transport, endpoint) = (Own::new(), endpoint(&origin));

        let failed = error(exchange(&transport, &endpoint, get("/")).await);
        let next = exchange(&transport, &endpoint, get("/")).await;

        assert!(matches!(failed.cause, Cause::Malformed(_)), "{name}: {failed:?}");
        assert_eq!(told(&next), r#"204 """#, "{name}");
        assert_eq!(origin.connections_seen(), 1, "{name}");
    }
}

#[actix_rt::test]
async fn an_answers_head_has_limits() {
    for (count, size) in [(1, 70_000), (300, 10)] {
        let (_origin, outcome) = got(answering(move |mut call| async move {
            let value = "x".repeat(size);
            let fields: Vec<_> = (0..count).map(|_| ("x-large", value.as_str())).collect();
            call.reply_head(200, &fields);
        }))
        .await;

        let failed = error(outcome);
        assert!(matches!(failed.cause, Cause::TooLarge), "{count} of {size}: {failed:?}");
    }
}

#[actix_rt::test]
async fn a_head_without_end_is_cut_off() {
    let origin = h2_origin::frames(&[], |mut frames, mut conn, _| async move {
        let stream = frames.next_of(frames::HEADERS).await.stream;
        frames.send(frames::frame(frames::HEADERS, 0, stream, frames::block(&[(":status", "200")]))).await;
        let part = frames::frame(CONTINUATION, 0, stream, frames::block(&[("x", &"y".repeat(8000))]));
        while frames.try_send(&part).await {}
        conn.note_ended();
    });
    let (origin, outcome) = got(origin).await;

    error(outcome);
    origin.wait_for_closed(1).await;
}

// Both at once.

#[actix_rt::test]
async fn both_sides_talk_at_once() {
    let origin = answering(|mut call| async move {
        let mut stream = call.begin(200, &[]);
        while let Some(bytes) = call.body.data().await {
            let bytes = bytes.expect("content");
            call.body.flow_control().release_capacity(bytes.len()).expect("it was taken");
            stream.send_data(bytes, false).expect("it takes content");
        }
        stream.send_data(Bytes::new(), true).expect("it takes the end");
    });
    let origin = origin.start().await;
    let (feed, body) = Fed::chunked();

    feed.send(data("one")).expect("it is read");
    let mut open = exchange::send(&Own::new(), &endpoint(&origin), &mut put(body)).await.expect("an answer");
    for next in ["two", "three"] {
        let Some(Ok(Frame::Data(came))) = open.frame().await else { panic!("content") };
        assert!(["one", "two"].contains(&std::str::from_utf8(&came).expect("text")));
        feed.send(data(next)).expect("it is read");
    }
    drop(feed);

    let rest = open.read().await.expect("an answer");
    assert_eq!((rest.text().as_str(), rest.end.is_ok()), ("three", true));
}

#[actix_rt::test]
async fn an_answer_that_comes_before_the_request_was_sent_is_the_answer() {
    let origin = answering(|mut call| async move { call.reply(413, "no") });
    let origin = origin.start().await;

    let outcome = exchange(&Own::new(), &endpoint(&origin), put(Pieces::new(1000, 100_000).sized())).await;

    assert_eq!(told(&outcome), r#"413 "no""#);
}

#[actix_rt::test]
async fn an_endpoint_that_wants_no_more_of_a_request_is_heard_to_its_end() {
    let origin = h2_origin::frames(&[], |mut frames, _, _| async move {
        let stream = frames.next_of(frames::HEADERS).await.stream;
        frames.send(frames::answer(stream, 0, "200")).await;
        // What servers say that have read all they need (RFC 9113, 8.1).
        let end = [frames::frame(frames::DATA, END_STREAM, stream, "enough"), frames::reset(stream, NO_ERROR)];
        frames.send(end.concat()).await;
        frames.wait_closed().await;
    });
    let origin = origin.start().await;

    let outcome = exchange(&Own::new(), &endpoint(&origin), put(Pieces::new(1000, 100_000).chunked())).await;

    assert_eq!(told(&outcome), r#"200 "enough""#);
}

#[actix_rt::test]
async fn an_endpoint_that_takes_nothing_stops_the_client() {
    let origin = answering(|mut call| async move {
        call.wait_for("go on").await;
        let read = call.read().await.expect("a whole request").0.len();
        call.reply(200, if read == 10_000_000 { "all" } else { "some" });
    });
    let origin = origin.start().await;
    let pieces = Pieces::new(1000, 10_000);
    let taken = Rc::clone(&pieces.taken);
    let own = Own::new();
    let target = endpoint(&origin);
    let stopped = async {
        origin.wait_for_requests(1).await;
        // The window that every connection begins with is used up ..
        patiently("a full window", async {
            while taken.get() * 10_000 < 65_535 {
                yield_now().await
            }
        })
        .await;
        // .. and no more is taken from then on.
        pass(SHORT).await;
        let taken = taken.get();
        origin.tell("go on");
        taken
    };

    let (outcome, taken) = join(exchange(&own, &target, put(pieces.sized())), stopped).await;

    assert_eq!(told(&outcome), r#"200 "all""#);
    // That window, and a piece or two.
    assert!(taken <= 10, "{taken} pieces");
}

#[actix_rt::test]
async fn a_client_that_takes_nothing_stops_the_endpoint_and_nobody_else() {
    let origin = answering(|mut call| async move {
        if call.path() != "/large" {
            return call.reply(200, "hello");
        }
        let mut stream = call.begin(200, &[]);
        let mut sent = 0;
        loop {
            stream.reserve_capacity(1000);
            let room = tokio::time::timeout(SHORT, std::future::poll_fn(|cx| stream.poll_capacity(cx))).await;
            let Ok(Some(Ok(room))) = room else { break };
            stream.send_data(Bytes::from(vec![b'.'; room]), false).expect("there is room");
            sent += room;
        }
        call.tell(&format!("{sent} bytes"));
        stream.send_data(Bytes::new(), true).expect("it takes the end");
    });
    let origin = origin.start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));

    let open = exchange::send(&transport, &endpoint, &mut get("/large")).await.expect("an answer");
    origin.wait_for("262144 bytes").await;
    let other = exchange(&transport, &endpoint, get("/small")).await;

    assert_eq!(told(&other), r#"200 "hello""#);
    assert_eq!(open.read().await.expect("an answer").body.len(), 262_144);
    assert_eq!(origin.connections_seen(), 1);
}

/// What calls of gRPC with short messages look like whose clients take none for now.
#[actix_rt::test]
async fn small_pieces_that_nobody_takes_stop_nobody_else() {
    const WINDOW: usize = 256 * 1024;
    const SIZE: usize = 5;
    let origin = h2_origin::frames(&[], |mut frames, conn, _| async move {
        for _ in 0..5 {
            let stream = frames.next_of(frames::HEADERS).await.stream;
            let pieces = frames::frame(frames::DATA, 0, stream, [b'.'; SIZE]).repeat(WINDOW / SIZE);
            frames.send([frames::answer(stream, 0, "200"), pieces].concat()).await;
        }
        conn.tell("all is sent");
        let stream = frames.next_of(frames::HEADERS).await.stream;
        frames.send(frames::answer(stream, END_STREAM, "204")).await;
        frames.wait_closed().await;
    });
    let origin = origin.start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));

    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(exchange::send(&transport, &endpoint, &mut get("/large")).await.expect("an answer"));
    }
    origin.wait_for("all is sent").await;
    let other = exchange(&transport, &endpoint, get("/small")).await;

    assert_eq!(told(&other), r#"204 """#);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn a_client_that_leaves_takes_its_stream_along_and_nothing_else() {
    let origin = answering(|mut call| async move {
        if call.path() == "/other" {
            return call.reply(200, "hello");
        }
        let mut stream = call.begin(200, &[]);
        let reason = reset_of(&mut stream).await;
        call.tell(&format!("{reason:?}"));
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = proxy.connect().await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_head().await;
    drop(client);
    origin.wait_for("CANCEL").await;

    assert_eq!(proxy.get("/other").await.text(), "hello");
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn a_client_that_breaks_off_its_body_resets_the_request() {
    let origin = h2_origin::frames(&[], |mut frames, conn, _| async move {
        frames.next_of(frames::DATA).await;
        conn.tell("content has come");
        let reset = frames.next_of(RST_STREAM).await;
        conn.tell(&format!("reset {}", reset.code(0)));
        frames.wait_closed().await;
    });
    let origin = origin.start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));
    let (feed, body) = Fed::chunked();
    feed.send(data("one")).expect("it is read");
    let breaking = async {
        origin.wait_for("content has come").await;
        feed.send(Err(BodyError::Incomplete)).expect("it is read");
    };

    let (outcome, ()) = join(exchange(&transport, &endpoint, put(body)), breaking).await;

    let failed = error(outcome);
    assert!(matches!(failed.cause, Cause::RequestBody(BodyError::Incomplete)), "{failed:?}");
    assert!(failed.body_consumed && !failed.response_started);
    origin.wait_for(&format!("reset {CANCEL}")).await;
}

// Time.

#[actix_rt::test]
async fn every_wait_has_its_limit() {
    let silent = || {
        answering(|mut call| async move {
            if call.path() == "/begun" {
                let mut stream = call.begin(200, &[]);
                reset_of(&mut stream).await;
            }
            call.wait_for("the end").await;
        })
    };
    let origin = silent().start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));
    let within = |timeouts| Outgoing { timeouts, ..get("/") };

    let first_byte = within(Timeouts { first_byte: Some(SHORT), ..NO_LIMITS });
    let failed = error(exchange(&transport, &endpoint, first_byte).await);
    assert!(matches!((failed.phase, &failed.cause), (Phase::Head, Cause::Timeout(_))), "{failed:?}");
    assert!(failed.request_started);

    let total = within(Timeouts { total: Some(SHORT), ..NO_LIMITS });
    let failed = error(exchange(&transport, &endpoint, total).await);
    assert!(matches!(failed.cause, Cause::Total(_)), "{failed:?}");

    let idle = Outgoing { timeouts: Timeouts { idle: Some(SHORT), ..NO_LIMITS }, ..get("/begun") };
    let answer = exchange(&transport, &endpoint, idle).await.expect("a head");
    assert!(matches!(answer.end, Err(BodyError::Stalled)), "{:?}", answer.end);

    let upload =
        Outgoing { timeouts: Timeouts { idle: Some(SHORT), ..NO_LIMITS }, ..put(Pieces::new(100, 10_000).sized()) };
    let failed = error(exchange(&transport, &endpoint, upload).await);
    assert!(matches!((failed.phase, &failed.cause), (Phase::Send, Cause::Stalled(_))), "{failed:?}");

    assert_eq!(origin.connections_seen(), 1);
    origin.tell("the end");
}

#[actix_rt::test]
async fn an_endpoint_that_never_says_its_settings_is_no_connection() {
    let origin = Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await;
    let request = Outgoing { timeouts: Timeouts { connect: Some(SHORT), ..NO_LIMITS }, ..get("/") };

    let failed = error(exchange(&Own::new(), &endpoint(&origin), request).await);

    assert!(matches!((failed.phase, &failed.cause), (Phase::Handshake, Cause::Timeout(_))), "{failed:?}");
    assert!(!failed.request_started);
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn an_endpoint_that_speaks_http_1_1_is_told_by_name() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_some().await;
        conn.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        conn.wait_closed().await;
    });
    let (origin, outcome) = got(origin).await;

    let failed = error(outcome);
    assert!(matches!(failed.cause, Cause::Malformed("it does not speak HTTP/2")), "{failed:?}");
    assert_eq!((failed.phase, failed.request_started), (Phase::Handshake, false));
    origin.wait_for_closed(1).await;
}

// Floods.

#[actix_rt::test]
async fn an_endpoint_that_sends_too_much_of_nothing_is_not_listened_to() {
    for (name, flood) in [
        ("PING", frames::frame(PING, 0, 0, [0; 8])),
        ("SETTINGS", frames::frame(SETTINGS, 0, 0, b"")),
        ("WINDOW_UPDATE", frames::window_update(0, 1)),
        ("interim heads", frames::answer(1, 0, "103")),
        ("empty DATA", frames::frame(frames::DATA, 0, 1, b"")),
        ("a frame nobody knows", frames::frame(0xbe, 0, 0, b"")),
    ] {
        let flood = flood.repeat(200);
        let origin = h2_origin::frames(&[], move |mut frames, mut conn, _| {
            let flood = flood.clone();
            async move {
                frames.next_of(frames::HEADERS).await;
                if flood[3] == frames::DATA {
                    frames.send(frames::answer(1, 0, "200")).await;
                }
                for _ in 0..1000 {
                    if !frames.try_send(&flood).await {
                        break;
                    }
                }
                frames.wait_closed().await;
                conn.note_ended();
            }
        });
        let origin = origin.start().await;

        let outcome = exchange(&Own::new(), &endpoint(&origin), get("/")).await;

        let failed = outcome.map_or(true, |answer| answer.end.is_err());
        assert!(failed, "{name}");
        origin.wait_for_closed(1).await;
    }
}

#[actix_rt::test]
async fn an_endpoint_may_not_push() {
    let origin = h2_origin::frames(&[], |mut frames, mut conn, _| async move {
        frames.next_of(frames::HEADERS).await;
        let promise = [&2u32.to_be_bytes()[..], &frames::block(&frames::request("GET", "/pushed"))].concat();
        frames.send(frames::frame(frames::PUSH_PROMISE, END_HEADERS, 1, promise)).await;
        frames.wait_closed().await;
        conn.note_ended();
    });
    let (origin, outcome) = got(origin).await;

    error(outcome);
    origin.wait_for_closed(1).await;
}

// The last word.

#[actix_rt::test]
async fn an_answer_whose_end_is_said_apart_is_not_reset() {
    for (method, sent) in [(Method::GET, &b"hello"[..]), (Method::HEAD, b"")] {
        let origin = h2_origin::frames(&[], move |mut frames, conn, _| async move {
            let stream = frames.next_of(frames::HEADERS).await.stream;
            let head = frames::headers(stream, 0, &[(":status", "200"), ("content-length", "5")]);
            let content = frames::frame(frames::DATA, 0, stream, sent);
            frames.send([head, content].concat()).await;
            conn.wait_for("it was read").await;
            frames.send(frames::frame(frames::DATA, END_STREAM, stream, b"")).await;
            loop {
                let frame = frames.next().await.expect("the next request");
                assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
                if frame.kind == frames::HEADERS {
                    frames.send(frames::answer(frame.stream, END_STREAM, "204")).await;
                    return frames.wait_closed().await;
                }
            }
        });
        let origin = origin.start().await;
        let (transport, endpoint) = (Own::new(), endpoint(&origin));

        let open = exchange::send(&transport, &endpoint, &mut request(method, "/")).await.expect("an answer");
        if !sent.is_empty() {
            // Whoever knows the length asks no more once he has all of it.
            let mut open = open;
            assert!(matches!(open.frame().await, Some(Ok(Frame::Data(bytes))) if bytes == sent));
        }
        origin.tell("it was read");

        assert_eq!(told(&exchange(&transport, &endpoint, get("/")).await), r#"204 """#);
    }
}

#[actix_rt::test]
async fn trailers_behind_a_known_length_reach_who_reads_to_the_end() {
    let (_origin, outcome) = got(answering(|mut call| async move {
        let mut stream = call.begin(200, &[("content-length", "5")]);
        stream.send_data(Bytes::from_static(b"hello"), false).expect("it takes content");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "42".parse().expect("a value"));
        stream.send_trailers(trailers).expect("it takes trailers");
    }))
    .await;

    let answer = outcome.expect("an answer");
    assert_eq!(answer.told(), r#"200 "hello""#);
    assert_eq!(answer.trailers.expect("trailers").get("x-sum").expect("it is kept"), "42");
}

#[actix_rt::test]
async fn what_came_with_the_head_is_the_whole_answer_if_it_is_all_of_it() {
    let origin = h2_origin::frames(&[], |mut frames, _, _| async move {
        let stream = frames.next_of(frames::HEADERS).await.stream;
        let head = frames::headers(stream, 0, &[(":status", "200"), ("content-length", "5")]);
        frames.send([head, frames::frame(frames::DATA, END_STREAM, stream, "hello")].concat()).await;
        frames.wait_closed().await;
    });
    let origin = origin.start().await;

    let open = exchange::send(&Own::new(), &endpoint(&origin), &mut get("/")).await.expect("an answer");

    assert!(matches!(&open.body, ResponseBody::Bytes(bytes) if bytes == "hello"), "{:?}", open.body);
}
