//! Answers to QUERY are kept: what it asks with is part of what it asks for.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::{
    client::Response,
    origin::{Origin, Script},
    proxy::TestProxy,
};

/// Answers for a minute with its number, and the body that it was asked with.
fn answering() -> Script {
    let count = AtomicUsize::new(1);
    Origin::serving(move |head, body| {
        let method = head.split(' ').next().unwrap_or_default();
        let body = String::from_utf8_lossy(body);
        let number = count.fetch_add(1, Ordering::Relaxed);
        let text = format!("{number} {method} {} {}", body.len(), body.chars().take(20).collect::<String>());
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n{text}", text.len())
            .into_bytes()
    })
}

async fn proxy(origin: &Origin, cache: &str) -> TestProxy {
    TestProxy::with(&format!("[routes]\n\"/\" = {{ to = {:?}, cache = {cache} }}\n", origin.url())).start().await
}

async fn query(proxy: &TestProxy, kind: &str, body: &str) -> Response {
    send(proxy, "QUERY", &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()), body).await
}

async fn send(proxy: &TestProxy, method: &str, fields: &str, body: &str) -> Response {
    proxy.send(format!("{method} /a HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n{body}")).await
}

fn said(answer: &Response) -> &str {
    answer.header("cache-status").expect("it says what was done")
}

#[actix_rt::test]
async fn the_same_question_is_asked_once_and_another_one_is_another() {
    let origin = answering().start().await;
    let proxy = proxy(&origin, "true").await;

    for (kind, body, expected, is_hit) in [
        ("a/b", "one", "1 QUERY 3 one", false),
        ("a/b", "one", "1 QUERY 3 one", true),
        ("a/b", "two", "2 QUERY 3 two", false),
        ("a/c", "one", "3 QUERY 3 one", false),
        ("a/b", "", "4 QUERY 0 ", false),
        ("a/b", "one", "1 QUERY 3 one", true),
        ("a/b", "", "4 QUERY 0 ", true),
    ] {
        let answer = query(&proxy, kind, body).await;
        assert_eq!((answer.text().as_str(), said(&answer).contains("; hit")), (expected, is_hit), "{kind} {body}");
    }
    assert_eq!(send(&proxy, "GET", "", "").await.text(), "5 GET 0 ", "it is no GET");
    let chunked = send(&proxy, "QUERY", "Content-Type: a/b\r\nTransfer-Encoding: chunked\r\n", "3\r\none\r\n0\r\n\r\n");
    assert_eq!(chunked.await.text(), "1 QUERY 3 one", "however it is framed");
    let with_trailers = "5\r\nthree\r\n0\r\nX-Sum: 1\r\n\r\n";
    let answer = send(&proxy, "QUERY", "Content-Type: a/b\r\nTransfer-Encoding: chunked\r\n", with_trailers).await;
    assert_eq!(answer.text(), "6 QUERY 5 three");
    assert!(
        origin.request(5).to_ascii_lowercase().contains("content-length: 5\r\n"),
        "no key has what is behind a body"
    );
}

#[actix_rt::test]
async fn what_is_too_long_to_be_part_of_a_key_passes_by_whole() {
    let long = "0123456789".repeat(10);
    let chunked =
        |body: &str| format!("{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n", 20, &body[..20], body.len() - 20, &body[20..]);
    for (fields, body) in [
        ("Content-Length: 100\r\n".to_owned(), long.clone()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{}\r\n", chunked(&long))),
    ] {
        let origin = answering().start().await;
        let proxy = proxy(&origin, "{ max_query = \"99B\" }").await;

        for number in 1..=2 {
            let answer = send(&proxy, "QUERY", &fields, &body).await;

            assert_eq!(answer.text(), format!("{number} QUERY 100 01234567890123456789"), "{fields}");
            assert_eq!(said(&answer), "aqueduct; fwd=bypass");
        }
    }
}

#[actix_rt::test]
async fn where_settings_say_no_it_is_a_method_like_others() {
    let origin = answering().start().await;
    let proxy = proxy(&origin, "{ max_query = \"0B\" }").await;

    for number in 1..=2 {
        let answer = query(&proxy, "a/b", "one").await;
        assert_eq!((answer.text(), said(&answer)), (format!("{number} QUERY 3 one"), "aqueduct; fwd=method"));
    }
}

#[actix_rt::test]
async fn what_is_old_is_asked_about_with_the_same_question() {
    let count = AtomicUsize::new(0);
    let origin = Origin::serving(move |head, body| {
        assert_eq!(body, b"one", "{head}");
        let text = match count.fetch_add(1, Ordering::Relaxed) {
            0 => "Cache-Control: max-age=0\r\nETag: \"a\"\r\nContent-Length: 3\r\n\r\nold",
            1 if head.contains("if-none-match: \"a\"") => {
                return b"HTTP/1.1 304 X\r\nCache-Control: max-age=0, stale-while-revalidate=60\r\nETag: \"a\"\r\n\r\n"
                    .to_vec();
            }
            _ => "Cache-Control: max-age=60\r\nETag: \"b\"\r\nContent-Length: 3\r\n\r\nnew",
        };
        format!("HTTP/1.1 200 OK\r\n{text}").into_bytes()
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;

    let answers = [query(&proxy, "a/b", "one").await, query(&proxy, "a/b", "one").await];
    assert_eq!(answers.map(|answer| answer.text()), ["old", "old"]);
    // The next one is answered with what is old, and asks meanwhile.
    while query(&proxy, "a/b", "one").await.text() != "new" {}

    assert_eq!(origin.requests_seen(), 3);
}

#[actix_rt::test]
async fn what_changes_a_url_makes_the_answers_to_its_questions_old() {
    let origin = answering().start().await;
    let proxy = proxy(&origin, "true").await;
    assert_eq!(query(&proxy, "a/b", "one").await.text(), "1 QUERY 3 one");

    send(&proxy, "DELETE", "", "").await;

    assert_eq!(query(&proxy, "a/b", "one").await.text(), "3 QUERY 3 one");
}

#[actix_rt::test]
async fn of_many_who_ask_the_same_one_asks_the_endpoint() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_request().await;
        conn.wait_for("go on").await;
        conn.write("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nall").await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = proxy.connect().await;
        client.send("QUERY /a HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\none").await;
        clients.push(client);
    }
    origin.wait_for_requests(1).await;

    origin.tell("go on");

    for client in &mut clients {
        assert_eq!(client.read_response().await.text(), "all");
    }
    assert_eq!(origin.requests_seen(), 1);
}
