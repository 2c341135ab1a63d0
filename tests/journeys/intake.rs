//! What never reaches an endpoint.

use super::support::{origin::Origin, proxy::TestProxy};

#[actix_rt::test]
async fn what_no_route_may_see_gets_its_4xx_and_reaches_no_endpoint() {
    let origin = Origin::answering("reached").start().await;
    let proxy = TestProxy::to(&origin).start().await;

    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", 400),
        ("GET /a/../../b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%5Cb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a?b=%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a?b=100% HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: tea\r\n\r\n", 417),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 400),
    ] {
        let response = proxy.send(request).await;
        assert_eq!(response.status, expected, "{request:?}: {}", response.text());
    }

    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn what_browsers_send_raw_goes_on_as_every_parser_reads_it() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;

    let response = proxy.get("/api/|^[]?a=[1]|%7c&b={2}").await;

    assert!(response.text().starts_with("GET /api/%7C%5E%5B%5D?a=%5B1%5D%7C%7c&b=%7B2%7D "), "{}", response.text());
}

#[actix_rt::test]
async fn the_policy_of_paths_decides() {
    let origin = Origin::echo().start().await;
    let text = format!(
        "[routes]\n\"/\" = \"{}\"\n[server.http.path]\ndot_segments = \"reject\"\nencoded_slash = \"keep\"\n\
         empty_segments = \"merge\"\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    assert_eq!(proxy.get("/a/../b").await.status, 400);
    assert!(proxy.get("/a%2fb").await.text().starts_with("GET /a%2Fb "));
    assert!(proxy.get("//a///b").await.text().starts_with("GET /a/b "));
}

#[actix_rt::test]
async fn slashes_are_one_unless_settings_keep_them() {
    let origin = Origin::echo().start().await;
    let text = |more: &str| format!("{more}\n[routes]\n\"/\" = \"{}\"\n", origin.url());
    let usual = TestProxy::with(&text("")).start().await;
    let keeping = TestProxy::with(&text("server.http.path.empty_segments = \"keep\"")).start().await;

    assert!(usual.get("//a//b?c=//d").await.text().starts_with("GET /a/b?c=//d "));
    assert!(keeping.get("//a//b").await.text().starts_with("GET //a//b "));
}

#[actix_rt::test]
async fn a_body_over_the_limit_is_refused_whatever_its_framing() {
    let origin = Origin::answering("reached").start().await;
    let text = format!(
        "[server.http]\nmax_body = \"10B\"\n[routes]\n\"/\" = \"{0}\"\n\"/wide\" = {{ to = \"{0}\", max_body = \"1MiB\" }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let sized = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
    };
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n";

    assert_eq!(proxy.send(sized("/", 11)).await.status, 413);
    assert_eq!(proxy.send(chunked).await.status, 413);
    assert_eq!(proxy.send(sized("/", 10)).await.status, 200);
    assert_eq!(proxy.send(sized("/wide", 11)).await.status, 200);
}

#[actix_rt::test]
async fn methods_are_those_of_the_settings() {
    let origin = Origin::answering("reached").start().await;
    let url = origin.url();
    let any =
        TestProxy::with(&format!("[server.http]\nmethods = [\"*\"]\n[routes]\n\"/\" = \"{url}\"\n")).start().await;
    let some =
        TestProxy::with(&format!("[server.http]\nmethods = [\"GET\"]\n[routes]\n\"/\" = \"{url}\"\n")).start().await;

    assert_eq!(any.send("BREW / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.status, 200);
    let refused = some.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET")));
}
