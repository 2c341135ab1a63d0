//! gRPC: what this proxy itself has to say, in the terms of its clients.

use ::h2::Reason;

use super::{
    access_log::lines,
    support::{
        client::refusing,
        h2::{self, Answer, H2, request_with},
        h2_origin::{answering, upstream},
        origin::Origin,
        proxy::TestProxy,
        wire::patiently,
    },
};

/// A call whose message is this, over HTTP/2.
async fn call(proxy: &TestProxy, method: &str, fields: &[(&str, &str)]) -> Answer {
    let fields = [&[("content-type", "application/grpc+proto"), ("te", "trailers")], fields].concat();
    H2::connect(proxy.address).await.ask(request_with("POST", method, &fields), b"\0\0\0\0\x02hi").await
}

#[actix_rt::test]
async fn an_error_of_the_proxy_is_a_status_of_grpc() {
    let silent = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let closing = Origin::script(|mut conn, _| async move { drop(conn.read_head().await) }).start().await;
    let text = format!(
        "[routes]\n\"/refused\" = \"http://{}\"\n\
         \"/silent\" = {{ to = \"{}\", timeout = {{ first_byte = \"100ms\" }} }}\n\
         \"/small\" = {{ to = \"{}\", max_body = \"2B\" }}\n\"/closing\" = \"{}\"\n",
        refusing(),
        silent.url(),
        silent.url(),
        closing.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for (method, code, token) in [
        ("/nowhere.Service/Call", "12", "destination_not_found"),
        ("/refused", "14", "connection_refused"),
        ("/silent", "4", "http_response_timeout"),
        ("/small", "8", "http_request_error"),
        ("/closing", "14", "connection_terminated"),
        ("/..%2f", "13", "http_request_error"),
    ] {
        let answer = call(&proxy, method, &[]).await;
        let told = (answer.status, answer.header("content-type"), answer.header("grpc-status"));
        assert_eq!(told, (200, Some("application/grpc"), Some(code)), "{method}: {answer:?}");
        assert!(answer.header("grpc-message").is_some_and(|text| !text.is_empty()), "{method}: {answer:?}");
        assert!(answer.header("proxy-status").is_some_and(|told| told.contains(token)), "{method}: {answer:?}");
        assert!(answer.header("x-request-id").is_some(), "{method}: {answer:?}");
        assert_eq!((answer.text().as_str(), answer.trailers), ("", None), "{method}: the head is all there is");
    }
}

#[actix_rt::test]
async fn who_calls_over_http_1_1_or_is_refused_by_the_edge_is_told_so_too() {
    let proxy = TestProxy::with("[server.http]\nmax_uri = \"64B\"\n[routes]\n\"/a\" = \"http://a\"\n").start().await;
    let long = format!("/{}", "x".repeat(100));

    let response =
        proxy.send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nConnection: close\r\n\r\n").await;
    let refused = call(&proxy, &long, &[]).await;

    assert_eq!((response.status, response.header("grpc-status"), response.text().as_str()), (200, Some("12"), ""));
    assert_eq!((refused.status, refused.header("grpc-status"), refused.text().as_str()), (200, Some("8"), ""));
}

#[actix_rt::test]
async fn grpc_web_is_not_grpc() {
    let proxy = TestProxy::with("[routes]\n\"/a\" = \"http://a\"\n").start().await;
    let fields = [("content-type", "application/grpc-web+proto")];

    let answer = H2::connect(proxy.address).await.ask(request_with("POST", "/b", &fields), b"").await;

    assert_eq!((answer.status, answer.header("grpc-status")), (404, None));
}

#[actix_rt::test]
async fn the_access_log_knows_what_is_behind_a_200() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let text = format!(
        "[server.http]\nmax_uri = \"64B\"\n[log.access]\npath = {path:?}\n\
         format = \"${{status}} ${{error}} ${{request_id}}\"\n[routes]\n\"/refused\" = \"http://{}\"\n",
        refusing()
    );
    let proxy = TestProxy::with(&text).start().await;

    let mut told = Vec::new();
    for (method, expected) in [
        ("/nowhere".to_owned(), "404 destination_not_found"),
        ("/refused".to_owned(), "502 connection_refused"),
        (format!("/{}", "x".repeat(100)), "414 http_request_error"),
    ] {
        let answer = call(&proxy, &method, &[]).await;
        told.push(format!("{expected} {}", answer.header("x-request-id").expect("an id")));
    }

    assert_eq!(lines(&proxy, &path, 3).await, told);
}

#[actix_rt::test]
async fn an_answer_that_breaks_off_between_two_messages_says_so_and_one_within_a_message_is_cut() {
    let origin = answering(|mut call| async move {
        let mut stream = call.begin(200, &[("content-type", "application/grpc")]);
        let part = if call.path() == "/between" { "\0\0\0\0\x02hi" } else { "\0\0\0\0\x02h" };
        stream.send_data(part.into(), false).expect("it takes content");
        call.wait_for("the start was read").await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = H2::connect(proxy.address).await;
    let mut begin = async |path: &str| {
        let (answer, _) = client.begin(request_with("POST", path, &[("content-type", "application/grpc")]), true).await;
        let mut body = patiently("a head", answer).await.expect("an answer").into_body();
        patiently("a message", body.data()).await.expect("content").expect("content");
        body
    };
    let (between, within) = (begin("/between").await, begin("/within").await);

    origin.tell("the start was read");

    let (_, trailers) = h2::read(between).await.expect("an end");
    let trailers = trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "14");
    assert!(!trailers["grpc-message"].is_empty());
    assert_eq!(h2::reason(&h2::read(within).await.expect_err("no end")), Reason::INTERNAL_ERROR);
}
