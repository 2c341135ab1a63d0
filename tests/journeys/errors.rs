//! How this proxy says that something failed.

use super::support::{client::refusing, origin::Origin, proxy::TestProxy};

fn asking(path: &str, accept: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
}

#[actix_rt::test]
async fn an_error_is_shown_as_the_client_likes_to_read_it() {
    let proxy = TestProxy::with("[routes]\n\"/here\" = { respond = { body = \"x\" } }\n").start().await;

    for (accept, kind) in [
        ("*/*", "application/problem+json"),
        ("application/json", "application/problem+json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("text/plain", "text/plain"),
    ] {
        let response = proxy.send(asking("/nowhere", accept)).await;
        assert_eq!(response.status, 404, "{accept}");
        assert!(
            response.header("content-type").is_some_and(|value| value.starts_with(kind)),
            "{accept}: {}",
            response.head
        );
        let id = response.header("x-request-id").expect("an id").to_owned();
        assert!(response.text().contains(&id), "{accept}: {}", response.text());
    }
}

#[actix_rt::test]
async fn each_failure_of_an_endpoint_has_its_status_and_token() {
    let silent = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let closing = Origin::script(|mut conn, _| async move { drop(conn.read_head().await) }).start().await;
    let babbling = Origin::replying("BLAH\r\n\r\n").start().await;
    let huge = Origin::replying(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000))).start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let chunks = Origin::replying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n")
        .start()
        .await;
    let text = format!(
        "[routes]\n\"/missing\" = \"http+unix:{}/none\"\n\"/refused\" = \"http://{}\"\n\
         \"/silent\" = {{ to = \"{}\", timeout = {{ first_byte = \"100ms\" }} }}\n\
         \"/closing\" = \"{}\"\n\"/babbling\" = \"{}\"\n\"/huge\" = \"{}\"\n\"/chunks\" = \"{}\"\n\
         \"/unknown\" = \"http://name.invalid\"\n",
        folder.path().display(),
        refusing(),
        silent.url(),
        closing.url(),
        babbling.url(),
        huge.url(),
        chunks.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for (path, status, token) in [
        ("/missing", 502, "destination_unavailable"),
        ("/refused", 502, "connection_refused"),
        ("/silent", 504, "http_response_timeout"),
        ("/closing", 502, "connection_terminated"),
        ("/babbling", 502, "http_protocol_error"),
        ("/huge", 502, "http_response_header_section_size"),
        ("/chunks", 502, "http_protocol_error"),
        ("/unknown", 502, "dns_error"),
    ] {
        let response = proxy.get(path).await;
        assert_eq!(response.status, status, "{path}: {}", response.text());
        let proxy_status = response.header("proxy-status").unwrap_or_default();
        assert!(
            proxy_status.starts_with("aqueduct") && proxy_status.contains(&format!("error={token}")),
            "{path}: {proxy_status}"
        );
        assert!(!response.text().contains("127.0.0.1"), "{path} tells where endpoints are: {}", response.text());
    }
}

#[actix_rt::test]
async fn proxy_status_can_be_off_or_on_every_answer() {
    let origin = Origin::answering("x").start().await;
    let with =
        |value: &str| format!("[server.errors]\nproxy_status = \"{value}\"\n[routes]\n\"/a\" = \"{}\"\n", origin.url());
    let (off, always) = (TestProxy::with(&with("off")).start().await, TestProxy::with(&with("always")).start().await);

    assert_eq!(off.get("/nowhere").await.header("proxy-status"), None);
    assert!(always.get("/a").await.header("proxy-status").is_some_and(|value| value.starts_with("aqueduct")));
}

#[actix_rt::test]
async fn a_client_that_stalls_within_its_upload_is_told_so() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.wait_closed().await;
        conn.tell("closed");
    })
    .start()
    .await;
    let text = format!("[server.timeouts]\nrequest_body = \"100ms\"\n[routes]\n\"/\" = \"{}\"\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;
    let mut client = proxy.connect().await;

    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\npart").await;
    let response = client.read_response().await;

    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    assert_eq!(client.read_to_end().await, b"");
    origin.wait_for("closed").await;
}

#[actix_rt::test]
async fn a_request_for_which_there_is_no_connection_and_no_place_to_wait_is_refused_at_once() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("busy");
        conn.wait_for("go on").await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let text = format!(
        "[routes]\n\"/\" = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\npool = {{ max_total = 1, max_queue = 0 }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let mut first = proxy.connect().await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("busy").await;

    let refused = proxy.get("/").await;
    origin.tell("go on");

    assert_eq!(refused.status, 503, "{}", refused.text());
    let token = refused.header("proxy-status").unwrap_or_default();
    assert!(token.contains("error=connection_limit_reached"), "{token}");
    assert_eq!(first.read_response().await.text(), "ok");
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn a_name_that_is_no_token_is_a_string_in_proxy_status() {
    let origin = Origin::answering("x").start().await;
    let text = format!(
        "server_name = \"1edge\"\n[server.errors]\nproxy_status = \"always\"\n[routes]\n\"/a\" = \"{}\"\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for (request, status) in [
        ("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "\"1edge\"; received-status=200"),
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "\"1edge\"; error=destination_not_found"),
        ("GET / HTTP/1.1\r\na b: c\r\n\r\n", "\"1edge\"; error=http_request_error"),
    ] {
        assert_eq!(proxy.send(request).await.header("proxy-status"), Some(status), "{request}");
    }
}
