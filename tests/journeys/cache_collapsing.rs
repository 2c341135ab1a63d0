//! Many ask for one thing at once, and one asks the endpoint.

use std::{future::Future, pin::Pin};

use futures_util::future::join_all;

use super::support::{
    client::{Client, Response},
    h2::{H2, request, whole},
    origin::{Conn, Origin, Script},
    proxy::TestProxy,
    wire::patiently,
};

async fn proxy(origin: &Origin, cache: &str) -> TestProxy {
    let text = format!("server.workers = 2\n[routes]\n\"/\" = {{ to = {:?}, cache = {cache} }}\n", origin.url());
    TestProxy::with(&text).start().await
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// So many clients that have asked, and been answered nothing.
async fn asking(proxy: &TestProxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = proxy.connect().await;
        client.send(ASK).await;
        clients.push(client);
    }
    clients
}

async fn answers(clients: &mut [Client]) -> Vec<Response> {
    join_all(clients.iter_mut().map(Client::read_response)).await
}

fn said(answer: &Response) -> &str {
    answer.header("cache-status").expect("it says what was done")
}

type Answering = Pin<Box<dyn Future<Output = ()>>>;

/// Answers each connection's first request once it is told to, as `answer` does.
fn held(answer: fn(Conn, usize) -> Answering) -> Script {
    Origin::script(move |mut conn, number| async move {
        conn.read_head().await;
        conn.wait_for("go on").await;
        answer(conn, number).await;
    })
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n";

/// The first half when it is told to go on, the second when it is told so.
fn in_two_parts() -> Script {
    held(|mut conn, _| {
        Box::pin(async move {
            conn.write(format!("{HEAD}01234")).await;
            conn.wait_for("the rest").await;
            conn.write("56789").await;
            conn.wait_closed().await;
        })
    })
}

#[actix_rt::test]
async fn of_a_thousand_clients_at_once_one_asks_the_endpoint() {
    let origin = held(|mut conn, _| {
        Box::pin(async move {
            conn.write(format!("{HEAD}0123456789")).await;
            conn.wait_closed().await;
        })
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let mut clients = asking(&proxy, 1_000).await;
    origin.wait_for_requests(1).await;

    origin.tell("go on");
    let answers = answers(&mut clients).await;

    assert!(answers.iter().all(|answer| answer.text() == "0123456789" && answer.complete));
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn who_waits_reads_what_has_come_while_the_endpoint_still_holds_the_rest() {
    let origin = in_two_parts().start().await;
    let proxy = proxy(&origin, "true").await;
    let mut clients = asking(&proxy, 20).await;
    origin.wait_for_requests(1).await;
    origin.tell("go on");
    for client in &mut clients {
        assert!(client.read_head().await.contains("cache-status: aqueduct; fwd=uri-miss"));
        assert_eq!(client.read_exact(5).await, b"01234");
    }

    // And so does who comes now.
    let mut late = asking(&proxy, 1).await.remove(0);
    assert!(late.read_head().await.contains("collapsed"));
    assert_eq!(late.read_exact(5).await, b"01234");
    origin.tell("the rest");

    for client in clients.iter_mut().chain([&mut late]) {
        assert_eq!(client.read_exact(5).await, b"56789");
    }
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn streams_of_one_connection_share_a_fetch_with_those_of_others_and_trailers_come_to_all() {
    let origin = held(|mut conn, _| {
        Box::pin(async move {
            let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
            conn.write(format!("{head}5\r\n01234\r\n0\r\nX-Sum: 5\r\n\r\n")).await;
            conn.wait_closed().await;
        })
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let mut connections = [H2::connect(proxy.address).await, H2::connect(proxy.address).await];
    let mut asked = Vec::new();
    for _ in 0..10 {
        for connection in &mut connections {
            asked.push(connection.begin(request("GET", "/"), true).await.0);
        }
    }
    origin.wait_for_requests(1).await;

    origin.tell("go on");
    let mut answers = join_all(asked.into_iter().map(whole)).await;
    answers.push(connections[0].get("/").await);

    for answer in &answers {
        assert_eq!((answer.status, answer.text(), answer.trailer("x-sum")), (200, "01234".into(), Some("5")));
    }
    assert!(answers.last().and_then(|last| last.header("cache-status")).is_some_and(|said| said.contains("hit")));
    assert_eq!(origin.requests_seen(), 1);
}

const LARGE: usize = 4 << 20;

#[actix_rt::test]
async fn a_slow_first_client_holds_up_nobody() {
    let origin = held(|mut conn, _| {
        Box::pin(async move {
            let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {LARGE}\r\n\r\n");
            conn.write(head).await;
            conn.write(vec![b'x'; LARGE]).await;
            conn.wait_closed().await;
        })
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    // It does not read.
    let mut slow = asking(&proxy, 1).await.remove(0);
    origin.wait_for_requests(1).await;
    let mut clients = asking(&proxy, 3).await;

    origin.tell("go on");
    let answers = answers(&mut clients).await;

    assert!(answers.iter().all(|answer| answer.body.len() == LARGE && answer.complete));
    assert_eq!(slow.read_response().await.body.len(), LARGE, "it gets all of it at its own pace");
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn where_the_first_client_leaves_before_the_head_another_asks() {
    let origin = held(|mut conn, _| {
        Box::pin(async move {
            let _ = conn.try_write(format!("{HEAD}0123456789")).await;
            conn.wait_closed().await;
        })
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let first = asking(&proxy, 1).await.remove(0);
    origin.wait_for_requests(1).await;
    let mut others = asking(&proxy, 5).await;

    first.reset();
    origin.wait_for_requests(2).await;
    origin.tell("go on");
    let answers = answers(&mut others).await;

    assert!(answers.iter().all(|answer| answer.text() == "0123456789"));
    assert_eq!(origin.requests_seen(), 2);
}

#[actix_rt::test]
async fn where_the_first_client_leaves_after_the_head_the_others_get_all_of_it() {
    let origin = in_two_parts().start().await;
    let proxy = proxy(&origin, "true").await;
    let mut first = asking(&proxy, 1).await.remove(0);
    origin.wait_for_requests(1).await;
    origin.tell("go on");
    first.read_head().await;
    let mut other = asking(&proxy, 1).await.remove(0);
    other.read_head().await;

    first.reset();
    origin.tell("the rest");

    assert_eq!(other.read_exact(10).await, b"0123456789");
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn what_breaks_off_is_whole_for_none_of_those_who_read_it() {
    let origin = held(|mut conn, number| {
        Box::pin(async move {
            if number == 0 {
                conn.write(format!("{HEAD}01234")).await;
                conn.wait_for("break off").await;
            } else {
                conn.write(format!("{HEAD}9876543210")).await;
                conn.wait_closed().await;
            }
        })
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let mut clients = asking(&proxy, 5).await;
    origin.wait_for_requests(1).await;
    origin.tell("go on");
    for client in &mut clients {
        client.read_head().await;
        client.read_exact(5).await;
    }

    origin.tell("break off");

    for client in &mut clients {
        assert!(client.read_to_end().await.is_empty());
    }
    assert_eq!(proxy.get("/").await.text(), "9876543210");
}

#[actix_rt::test]
async fn what_is_not_for_everybody_is_asked_for_by_each_at_the_same_time() {
    let origin = Origin::script(|mut conn, _| async move {
        while conn.next_head().await.is_some() {
            conn.wait_for("go on").await;
            conn.write("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 3\r\n\r\nown").await;
        }
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let mut first = asking(&proxy, 1).await.remove(0);
    origin.wait_for_requests(1).await;
    origin.tell("go on");
    assert_eq!(first.read_response().await.text(), "own");

    let mut clients = asking(&proxy, 20).await;
    let answers = answers(&mut clients).await;

    assert!(answers.iter().all(|answer| answer.text() == "own" && said(answer).contains("private")));
    assert_eq!(origin.requests_seen(), 21);
}

#[actix_rt::test]
async fn events_are_for_who_listens_and_are_told_to_nobody_again() {
    let origin = Origin::script(|mut conn, number| async move {
        conn.read_head().await;
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
        conn.write(format!("{head}9\r\ndata: {number}\n\n\r\n")).await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "{ default_ttl = \"1m\" }").await;

    for number in 0..2 {
        let mut client = asking(&proxy, 1).await.remove(0);
        assert!(client.read_head().await.contains("detail=\"event-stream\""));
        let (mut seen, expected) = (Vec::new(), format!("data: {number}\n\n"));
        while !String::from_utf8_lossy(&seen).contains(&expected) {
            let more = client.read_some().await;
            assert!(!more.is_empty(), "{}", String::from_utf8_lossy(&seen));
            seen.extend(more);
        }
    }
}

#[actix_rt::test]
async fn where_one_has_seen_the_endpoint_fail_the_others_get_what_stands_in_without_asking() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        let fields = "Cache-Control: max-age=0, stale-if-error=60\r\nETag: \"a\"\r\n";
        conn.write(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 3\r\n\r\nold")).await;
        conn.read_head().await;
        conn.wait_for("fail").await;
        conn.write("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n").await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let mut first = asking(&proxy, 1).await.remove(0);
    assert_eq!(first.read_response().await.text(), "old");
    let mut clients = vec![first];
    clients[0].send(ASK).await;
    origin.wait_for_requests(2).await;
    clients.extend(asking(&proxy, 10).await);

    origin.tell("fail");
    let answers = answers(&mut clients).await;

    assert!(answers.iter().all(|answer| answer.text() == "old" && said(answer).contains("stale-if-error")));
    assert_eq!(origin.requests_seen(), 2);
}

#[actix_rt::test]
async fn those_who_wait_for_what_turns_out_not_to_be_for_everybody_do_not_stand_in_line() {
    const WAITING: usize = 10;
    let origin = Origin::script(|mut conn, number| async move {
        let mut said = if number == 0 { "first" } else { "all" };
        while conn.next_head().await.is_some() {
            conn.wait_for(said).await;
            conn.write("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 3\r\n\r\nown").await;
            said = "all";
        }
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let mut first = asking(&proxy, 1).await;
    origin.wait_for_requests(1).await;
    let mut others = asking(&proxy, WAITING).await;
    origin.tell("first");
    answers(&mut first).await;

    // None of them is answered before all of them have asked.
    patiently("all to ask", origin.wait_for_requests(1 + WAITING)).await;
    origin.tell("all");

    assert!(answers(&mut others).await.iter().all(|answer| answer.text() == "own"));
}

#[actix_rt::test]
async fn what_turns_out_too_large_is_passed_on_and_forgotten() {
    for head in ["Transfer-Encoding: chunked".to_owned(), format!("Content-Length: {LARGE}")] {
        let is_chunked = head.starts_with('T');
        let origin = Origin::script(move |mut conn, _| {
            let head = head.clone();
            async move {
                while conn.next_head().await.is_some() {
                    let body = vec![b'x'; LARGE];
                    conn.write(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{head}\r\n\r\n")).await;
                    if is_chunked {
                        conn.write(format!("{LARGE:x}\r\n")).await;
                        conn.write(body).await;
                        conn.write("\r\n0\r\n\r\n").await;
                    } else {
                        conn.write(body).await;
                    }
                }
            }
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin, "{ max_object = \"64KiB\" }").await;

        for _ in 0..2 {
            let answer = proxy.get("/").await;
            assert!(answer.body.len() == LARGE && answer.complete, "{}", answer.body.len());
        }

        assert_eq!(origin.requests_seen(), 2);
    }
}
