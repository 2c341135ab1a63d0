//! So many requests of a client at once, and so many bytes of answers in so much time.

use std::time::{Duration, Instant};

use super::support::{
    client::Client,
    origin::{Origin, Script},
    proxy::TestProxy,
};

/// Begins an answer of ten bytes to each request, and ends it once the test says so.
pub fn slowly() -> Script {
    Origin::script(|mut conn, _| async move {
        while let Some(head) = conn.next_head().await {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234").await;
            let target = head.split(' ').nth(1).expect("a request has a target");
            conn.wait_for(target).await;
            conn.write("56789").await;
        }
    })
}

/// Asks on a connection of its own, and reads the head of what is answered.
async fn begun(proxy: &TestProxy, path: &str, key: &str) -> (Client, String) {
    let mut client = proxy.connect().await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n")).await;
    let head = client.read_head().await;
    (client, head)
}

async fn limited(origin: &Origin) -> TestProxy {
    let limit = "concurrency = { requests = 2, key = \"header:x-key\" }";
    TestProxy::with(&format!("[routes.\"/\"]\nto = \"{}\"\n{limit}\n", origin.url())).start().await
}

#[actix_rt::test]
async fn a_request_counts_until_the_last_byte_of_its_answer() {
    let origin = slowly().start().await;
    let proxy = limited(&origin).await;
    let (mut first, _) = begun(&proxy, "/first", "a").await;
    let (_second, _) = begun(&proxy, "/second", "a").await;

    let (_, third) = begun(&proxy, "/third", "a").await;
    let (_, of_another) = begun(&proxy, "/third", "b").await;
    origin.tell("/first");
    let body = first.read_exact(10).await;
    // On the same connection, so it comes behind the last byte.
    first.send("GET /fourth HTTP/1.1\r\nHost: a\r\nX-Key: a\r\n\r\n").await;
    let fourth = first.read_head().await;

    assert!(third.starts_with("HTTP/1.1 429 "), "{third}");
    assert!(third.contains("retry-after: 1\r\n"), "{third}");
    assert!(of_another.starts_with("HTTP/1.1 200 "), "{of_another}");
    assert_eq!(body, b"0123456789");
    assert!(fourth.starts_with("HTTP/1.1 200 "), "{fourth}");
}

#[actix_rt::test]
async fn a_client_that_leaves_makes_room() {
    let origin = slowly().start().await;
    let proxy = limited(&origin).await;
    let (first, _) = begun(&proxy, "/first", "a").await;
    let (_second, _) = begun(&proxy, "/second", "a").await;

    let (_, refused) = begun(&proxy, "/third", "a").await;
    first.reset();
    let mut next = refused.clone();
    while next.starts_with("HTTP/1.1 429 ") {
        next = begun(&proxy, "/third", "a").await.1;
    }

    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(next.starts_with("HTTP/1.1 200 "), "{next}");
}

#[actix_rt::test]
async fn a_tunnel_counts_until_it_ends() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let proxy = limited(&origin).await;
    let open = async || {
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        let head = client.read_head().await;
        (client, head)
    };
    let (first, head) = open().await;
    let (_second, _) = open().await;

    let (_, third) = open().await;
    first.reset();
    let mut next = open().await;
    while next.1.starts_with("HTTP/1.1 429 ") {
        next = open().await;
    }

    assert!(head.starts_with("HTTP/1.1 101 ") && next.1.starts_with("HTTP/1.1 101 "), "{head} {}", next.1);
    assert!(third.starts_with("HTTP/1.1 429 "), "{third}");
}

#[actix_rt::test]
async fn answers_go_out_at_their_keys_pace_and_those_of_others_at_theirs() {
    let origin = Origin::answering(&"x".repeat(60_000)).start().await;
    let limit = "bandwidth = { pace = \"100KB/s\", burst = \"20KB\", key = \"header:x-key\" }";
    let proxy = TestProxy::with(&format!("[routes.\"/\"]\nto = \"{}\"\n{limit}\n", origin.url())).start().await;
    let began = Instant::now();

    let (mut first, _) = begun(&proxy, "/", "a").await;
    let (mut second, _) = begun(&proxy, "/", "a").await;
    // The two of them have used up what goes out at once; another key has not.
    let (mut other, _) = begun(&proxy, "/", "b").await;
    other.read_exact(20_000).await;
    let took = began.elapsed();
    let both = futures_util::future::join(first.read_exact(60_000), second.read_exact(60_000)).await;

    assert_eq!((both.0.len(), both.1.len()), (60_000, 60_000));
    // 120,000 bytes together, less the burst and the last piece of each, which are not waited for.
    assert!(began.elapsed() >= Duration::from_millis(800), "{:?}", began.elapsed());
    assert!(took < began.elapsed(), "{took:?}");
}

#[actix_rt::test]
async fn a_dry_run_refuses_nobody_and_counts() {
    let origin = slowly().start().await;
    let limit = "concurrency = { requests = 1, key = \"header:x-key\", dry_run = true }";
    let text = format!("[routes.\"/\"]\nto = \"{}\"\n{limit}\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;

    let (_first, one) = begun(&proxy, "/first", "a").await;
    let (_second, two) = begun(&proxy, "/second", "a").await;
    let (_third, of_another) = begun(&proxy, "/third", "b").await;

    for head in [one, two, of_another] {
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    let events = proxy.proxy.plan().ledger.events();
    assert!(events.contains(&(("concurrency", "would_refuse"), 1)), "{events:?}");
}
