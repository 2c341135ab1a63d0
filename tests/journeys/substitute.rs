//! Texts in answers that become others.

use super::support::{
    client::{Client, Response},
    origin::Origin,
    proxy::TestProxy,
};

async fn proxy(origin: &Origin, rules: &str) -> TestProxy {
    TestProxy::with(&format!("[routes]\n\"/\" = {{ to = {:?}, substitute = [{rules}] }}\n", origin.url())).start().await
}

const RULE: &str = "{ find = \"http://internal\", with = \"https://shop.example\" }";

async fn ask(proxy: &TestProxy, line: &str, fields: &str) -> Response {
    proxy.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")).await
}

#[actix_rt::test]
async fn a_text_is_found_wherever_the_answer_is_cut() {
    let page = "<a href=\"http://internal/a\">http://internal</a> http://intern";
    for size in [1, 3, 7, 100] {
        let origin = Origin::script(move |mut conn, _| async move {
            conn.any_request().await;
            let mut answer =
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"a\"\r\nTransfer-Encoding: chunked\r\n\r\n"
                    .to_vec();
            for chunk in page.as_bytes().chunks(size) {
                answer.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                answer.extend_from_slice(chunk);
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\nx-sum: 1\r\n\r\n");
            conn.write(answer).await;
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin, RULE).await;

        let answer = ask(&proxy, "GET /", "TE: trailers\r\n").await;

        assert_eq!(
            answer.text(),
            "<a href=\"https://shop.example/a\">https://shop.example</a> http://intern",
            "{size}"
        );
        assert_eq!((answer.header("etag"), answer.complete), (Some("W/\"a\""), true));
    }
}

#[actix_rt::test]
async fn the_endpoint_is_asked_for_all_of_it_in_the_plain() {
    let origin = Origin::echo().start().await;
    let proxy = proxy(&origin, RULE).await;

    let fields = "Accept-Encoding: gzip\r\naccept-encoding: br\r\nRange: bytes=0-4\r\nIf-Range: \"a\"\r\n";
    let seen = ask(&proxy, "GET /", fields).await.text().to_lowercase();

    assert!(seen.contains("accept-encoding: identity\n"), "{seen}");
    for gone in ["gzip", ": br", "range: ", "if-range"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
}

#[actix_rt::test]
async fn what_is_of_another_type_coded_partial_or_to_be_left_alone_stays() {
    for fields in [
        "Content-Type: text/plain",
        "Content-Type: text/html\r\nContent-Encoding: gzip",
        "Content-Type: text/html\r\nCache-Control: no-transform",
        "Content-Type: text/html\r\nContent-Range: bytes 0-1/2",
        "Content-Type: text/html\r\nContent-Type: text/plain",
    ] {
        let body = "http://internal/";
        let origin = Origin::replying(format!(
            "HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: {}\r\nETag: \"a\"\r\n\r\n{body}",
            body.len()
        ));
        let origin = origin.start().await;
        let proxy = proxy(&origin, RULE).await;

        let answer = ask(&proxy, "GET /", "").await;

        assert_eq!((answer.text().as_str(), answer.header("etag")), (body, Some("\"a\"")), "{fields}");
    }
}

#[actix_rt::test]
async fn events_are_not_kept_back() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.any_request().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: http://internal/1\n\n").await;
        conn.wait_for("seen").await;
        conn.write("data: end\n\n").await;
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, &RULE.replace(" }", ", types = \"text/event-stream\" }")).await;
    let mut client = Client::connect(proxy.address).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    client.read_head().await;

    let expected = "data: https://shop.example/1\n\n";
    assert_eq!(String::from_utf8_lossy(&client.read_exact(expected.len()).await), expected);

    origin.tell("seen");
    assert_eq!(String::from_utf8_lossy(&client.read_to_end().await), "data: end\n\n");
}

#[actix_rt::test]
async fn what_is_replaced_can_be_compressed_for_the_client() {
    let body = "http://internal/ ".repeat(500);
    let origin = Origin::replying(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let origin = origin.start().await;
    let text = format!("[routes]\n\"/\" = {{ to = {:?}, compress = true, substitute = [{RULE}] }}\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;

    let answer = ask(&proxy, "GET /", "Accept-Encoding: zstd\r\n").await;

    let plain = zstd::decode_all(&answer.body[..]).expect("it is whole");
    assert_eq!(answer.header("content-encoding"), Some("zstd"));
    assert!(plain == "https://shop.example/ ".repeat(500).as_bytes());
}
