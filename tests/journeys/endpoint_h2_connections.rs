//! Connections of HTTP/2 to endpoints: how many there are, who shares them, and how they end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aqueduct::{
    settings::{
        Time,
        upstream::{EndpointHttp2, EndpointTls, PoolSettings, Protocol},
    },
    transport::{
        Cause, Outgoing, Phase, Timeouts, TransportError,
        address::Speech,
        own::Own,
        tls::client::{ClientTls, Profile},
    },
    upstream::endpoint::Endpoint,
};
use futures_util::future::{join, join_all};
use h2::server;

use crate::support::{
    client::refusing,
    exchange::{Answer, SHORT, endpoint_at, exchange, get, pass, send, told},
    frames::{self, ACK, END_STREAM, HTTP_1_1_REQUIRED, INTERNAL_ERROR, NO_ERROR, PING, REFUSED_STREAM},
    h2_origin::{
        self, Call, answering, answering_with, endpoint, endpoint_of, saying, secured, upstream, upstream_over_tls,
    },
    origin::{Origin, Script},
    proxy::TestProxy,
    tls::Authority,
    wire::patiently,
};

async fn asked(transport: &Own, endpoint: &Endpoint, target: &str) -> Answer {
    exchange(transport, endpoint, get(target)).await.unwrap_or_else(|error| panic!("{target}: {error:?}"))
}

fn error(outcome: Result<Answer, TransportError>) -> TransportError {
    outcome.map(|answer| answer.told()).expect_err("no answer")
}

/// Answers once that many requests have come, all of them together.
fn together(count: usize) -> Script {
    together_with(server::Builder::new(), count)
}

fn together_with(builder: server::Builder, count: usize) -> Script {
    let come = Arc::new(AtomicUsize::new(0));
    answering_with(builder, move |mut call: Call| {
        let come = Arc::clone(&come);
        async move {
            if (come.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(count) {
                call.tell("all are there");
            }
            call.wait_for("all are there").await;
            call.reply(200, "hello");
        }
    })
}

fn allowing(streams: u32) -> server::Builder {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(streams);
    builder
}

// How many.

#[actix_rt::test]
async fn many_requests_at_once_share_one_connection() {
    let origin = together(60).start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));

    let answers = join_all((0..60).map(|_| asked(&transport, &endpoint, "/"))).await;

    assert!(answers.iter().all(|answer| answer.text() == "hello"));
    assert_eq!((origin.requests_seen(), origin.connections_seen()), (60, 1));
    assert!(asked(&transport, &endpoint, "/").await.reused);
}

#[actix_rt::test]
async fn no_more_streams_are_opened_than_the_endpoint_allows() {
    let origin = together_with(allowing(2), 6).start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));

    join_all((0..6).map(|_| asked(&transport, &endpoint, "/"))).await;

    assert_eq!((origin.requests_seen(), origin.connections_seen()), (6, 3));
}

#[actix_rt::test]
async fn no_more_streams_are_opened_than_settings_allow() {
    let origin = together(6).start().await;
    let h2 = EndpointHttp2 { max_streams: 3, ..EndpointHttp2::default() };
    let (transport, endpoint) = (Own::new(), endpoint_of(&origin, &PoolSettings::default(), &h2));

    join_all((0..6).map(|_| asked(&transport, &endpoint, "/"))).await;

    assert_eq!((origin.requests_seen(), origin.connections_seen()), (6, 2));
}

#[actix_rt::test]
async fn who_finds_no_room_waits_for_a_turn() {
    let origin = answering_with(allowing(1), |mut call: Call| async move {
        call.tell(&format!("got {}", call.path()));
        call.wait_for(call.path()).await;
        call.reply(200, "hello");
    });
    let origin = origin.start().await;
    let pool = PoolSettings { max_total: 1, max_queue: 1, ..PoolSettings::default() };
    let (transport, endpoint) = (Own::new(), endpoint_of(&origin, &pool, &EndpointHttp2::default()));
    let impatient = |target| Outgoing {
        timeouts: Timeouts { connect: Some(SHORT), first_byte: None, idle: None, total: None },
        ..get(target)
    };

    let first = asked(&transport, &endpoint, "/first");
    let others = async {
        origin.wait_for("got /first").await;
        let late = error(exchange(&transport, &endpoint, impatient("/late")).await);
        let turns = async {
            let full = error(exchange(&transport, &endpoint, get("/full")).await);
            origin.tell("/first");
            origin.wait_for("got /second").await;
            origin.tell("/second");
            full
        };
        let (second, full) = join(asked(&transport, &endpoint, "/second"), turns).await;
        (late, second, full)
    };
    let (first, (late, second, full)) = join(first, others).await;

    assert!(matches!((late.phase, late.cause), (Phase::Queue, Cause::Timeout(_))));
    assert!(matches!((full.phase, full.cause), (Phase::Queue, Cause::Full)));
    assert_eq!((first.text().as_str(), second.text().as_str()), ("hello", "hello"));
    assert!(second.reused);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn whoever_waits_for_a_connection_that_cannot_be_made_is_told_why() {
    let endpoint = endpoint_at(refusing(), &PoolSettings::default());
    let endpoint = endpoint.speaking(Protocol::H2c, &EndpointHttp2::default());
    let transport = Own::new();

    let outcomes = join_all((0..5).map(|_| exchange(&transport, &endpoint, get("/")))).await;

    for outcome in outcomes {
        let failed = error(outcome);
        assert!(matches!(&failed.cause, Cause::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused));
        assert_eq!((failed.phase, failed.request_started), (Phase::Connect, false));
    }
}

#[actix_rt::test]
async fn who_leaves_while_he_connects_for_others_leaves_them_to_it() {
    let origin = Origin::script(|mut conn, number| async move {
        if number == 0 {
            // It never says its settings.
            return conn.wait_closed().await;
        }
        let mut frames = frames::Frames::over(conn.take_socket());
        frames.welcome(&[]).await;
        let stream = frames.next_of(frames::HEADERS).await.stream;
        frames.send(frames::answer(stream, END_STREAM, "204")).await;
        frames.wait_closed().await;
    });
    let origin = origin.start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));

    let leaves = async {
        let mut request = get("/");
        let dialing = send(&transport, &endpoint, &mut request);
        tokio::select! {
            _ = dialing => panic!("there are no settings"),
            () = origin.wait_for_connections(1) => {}
        }
    };
    let ((), other) = join(leaves, exchange(&transport, &endpoint, get("/"))).await;

    assert_eq!(told(&other), r#"204 """#);
    assert_eq!(origin.connections_seen(), 2);
}

// How they end.

#[actix_rt::test]
async fn a_connection_that_was_idle_or_lived_for_too_long_is_not_used() {
    let short = Time(Some(Duration::from_millis(50)));
    for pool in [
        PoolSettings { idle: short, ..PoolSettings::default() },
        PoolSettings { lifetime: short, ..PoolSettings::default() },
    ] {
        let origin = saying("hello").start().await;
        let (transport, endpoint) = (Own::new(), endpoint_of(&origin, &pool, &EndpointHttp2::default()));

        asked(&transport, &endpoint, "/").await;
        pass(Duration::from_millis(200)).await;
        let second = asked(&transport, &endpoint, "/").await;

        assert!(!second.reused);
        origin.wait_for_closed(1).await;
    }
}

#[actix_rt::test]
async fn none_is_kept_where_settings_keep_none() {
    let origin = saying("hello").start().await;
    let pool = PoolSettings { max_idle: 0, ..PoolSettings::default() };
    let (transport, endpoint) = (Own::new(), endpoint_of(&origin, &pool, &EndpointHttp2::default()));

    asked(&transport, &endpoint, "/").await;

    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn who_ends_closes_what_was_kept() {
    let origin = saying("hello").start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));
    asked(&transport, &endpoint, "/").await;
    assert_eq!(origin.connections_open(), 1);

    drop(transport);

    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_worker_gives_up_an_idle_connection_that_another_one_waits_for() {
    let origin = saying("hello").start().await;
    let pool = PoolSettings { max_total: 1, ..PoolSettings::default() };
    let endpoint = endpoint_of(&origin, &pool, &EndpointHttp2::default());
    let (one, other) = (Own::new(), Own::new());

    asked(&one, &endpoint, "/").await;
    let second = asked(&other, &endpoint, "/").await;

    assert!(!second.reused);
    assert_eq!(origin.connections_seen(), 2);
}

#[actix_rt::test]
async fn a_worker_that_is_busy_gives_its_connection_up_when_another_one_waits() {
    let origin = answering(|mut call: Call| async move {
        call.tell(&format!("got {}", call.path()));
        call.wait_for(call.path()).await;
        call.reply(200, "hello");
    });
    let origin = origin.start().await;
    let pool = PoolSettings { max_total: 1, ..PoolSettings::default() };
    let endpoint = endpoint_of(&origin, &pool, &EndpointHttp2::default());
    let (one, other) = (Own::new(), Own::new());

    let queued = async |count| {
        while endpoint.target.pool.queued.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    };
    origin.tell("/third");
    origin.tell("/waits");

    let first = async {
        asked(&one, &endpoint, "/first").await;
        asked(&one, &endpoint, "/third").await
    };
    let waits = async {
        origin.wait_for("got /second").await;
        asked(&other, &endpoint, "/waits").await
    };
    let in_turn = async {
        queued(1).await;
        origin.tell("/first");
        // What was begun on the connection is carried to its end, and nothing new is begun.
        queued(2).await;
        origin.tell("/second");
    };
    let all = join(join(first, asked(&one, &endpoint, "/second")), join(waits, in_turn));
    let ((third, second), (waited, ())) = patiently("all of them", all).await;

    for answer in [third, second, waited] {
        assert_eq!((answer.text().as_str(), answer.reused), ("hello", false));
    }
    assert_eq!(origin.connections_seen(), 3);
}

#[actix_rt::test]
async fn a_connection_goes_with_its_endpoint() {
    let (old, new) = (saying("old").start().await, saying("new").start().await);
    let proxy = TestProxy::with(&upstream(&old)).start().await;
    assert_eq!(proxy.get("/").await.text(), "old");

    let mut settings = proxy.proxy.plan().settings.clone();
    settings.upstreams["app"].servers = vec![new.url().into()];
    proxy.proxy.reload(settings).expect("it is good");

    assert_eq!(proxy.get("/").await.text(), "new");
    old.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_connection_that_the_endpoint_closes_between_two_requests_is_not_missed() {
    let origin = answering(|mut call: Call| async move { call.reply(200, "hello") });
    let closing = h2_origin::frames(&[], |mut frames, _, _| async move {
        let stream = frames.next_of(frames::HEADERS).await.stream;
        frames.send(frames::answer(stream, END_STREAM, "204")).await;
    });
    drop(origin);
    let origin = closing.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;

    for _ in 0..5 {
        assert_eq!(
            proxy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.status,
            204
        );
    }
}

/// Says on its first connection that it has looked at nothing; later ones answer. How it says so is up to `say`.
fn refusing_first(say: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Script {
    h2_origin::frames(&[], move |mut frames, conn, number| {
        let say = say(1);
        async move {
            loop {
                let Some(frame) = frames.next().await else { return };
                if frame.kind != frames::HEADERS {
                    continue;
                }
                conn.tell(&format!("asked on {number}"));
                if number == 0 {
                    frames.send(&say).await;
                } else {
                    frames.send(frames::answer(frame.stream, END_STREAM, "204")).await;
                }
            }
        }
    })
}

#[actix_rt::test]
async fn what_an_endpoint_has_not_looked_at_is_sent_again_whatever_the_method() {
    for (name, said) in [
        ("REFUSED_STREAM", frames::reset(1, REFUSED_STREAM)),
        ("GOAWAY", frames::goaway(0, NO_ERROR)),
        ("GOAWAY for a reason", frames::goaway(0, INTERNAL_ERROR)),
    ] {
        let origin = refusing_first(move |_| said.clone()).start().await;
        let proxy = TestProxy::with(&upstream(&origin)).start().await;

        let answer = proxy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;

        assert_eq!(answer.status, 204, "{name}: {}", answer.text());
        assert_eq!(origin.connections_seen(), 2, "{name}");
    }
}

#[actix_rt::test]
async fn a_small_body_is_sent_again_as_often_as_connections_end_before_it_was_looked_at() {
    for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let origin = h2_origin::frames(&[], |mut frames, _, number| async move {
            let mut body = Vec::new();
            let stream = loop {
                let data = frames.next_of(frames::DATA).await;
                body.extend_from_slice(&data.payload);
                if data.ends_stream() {
                    break data.stream;
                }
            };
            if number < 3 {
                frames.send(frames::goaway(0, NO_ERROR)).await;
            } else {
                let content = frames::frame(frames::DATA, END_STREAM, stream, body);
                frames.send([frames::answer(stream, 0, "200"), content].concat()).await;
            }
            frames.wait_closed().await;
        });
        let origin = origin.start().await;
        let proxy = TestProxy::with(&upstream(&origin)).start().await;

        let answer = proxy.send(format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}")).await;

        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{framing}");
        assert_eq!(origin.connections_seen(), 4, "{framing}");
    }
}

#[actix_rt::test]
async fn a_body_that_is_gone_is_not_sent_again() {
    let origin = h2_origin::frames(&[], |mut frames, _, _| async move {
        let stream = loop {
            let data = frames.next_of(frames::DATA).await;
            if data.ends_stream() {
                break data.stream;
            }
        };
        frames.send(frames::reset(stream, REFUSED_STREAM)).await;
        frames.wait_closed().await;
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;

    let framing = format!("Transfer-Encoding: chunked\r\n\r\n5000\r\n{}\r\n0\r\n\r\n", ".".repeat(0x5000));
    let answer = proxy.send(format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}")).await;

    assert_eq!(answer.status, 502);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn a_request_that_an_endpoint_may_have_looked_at_is_not_sent_again() {
    let origin = h2_origin::frames(&[], |mut frames, _, _| async move {
        let stream = frames.next_of(frames::HEADERS).await.stream;
        frames.send(frames::answer(stream, END_STREAM, "204")).await;
        let stream = frames.next_of(frames::HEADERS).await.stream;
        frames.send(frames::reset(stream, INTERNAL_ERROR)).await;
        frames.wait_closed().await;
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;

    assert_eq!(proxy.get("/").await.status, 204);
    let answer = proxy.get("/").await;

    assert_eq!(answer.status, 502);
    assert!(answer.head.contains("connection_terminated"), "{}", answer.head);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn what_was_begun_before_an_endpoint_goes_is_carried_to_its_end() {
    let origin = h2_origin::frames(&[], |mut frames, conn, number| async move {
        let stream = frames.next_of(frames::HEADERS).await.stream;
        if number == 0 {
            frames.send(frames::answer(stream, 0, "200")).await;
            frames.send(frames::goaway(stream, NO_ERROR)).await;
            conn.wait_for("the other was answered").await;
            frames.send(frames::frame(frames::DATA, END_STREAM, stream, "hello")).await;
        } else {
            frames.send(frames::answer(stream, END_STREAM, "204")).await;
        }
        frames.wait_closed().await;
    });
    let origin = origin.start().await;
    let (transport, endpoint) = (Own::new(), endpoint(&origin));

    let mut first = get("/first");
    let open = send(&transport, &endpoint, &mut first).await.expect("a head");
    let second = loop {
        // Until what was said has been read.
        match exchange(&transport, &endpoint, get("/second")).await {
            Ok(second) => break second,
            Err(error) => assert!(matches!(error.cause, Cause::Refused), "{error:?}"),
        }
    };
    origin.tell("the other was answered");

    assert_eq!(second.told(), r#"204 """#);
    assert_eq!(open.read().await.expect("an answer").told(), r#"200 "hello""#);
}

// Whether anybody is there.

fn asking() -> EndpointHttp2 {
    let short = Time(Some(Duration::from_millis(50)));
    EndpointHttp2 { ping: short, ping_timeout: short, ..EndpointHttp2::default() }
}

#[actix_rt::test]
async fn a_silent_endpoint_that_answers_when_it_is_asked_is_waited_for() {
    let origin = h2_origin::frames(&[], |mut frames, _, _| async move {
        let stream = frames.next_of(frames::HEADERS).await.stream;
        for _ in 0..5 {
            let asked = frames.next_of(PING).await;
            frames.send(frames::frame(PING, ACK, 0, asked.payload)).await;
        }
        frames.send(frames::answer(stream, END_STREAM, "204")).await;
        frames.wait_closed().await;
    });
    let origin = origin.start().await;
    let endpoint = endpoint_of(&origin, &PoolSettings::default(), &asking());

    assert_eq!(asked(&Own::new(), &endpoint, "/").await.told(), r#"204 """#);
}

#[actix_rt::test]
async fn an_endpoint_that_does_not_answer_when_it_is_asked_is_given_up() {
    let origin = h2_origin::frames(&[], |mut frames, mut conn, number| async move {
        let stream = frames.next_of(frames::HEADERS).await.stream;
        if number > 0 {
            frames.send(frames::answer(stream, END_STREAM, "204")).await;
        }
        frames.wait_closed().await;
        conn.note_ended();
    });
    let origin = origin.start().await;
    let (transport, endpoint) = (Own::new(), endpoint_of(&origin, &PoolSettings::default(), &asking()));

    let failed = error(exchange(&transport, &endpoint, get("/")).await);
    let next = asked(&transport, &endpoint, "/").await;

    assert!(matches!(failed.cause, Cause::Stalled(limit) if limit == Duration::from_millis(50)), "{failed:?}");
    assert!(failed.request_started);
    origin.wait_for_closed(1).await;
    assert_eq!((next.told().as_str(), next.reused), (r#"204 """#, false));
}

#[actix_rt::test]
async fn nobody_is_asked_while_nothing_is_under_way() {
    let origin = h2_origin::frames(&[], |mut frames, _, _| async move {
        loop {
            match frames.next().await {
                Some(frame) if frame.kind == PING => panic!("it was asked"),
                Some(frame) if frame.kind == frames::HEADERS => {
                    frames.send(frames::answer(frame.stream, END_STREAM, "204")).await;
                }
                Some(_) => {}
                None => return,
            }
        }
    });
    let origin = origin.start().await;
    let (transport, endpoint) = (Own::new(), endpoint_of(&origin, &PoolSettings::default(), &asking()));

    asked(&transport, &endpoint, "/").await;
    pass(Duration::from_millis(300)).await;

    assert!(asked(&transport, &endpoint, "/").await.reused);
}

// What is chosen.

#[actix_rt::test]
async fn over_tls_an_endpoint_that_can_speaks_http_2() {
    let authority = Authority::new();
    for protocol in ["auto", "h2"] {
        let origin = secured(&authority, h2_origin::echo(), &["h2", "http/1.1"]).await;
        let proxy = TestProxy::with(&upstream_over_tls(&authority, &origin, protocol)).start().await;

        let answers = join_all((0..10).map(|_| proxy.get("/a"))).await;

        let text = answers[0].text();
        assert!(text.starts_with("GET https://"), "{protocol}: {text}");
        assert_eq!((origin.requests_seen(), origin.connections_seen()), (10, 1), "{protocol}");
    }
}

#[actix_rt::test]
async fn over_tls_an_endpoint_that_cannot_speaks_http_1_1_on_the_same_connection() {
    let authority = Authority::new();
    for protocols in [&["http/1.1"][..], &[]] {
        let origin = secured(&authority, Origin::answering("hello"), protocols).await;
        let proxy = TestProxy::with(&upstream_over_tls(&authority, &origin, "auto")).start().await;

        for _ in 0..3 {
            assert_eq!(proxy.get("/").await.text(), "hello");
        }

        assert_eq!((origin.requests_seen(), origin.connections_seen()), (3, 1), "{protocols:?}");
    }
}

#[actix_rt::test]
async fn what_was_chosen_is_not_asked_for_again() {
    let authority = Authority::new();
    let origin = secured(&authority, Origin::answering("hello"), &["http/1.1"]).await;
    let ca = EndpointTls { ca: Some(authority.path("ca.pem").into()), ..EndpointTls::default() };
    let tls = Arc::new(ClientTls::of(&ca).expect("it is good"));
    let profile = Profile::named(tls, "origin.example").expect("a name");
    let endpoint = endpoint_at(origin.address(), &PoolSettings::default()).over_tls(Arc::new(profile));
    assert_eq!(endpoint.target.speech(), Speech::Chosen);

    asked(&Own::new(), &endpoint, "/").await;

    assert_eq!(endpoint.target.speech(), Speech::Http1);
}

#[actix_rt::test]
async fn many_at_once_go_on_in_http_1_1_when_that_is_what_was_chosen() {
    let authority = Authority::new();
    let origin = secured(&authority, Origin::answering("hello"), &["http/1.1"]).await;
    let proxy = TestProxy::with(&upstream_over_tls(&authority, &origin, "auto")).start().await;

    let answers = join_all((0..10).map(|_| proxy.get("/"))).await;

    assert!(answers.iter().all(|answer| answer.text() == "hello"));
}

#[actix_rt::test]
async fn where_only_http_2_will_do_an_endpoint_that_does_not_choose_it_is_a_502_that_says_why() {
    let authority = Authority::new();
    for (protocols, token) in [(&[][..], "tls_protocol_error"), (&["http/1.1"], "tls_alert_received")] {
        let origin = secured(&authority, Origin::answering("hello"), protocols).await;
        let proxy = TestProxy::with(&upstream_over_tls(&authority, &origin, "h2")).start().await;

        let answer = proxy.get("/").await;

        assert_eq!(answer.status, 502);
        assert!(answer.head.contains(token), "{protocols:?}: {}", answer.head);
    }
}

#[actix_rt::test]
async fn http_1_1_is_all_that_is_offered_where_settings_say_so() {
    let authority = Authority::new();
    let origin = secured(&authority, Origin::answering("hello"), &["h2", "http/1.1"]).await;
    let proxy = TestProxy::with(&upstream_over_tls(&authority, &origin, "h1")).start().await;

    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[actix_rt::test]
async fn an_endpoint_that_wants_http_1_1_for_a_request_gets_it() {
    let authority = Authority::new();
    let script = Origin::script(|mut conn, _| async move {
        if conn.speaks_http2() {
            let mut frames = frames::Frames::over(conn.take_socket());
            frames.welcome(&[]).await;
            let stream = frames.next_of(frames::HEADERS).await.stream;
            frames.send(frames::reset(stream, HTTP_1_1_REQUIRED)).await;
            return frames.wait_closed().await;
        }
        while conn.next_request().await.is_some() {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
        }
    });
    let origin = secured(&authority, script, &["h2", "http/1.1"]).await;
    let proxy = TestProxy::with(&upstream_over_tls(&authority, &origin, "auto")).start().await;

    for _ in 0..3 {
        let answer = proxy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        assert_eq!(answer.text(), "hello");
    }
    assert_eq!(origin.connections_seen(), 2);
}
