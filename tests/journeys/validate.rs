//! Bodies that are what they must be.

use super::support::{
    client::{Client, Response},
    origin::Origin,
    proxy::TestProxy,
};

async fn proxy(origin: &Origin, more: &str) -> TestProxy {
    let text = format!(
        "[routes]\n\"/\" = {{ to = {:?}, validate = {{ json_schema = \"settings/schemas/order.json\"{more} }} }}\n",
        origin.url()
    );
    TestProxy::with(&text).start().await
}

async fn post(proxy: &TestProxy, fields: &str, body: &[u8]) -> Response {
    let mut request = format!(
        "POST /orders HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    proxy.send(request).await
}

const JSON: &str = "Content-Type: application/json\r\n";
const ORDER: &str = "{\"items\": [{\"sku\": \"A-1\", \"count\": 2}] , \"note\": \"\\u00e9\"}";

fn detail(answer: &Response) -> String {
    let problem: serde_json::Value = serde_json::from_str(&answer.text()).expect("a problem");
    problem["detail"].as_str().expect("a detail").to_owned()
}

#[actix_rt::test]
async fn what_fits_the_schema_is_sent_on_unchanged() {
    let origin = Origin::echo().start().await;
    let proxy = proxy(&origin, "").await;
    let note = "x".repeat(400);
    let items: Vec<_> = (0..100).map(|_| "{\"sku\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", \"count\": 1}    ").collect();
    let large = format!("{{\"items\": [{}],{}\"note\": \"{note}\"}}", items.join(", "), " ".repeat(20_000));

    for (kind, body) in [
        ("application/json", ORDER),
        ("application/vnd.shop+json; charset=UTF-8", ORDER),
        ("application/json", large.as_str()),
    ] {
        let answer = post(&proxy, &format!("Content-Type: {kind}\r\n"), body.as_bytes()).await;

        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().ends_with(&format!("\n\n{body}")), "{kind}");
    }
    let get = proxy.get("/orders").await;
    assert_eq!(get.status, 200, "where there is no body nothing is looked at");
}

#[actix_rt::test]
async fn a_body_in_chunks_is_looked_at_and_sent_whole() {
    let origin = Origin::echo().start().await;
    let proxy = proxy(&origin, "").await;
    let mut client = Client::connect(proxy.address).await;
    client
        .send(format!("POST / HTTP/1.1\r\nHost: a\r\n{JSON}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"))
        .await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 100 "), "it is read before an endpoint sees it");
    for chunk in ORDER.as_bytes().chunks(9) {
        client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).await;
    }
    client.send("0\r\n\r\n").await;

    let answer = client.read_response().await;

    assert!(answer.text().ends_with(&format!("\n\n{ORDER}")), "{}", answer.text());
}

#[actix_rt::test]
async fn what_does_not_fit_is_told_where_and_not_what_stood_there() {
    let origin = Origin::echo().start().await;
    let proxy = proxy(&origin, "").await;
    for (body, status, told) in [
        ("{\"items\": [{\"sku\": \"hunter2\", \"count\": 1}]}", 422, "at /items/0/sku (`pattern`)"),
        ("{\"items\": [{\"sku\": \"A\", \"count\": 0}]}", 422, "at /items/0/count (`minimum`)"),
        ("{\"items\": []}", 422, "at /items (`minItems`)"),
        ("{}", 422, "at its root (`required`)"),
        ("[\"hunter2\"]", 422, "at its root (`type`)"),
        ("{\"items\": [], \"items\": [1]}", 400, "a key stands twice in the body at /items"),
        ("{\"hunter2", 400, "the body is not JSON at line 1"),
        ("{} hunter2", 400, "the body is not JSON at line 1"),
        ("'hunter2'", 400, "the body is not JSON at line 1"),
        ("\u{feff}{}", 400, "the body is not JSON at line 1"),
    ] {
        let answer = post(&proxy, JSON, body.as_bytes()).await;

        assert_eq!(answer.status, status, "{body}");
        assert!(detail(&answer).contains(told), "{body}: {}", detail(&answer));
        assert!(!answer.text().contains("hunter2") && !answer.head.contains("/items"), "{}", answer.text());
    }
    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn what_readers_could_read_two_ways_is_not_sent_on() {
    let origin = Origin::echo().start().await;
    let proxy = proxy(&origin, ", max_depth = 8").await;
    let deep = ["[".repeat(9), "]".repeat(9)].concat();
    for (fields, body, status) in [
        ("", ORDER.as_bytes(), 415),
        ("Content-Type: text/plain\r\n", ORDER.as_bytes(), 415),
        ("Content-Type: application/jsonx\r\n", ORDER.as_bytes(), 415),
        ("Content_Type: application/json\r\n", ORDER.as_bytes(), 415),
        ("Content-Type: application/json\r\nContent-Type: text/plain\r\n", ORDER.as_bytes(), 415),
        ("Content-Type: application/json; charset=utf-16\r\n", ORDER.as_bytes(), 415),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", ORDER.as_bytes(), 415),
        (JSON, b"{\"note\": \"\xff\"}", 400),
        (JSON, b"{\"note\": \"\\ud800\"}", 400),
        (JSON, b"{\"items\": 1, \"\\u0069tems\": 2}", 400),
        (JSON, deep.as_bytes(), 400),
        (JSON, b"", 400),
    ] {
        let answer = post(&proxy, fields, body).await;

        assert_eq!(answer.status, status, "{fields} {}", String::from_utf8_lossy(body));
        if status == 415 {
            assert_eq!(answer.header("accept"), Some("application/json, application/*+json"));
        }
    }
    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn no_more_is_kept_than_may_be() {
    let origin = Origin::echo().start().await;
    let proxy = proxy(&origin, ", max_body = \"1KiB\"").await;
    let announced = proxy.connect().await;
    let mut client = announced;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{JSON}Content-Length: 1025\r\n\r\n")).await;
    assert_eq!(client.read_response().await.status, 413, "before any of it has come");

    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}");
    assert_eq!(proxy.send(request).await.status, 413, "as soon as it is too much");
    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn types_alone_need_no_schema_and_keep_nothing() {
    let origin = Origin::echo().start().await;
    let text = format!(
        "[routes]\n\"/\" = {{ to = {:?}, validate = {{ content_types = \"image/*\", max_body = \"8B\" }} }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for (kind, body, status) in [
        ("image/png", "12345678", 200),
        ("Image/PNG", "a", 200),
        ("image/png", "123456789", 413),
        ("text/html", "a", 415),
    ] {
        assert_eq!(post(&proxy, &format!("Content-Type: {kind}\r\n"), body.as_bytes()).await.status, status, "{kind}");
    }
    let chunks = "4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n";
    let request =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    assert_eq!(proxy.send(request).await.status, 413, "in chunks too, though the server would take more");
}
