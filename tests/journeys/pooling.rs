//! Connections that are kept: which one is next, how long they last, how many there are, and who waits.

use std::time::Duration;

use aqueduct::{
    http::{BodyError, RequestBody},
    settings::{upstream::PoolSettings, values::Time},
    transport::{Cause, Phase, h1::H1},
    upstream::endpoint::Endpoint,
};
use bytes::Bytes;
use futures_util::future::{join, join_all};
use tokio::time::timeout;

use crate::support::{
    client::Client,
    exchange::{self, Answer, Fed, Pieces, SHORT, data, endpoint, endpoint_with, exchange, get, pass, put, told},
    origin::{Origin, Script},
    proxy::TestProxy,
    scripts::{self, HELLO},
};

/// Answers each request with the number of its connection, once the test says that request may be answered.
fn numbered() -> Script {
    Origin::script(|mut conn, number| async move {
        while let Some(head) = conn.next_head().await {
            let target = head.split(' ').nth(1).expect("a request has a target").to_owned();
            conn.tell(&format!("got {target}"));
            conn.wait_for(&target).await;
            conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}")).await;
        }
    })
}

async fn answered(transport: &H1, endpoint: &Endpoint, target: &str) -> Answer {
    exchange(transport, endpoint, get(target)).await.expect("an answer")
}

#[actix_rt::test]
async fn a_connection_is_used_again() {
    let origin = Origin::answering("hello").start().await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));

    for reused in [false, true, true] {
        assert_eq!(answered(&transport, &endpoint, "/").await.reused, reused);
    }

    assert_eq!((origin.connections_seen(), origin.requests_seen()), (1, 3));
}

#[actix_rt::test]
async fn a_connection_is_used_again_after_every_kind_of_answer_that_ends() {
    for reply in [
        HELLO,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nSum: 7\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let origin = Origin::replying(reply).start().await;
        let (transport, endpoint) = (H1::new(), endpoint(&origin));

        answered(&transport, &endpoint, "/").await;
        let second = answered(&transport, &endpoint, "/").await;

        assert!(second.reused, "after {reply:?}");
    }
}

#[actix_rt::test]
async fn a_connection_the_origin_wants_to_close_is_not_used_again() {
    for reply in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: X, Close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        // It says that it keeps it; that is not worth the doubt about how it means it.
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    ] {
        let origin = Origin::replying(reply).start().await;
        let (transport, endpoint) = (H1::new(), endpoint(&origin));

        answered(&transport, &endpoint, "/").await;
        origin.wait_for_closed(1).await;
        let second = answered(&transport, &endpoint, "/").await;

        assert!(!second.reused, "after {reply:?}");
    }
}

#[actix_rt::test]
async fn a_connection_is_used_again_after_an_upload() {
    let origin = Origin::answering("hello").start().await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));

    for (turn, body) in [
        RequestBody::buffered(Bytes::from_static(b"abc")),
        Pieces::new(3, 1000).sized(),
        Pieces::new(3, 1000).chunked(),
        RequestBody::empty(),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = exchange(&transport, &endpoint, put(body)).await.expect("an answer");
        assert_eq!((answer.told().as_str(), answer.reused), (r#"200 "hello""#, turn > 0));
    }
}

#[actix_rt::test]
async fn an_answer_before_the_end_of_its_request_ends_the_connection() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write(HELLO).await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));
    let (feed, body) = exchange::Fed::chunked();
    feed.send(data("a start")).expect("it is taken");

    let answer = exchange(&transport, &endpoint, put(body)).await.expect("an answer");

    assert_eq!(answer.told(), r#"200 "hello""#);
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn the_connection_used_last_is_used_next() {
    let origin = numbered().start().await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));
    let in_order = async {
        origin.wait_for("got /a").await;
        origin.wait_for("got /b").await;
        origin.tell("/a");
    };
    let first = async {
        let answer = answered(&transport, &endpoint, "/a").await;
        origin.tell("/b");
        answer
    };
    let ((first, second), ()) = join(join(first, answered(&transport, &endpoint, "/b")), in_order).await;
    assert_ne!(first.text(), second.text());

    for target in ["/c", "/d", "/e"] {
        origin.tell(target);
        assert_eq!(answered(&transport, &endpoint, target).await.text(), second.text());
    }
}

#[actix_rt::test]
async fn no_more_connections_are_kept_than_settings_say() {
    let origin = numbered().start().await;
    let endpoint = endpoint_with(&origin, &PoolSettings { max_idle: 1, ..PoolSettings::default() });
    let transport = H1::new();
    let all_there = async {
        for target in ["/a", "/b", "/c"] {
            origin.wait_for(&format!("got {target}")).await;
        }
        for target in ["/a", "/b", "/c"] {
            origin.tell(target);
        }
    };

    join(join_all(["/a", "/b", "/c"].map(|target| answered(&transport, &endpoint, target))), all_there).await;

    origin.wait_for_closed(2).await;
    assert_eq!(origin.connections_open(), 1);
}

#[actix_rt::test]
async fn a_connection_is_not_used_when_it_was_idle_for_too_long() {
    let origin = Origin::answering("hello").start().await;
    let idle = Time(Some(Duration::from_millis(50)));
    let endpoint = endpoint_with(&origin, &PoolSettings { idle, ..PoolSettings::default() });
    let transport = H1::new();

    answered(&transport, &endpoint, "/").await;
    pass(Duration::from_millis(200)).await;
    let second = answered(&transport, &endpoint, "/").await;

    assert!(!second.reused);
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn a_connection_is_not_used_when_it_is_too_old() {
    let origin = Origin::answering("hello").start().await;
    let lifetime = Time(Some(Duration::from_millis(50)));
    let endpoint = endpoint_with(&origin, &PoolSettings { lifetime, ..PoolSettings::default() });
    let transport = H1::new();

    answered(&transport, &endpoint, "/").await;
    pass(Duration::from_millis(200)).await;
    let second = answered(&transport, &endpoint, "/").await;

    assert!(!second.reused);
    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn who_ends_closes_what_was_kept() {
    let origin = Origin::answering("hello").start().await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));
    answered(&transport, &endpoint, "/").await;
    assert_eq!(origin.connections_open(), 1);

    drop(transport);

    origin.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn of_an_endpoint_that_is_gone_nothing_is_kept() {
    let origin = Origin::answering("hello").start().await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));
    answered(&transport, &endpoint, "/").await;
    let next_look = Duration::from_secs(5);

    drop(endpoint);

    timeout(next_look / 2, origin.wait_for_closed(1)).await.expect("at once");
}

#[actix_rt::test]
async fn endpoints_at_one_address_share_no_connections() {
    let origin = Origin::answering("hello").start().await;
    let transport = H1::new();

    for _ in 0..2 {
        assert!(!answered(&transport, &endpoint(&origin), "/").await.reused);
    }
}

// Connections the origin has left.

#[actix_rt::test]
async fn a_connection_the_origin_left_is_told_apart_from_a_failure() {
    let origin = scripts::leaves_at_the_second().start().await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));
    answered(&transport, &endpoint, "/").await;

    let error = exchange(&transport, &endpoint, get("/")).await.expect_err("it left");

    assert!(matches!(error.cause, Cause::Closed | Cause::Io(_)), "{error:?}");
    assert!(error.reused && error.request_started && !error.response_started && !error.body_consumed);
}

#[actix_rt::test]
async fn a_client_that_leaves_costs_no_connection_but_its_own() {
    let origin = numbered().start().await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));
    let two = join(answered(&transport, &endpoint, "/a"), answered(&transport, &endpoint, "/b"));
    let open = async {
        origin.wait_for("got /a").await;
        origin.wait_for("got /b").await;
        origin.tell("/a");
        origin.tell("/b");
    };
    join(two, open).await;
    let (feed, body) = Fed::chunked();
    feed.send(Err(BodyError::Incomplete)).expect("it is taken");

    let left = exchange(&transport, &endpoint, put(body)).await.expect_err("the client has left");
    origin.tell("/c");
    let next = answered(&transport, &endpoint, "/c").await;

    assert!(left.reused && next.reused);
    assert_eq!(origin.connections_seen(), 2);
}

#[actix_rt::test]
async fn a_connection_that_closed_while_it_was_idle_is_not_used() {
    let origin = Origin::script(|mut conn, number| async move {
        if number == 0 {
            return scripts::speaks_later(conn).await;
        }
        conn.read_head().await;
        conn.write(HELLO).await;
        conn.wait_for("the answer was read").await;
        conn.half_close().await;
        conn.tell("it has happened");
        conn.wait_closed().await;
    })
    .start()
    .await;
    let mut later = Client::connect(origin.address()).await;
    origin.wait_for_connections(1).await;
    let (transport, endpoint) = (H1::new(), endpoint(&origin));
    answered(&transport, &endpoint, "/").await;

    origin.tell("the answer was read");
    later.read_exact(1).await;

    assert!(!answered(&transport, &endpoint, "/").await.reused);
}

// The limit over all workers.

#[actix_rt::test]
async fn two_workers_share_one_limit_on_connections() {
    let origin = numbered().start().await;
    let endpoint = endpoint_with(&origin, &PoolSettings { max_total: 1, ..PoolSettings::default() });
    let (one, other) = (H1::new(), H1::new());
    let mut held = get("/held");
    origin.tell("/waiting");

    let holding = exchange::send(&one, &endpoint, &mut held);
    let waiting = async {
        origin.wait_for("got /held").await;
        let mut request = get("/waiting");
        request.timeouts.connect = Some(SHORT);
        exchange(&other, &endpoint, request).await
    };
    let (outcome, held) = {
        let waited = async {
            let outcome = waiting.await;
            origin.tell("/held");
            outcome
        };
        let (held, outcome) = join(holding, waited).await;
        (outcome, held)
    };

    assert_eq!(told(&outcome), "Queue: Timeout(100ms)");
    assert_eq!(held.expect("an answer").read().await.expect("an answer").text(), "0");
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn who_waits_gets_the_connection_that_becomes_free() {
    let origin = Origin::answering("hello").start().await;
    let endpoint = endpoint_with(&origin, &PoolSettings { max_total: 2, ..PoolSettings::default() });
    let transport = H1::new();

    let outcomes = join_all((0..20).map(|_| exchange(&transport, &endpoint, get("/")))).await;

    assert!(outcomes.iter().all(|outcome| told(outcome) == r#"200 "hello""#));
    assert!(origin.connections_open() <= 2, "{} are open", origin.connections_open());
}

#[actix_rt::test]
async fn an_idle_connection_is_given_up_when_another_worker_waits() {
    let origin = Origin::answering("hello").start().await;
    let endpoint = endpoint_with(&origin, &PoolSettings { max_total: 1, ..PoolSettings::default() });
    let (one, other) = (H1::new(), H1::new());
    let first = answered(&one, &endpoint, "/").await;
    assert_eq!(first.text(), "hello");

    assert_eq!(answered(&other, &endpoint, "/").await.text(), "hello");
    assert_eq!(origin.connections_seen(), 2);
}

#[actix_rt::test]
async fn a_queue_that_is_full_is_told_at_once() {
    let origin = numbered().start().await;
    let pool = PoolSettings { max_total: 1, max_queue: 0, ..PoolSettings::default() };
    let (endpoint, transport) = (endpoint_with(&origin, &pool), H1::new());
    let mut held = get("/held");

    let refused = async {
        origin.wait_for("got /held").await;
        let outcome = exchange(&transport, &endpoint, get("/refused")).await;
        origin.tell("/held");
        outcome
    };
    let (held, refused) = join(exchange::send(&transport, &endpoint, &mut held), refused).await;

    assert_eq!(told(&refused), "Queue: Full");
    assert!(held.is_ok());
}

#[actix_rt::test]
async fn who_gives_up_waiting_leaves_the_queue() {
    let origin = numbered().start().await;
    let pool = PoolSettings { max_total: 1, max_queue: 1, ..PoolSettings::default() };
    let (endpoint, transport) = (endpoint_with(&origin, &pool), H1::new());
    let mut held = get("/held");

    let impatient = async {
        origin.wait_for("got /held").await;
        for _ in 0..3 {
            let mut request = get("/");
            request.timeouts.connect = Some(SHORT);
            // Each finds the queue empty again.
            assert_eq!(told(&exchange(&transport, &endpoint, request).await), "Queue: Timeout(100ms)");
        }
        let mut request = get("/");
        request.timeouts.total = Some(SHORT);
        assert_eq!(told(&exchange(&transport, &endpoint, request).await), "Queue: Total(100ms)");
        origin.tell("/held");
    };
    let (held, ()) = join(exchange::send(&transport, &endpoint, &mut held), impatient).await;

    assert!(held.is_ok());
}

#[actix_rt::test]
async fn an_exchange_that_fails_gives_its_place_back() {
    let origin = Origin::script(|mut conn, _| async move { drop(conn.read_head().await) }).start().await;
    let endpoint = endpoint_with(&origin, &PoolSettings { max_total: 1, max_queue: 0, ..PoolSettings::default() });
    let transport = H1::new();

    for _ in 0..3 {
        let error = exchange(&transport, &endpoint, get("/")).await.expect_err("it leaves each time");
        assert_ne!(error.phase, Phase::Queue, "{error:?}");
    }
}

#[actix_rt::test]
async fn a_body_holds_its_place_until_it_is_read_or_dropped() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let endpoint = endpoint_with(&origin, &PoolSettings { max_total: 1, max_queue: 0, ..PoolSettings::default() });
    let transport = H1::new();

    let open = exchange::send(&transport, &endpoint, &mut get("/")).await.expect("a head");
    assert_eq!(told(&exchange(&transport, &endpoint, get("/")).await), "Queue: Full");
    drop(open);

    assert!(exchange::send(&transport, &endpoint, &mut get("/")).await.is_ok());
}

#[actix_rt::test]
async fn what_was_needed_at_once_is_kept() {
    const AT_ONCE: usize = 100;
    let origin = Origin::script(|mut conn, _| async move {
        for turn in ["first", "second"] {
            conn.read_head().await;
            conn.wait_for(turn).await;
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let origin = origin.start().await;
    let proxy = TestProxy::to(&origin).start().await;

    for (turn, requests) in [("first", AT_ONCE), ("second", 2 * AT_ONCE)] {
        let all = join_all((0..AT_ONCE).map(|_| proxy.get("/")));
        let release = async {
            origin.wait_for_requests(requests).await;
            origin.tell(turn);
        };
        let (answers, ()) = join(all, release).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }

    assert_eq!(origin.connections_seen(), AT_ONCE);
}
