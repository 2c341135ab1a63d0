//! What the public tests of caches do not ask (tests/cache-suite): fields for caches of one kind, groups, interim answers and
//! trailers.

use super::support::{
    client::Response,
    origin::{Origin, Script},
    proxy::TestProxy,
};

async fn caching(origin: &Origin) -> TestProxy {
    TestProxy::with(&format!("[routes]\n\"/\" = {{ to = {:?}, cache = true }}\n", origin.url())).start().await
}

/// Answers with these lines of fields.
fn answering(fields: &str) -> Script {
    Origin::replying(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok"))
}

async fn ask(proxy: &TestProxy, line: &str, fields: &str) -> Response {
    proxy.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")).await
}

#[actix_rt::test]
async fn a_field_for_caches_of_our_kind_counts_before_those_for_all() {
    for (fields, is_stored) in [
        ("CDN-Cache-Control: max-age=3600\r\nCache-Control: no-store\r\n", true),
        ("CDN-Cache-Control: max-age=3600\r\nExpires: Thu, 01 Jan 1970 00:00:00 GMT\r\n", true),
        ("CDN-Cache-Control: foobar, max-age=99999999999\r\n", true),
        ("CDN-Cache-Control: no-store\r\nCache-Control: max-age=3600\r\n", false),
        ("CDN-Cache-Control: private\r\nCache-Control: max-age=3600\r\n", false),
        ("CDN-Cache-Control: no-cache\r\nCache-Control: max-age=3600\r\n", false),
        ("CDN-Cache-Control: max-age=0\r\nExpires: Thu, 18 Aug 2050 02:01:18 GMT\r\n", false),
        ("CDN-Cache-Control: max-age=3600\r\nAge: 7200\r\n", false),
        ("Aqueduct-Cache-Control: max-age=3600\r\nCDN-Cache-Control: no-store\r\n", true),
        ("Aqueduct-Cache-Control: no-store\r\nCDN-Cache-Control: max-age=3600\r\n", false),
    ] {
        let origin = answering(fields).start().await;
        let proxy = caching(&origin).await;

        ask(&proxy, "GET /", "").await;
        let second = ask(&proxy, "GET /", "").await;

        assert_eq!(origin.requests_seen(), if is_stored { 1 } else { 2 }, "{fields:?}");
        assert_eq!((second.status, second.text().as_str()), (200, "ok"), "{fields:?}");
    }
}

#[actix_rt::test]
async fn a_field_that_is_no_structured_field_counts_for_nothing() {
    for field in [
        "CDN-Cache-Control: max-age=10000, &&&&&",
        "CDN-Cache-Control: max-age=\"10000\"",
        "CDN-Cache-Control: max-age =10000",
        "CDN-Cache-Control: MaX-aGe=10000",
        "CDN-Cache-Control:",
    ] {
        let unreadable = answering(&format!("{field}\r\nCache-Control: no-store\r\n")).start().await;
        let proxy = caching(&unreadable).await;

        ask(&proxy, "GET /", "").await;
        ask(&proxy, "GET /", "").await;

        assert_eq!(unreadable.requests_seen(), 2, "{field:?}");
    }
}

#[actix_rt::test]
async fn what_changes_a_group_makes_the_whole_group_be_asked_for_again() {
    let origin = Origin::serving(|head, _| {
        let fields = match head.split(' ').next() {
            Some("POST") => "Cache-Group-Invalidation: \"prices\"\r\n",
            _ if head.starts_with("GET /other") => "Cache-Control: max-age=3600\r\nCache-Groups: \"texts\"\r\n",
            _ => "Cache-Control: max-age=3600\r\nCache-Groups: \"texts\", \"prices\"\r\n",
        };
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok").into()
    });
    let origin = origin.start().await;
    let proxy = caching(&origin).await;
    for path in ["/first", "/second", "/other"] {
        ask(&proxy, &format!("GET {path}"), "").await;
    }

    ask(&proxy, "POST /orders", "Content-Length: 0\r\n").await;
    for path in ["/first", "/second", "/other"] {
        ask(&proxy, &format!("GET {path}"), "").await;
    }

    let asked: Vec<_> = origin.requests().iter().map(|head| head.split(' ').nth(1).unwrap_or("").to_owned()).collect();
    assert_eq!(asked, ["/first", "/second", "/other", "/orders", "/first", "/second"]);
}

#[actix_rt::test]
async fn hints_pass_before_the_answer_that_is_stored_and_are_not_stored_with_it() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await;
        conn.wait_for("hints were seen").await;
        conn.write("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .start()
    .await;
    let proxy = caching(&origin).await;
    let mut client = proxy.connect().await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let hints = client.read_head().await;
    origin.tell("hints were seen");
    let first = client.read_response().await;
    let second = ask(&proxy, "GET /", "").await;

    assert!(hints.starts_with("HTTP/1.1 103 "), "{hints}");
    assert_eq!(first.text(), "ok");
    assert_eq!((second.text().as_str(), second.interim.len(), second.header("link")), ("ok", 0, None));
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn trailers_end_the_answer_that_is_stored_and_never_become_its_fields() {
    let origin = Origin::replying(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 1\r\nCache-Control: no-store\r\nSet-Cookie: a=b\r\n\r\n",
    );
    let origin = origin.start().await;
    let proxy = caching(&origin).await;
    let wanted = "TE: trailers\r\n";

    let first = ask(&proxy, "GET /", wanted).await;
    let second = ask(&proxy, "GET /", wanted).await;

    assert_eq!(first.trailer("x-sum"), Some("1"));
    for answer in [&first, &second] {
        assert!(answer.complete, "{answer:?}");
        assert_eq!(answer.text(), "ok");
        assert_eq!((answer.header("x-sum"), answer.header("set-cookie")), (None, None));
    }
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn fields_that_are_for_one_client_reach_him_and_nobody_else() {
    for fields in [
        "Cache-Control: max-age=3600, no-cache=\"x-user\"\r\nX-User: ann\r\n",
        "Cache-Control: max-age=3600, private=\"x-user\"\r\nX-User: ann\r\n",
        "Cache-Control: max-age=3600, public\r\nSet-Cookie: x-user=ann\r\n",
    ] {
        let origin = answering(fields).start().await;
        let proxy = caching(&origin).await;

        let first = ask(&proxy, "GET /", "").await;
        let second = ask(&proxy, "GET /", "").await;

        assert_eq!(origin.requests_seen(), 1, "{fields:?}");
        assert!(first.head.contains("ann"), "{first:?}");
        assert!(!second.head.contains("ann"), "{second:?}");
    }
}
