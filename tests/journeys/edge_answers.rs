//! How answers of an `App` leave the edge.

use super::support::edge::TestEdge;

fn asking(method: &str, path: &str, version: &str) -> String {
    format!("{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n")
}

#[actix_rt::test]
async fn content_of_unknown_length_comes_in_chunks_and_the_connection_stays() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    for _ in 0..2 {
        client.send(asking("GET", "/stream", "1.1")).await;
        let response = client.read_response().await;
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
        assert_eq!((response.text().as_str(), response.complete), ("onetwo", true));
    }
}

#[actix_rt::test]
async fn an_old_client_gets_content_of_unknown_length_until_the_end_of_the_connection() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let response = client.read_response().await;

    assert_eq!((response.header("transfer-encoding"), response.header("connection")), (None, Some("close")));
    assert_eq!(response.text(), "onetwo");
}

#[actix_rt::test]
async fn an_old_client_keeps_its_connection_if_it_asks_to() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let first = client.read_response().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let second = client.read_response().await;

    assert_eq!((first.header("connection"), second.header("connection")), (Some("keep-alive"), Some("close")));
    assert_eq!(client.read_to_end().await, b"");
}

#[actix_rt::test]
async fn an_answer_without_content_is_only_a_head() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    for (method, path, length) in [
        ("HEAD", "/", Some("5")),
        ("HEAD", "/stream", None),
        ("HEAD", "/fields", Some("5")),
        ("GET", "/status/204", None),
        ("GET", "/status/304", Some("7")),
    ] {
        client.send(asking(method, path, "1.1")).await;
        let response = client.read_response_to(method).await;
        assert_eq!(response.header("content-length"), length, "{method} {path}");
        assert_eq!(response.header("transfer-encoding"), None, "{method} {path}");
    }
    // Not a byte was left over.
    client.send(asking("GET", "/", "1.1")).await;
    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn framing_is_the_edges_whatever_the_app_says() {
    let edge = TestEdge::start().await;

    let response = edge.send(asking("GET", "/fields", "1.1")).await;

    assert_eq!(response.headers("content-length"), ["5"]);
    assert_eq!((response.header("transfer-encoding"), response.header("connection")), (None, None));
    assert_eq!(response.headers("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.headers("date").len(), 1);
    assert_eq!(response.text(), "five!");
}

#[actix_rt::test]
async fn a_body_that_breaks_off_is_seen_to() {
    let edge = TestEdge::start().await;

    for (path, came) in [("/breaks", "half"), ("/short", "12345")] {
        let mut client = edge.connect().await;
        client.send(asking("GET", path, "1.1")).await;
        let response = client.read_response().await;
        assert_eq!((response.text().as_str(), response.complete), (came, false), "{path}");
    }
}

#[actix_rt::test]
async fn a_body_that_breaks_off_resets_a_connection_whose_end_would_look_like_its_own() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let edge = TestEdge::start().await;
    let mut client = tokio::net::TcpStream::connect(edge.address).await.expect("it listens");

    client.write_all(b"GET /breaks HTTP/1.0\r\n\r\n").await.expect("it reads");
    let mut all = Vec::new();
    let error = client.read_to_end(&mut all).await.expect_err("a reset");

    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[actix_rt::test]
async fn content_is_never_longer_than_announced() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send(asking("GET", "/long", "1.1")).await;
    let head = client.read_head().await;

    assert!(head.contains("content-length: 3\r\n"), "{head}");
    assert!(client.read_to_end().await.len() <= 3);
}

#[actix_rt::test]
async fn interim_responses_come_before_their_answer_and_in_turn() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send([asking("GET", "/", "1.1"), asking("GET", "/hints", "1.1"), asking("GET", "/", "1.1")].concat()).await;
    let answers = [client.read_response().await, client.read_response().await, client.read_response().await];

    let interim: Vec<_> = answers.iter().map(|answer| answer.interim.join("")).collect();
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    assert_eq!(interim, ["", hints, ""]);
}

#[actix_rt::test]
async fn an_old_client_gets_no_interim_response() {
    let edge = TestEdge::start().await;

    let response = edge.send(asking("GET", "/hints", "1.0")).await;

    assert_eq!((response.text().as_str(), response.interim.len()), ("hello", 0));
}

#[actix_rt::test]
async fn an_interim_status_is_no_answer() {
    let edge = TestEdge::start().await;

    for status in [100, 102, 103] {
        let response = edge.send(asking("GET", &format!("/status/{status}"), "1.1")).await;
        assert_eq!((response.status, response.interim.len()), (500, 0));
    }
}

#[actix_rt::test]
async fn trailers_pass_in_both_directions() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client
        .send(
            "POST /trailers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Mine: 7\r\n\r\n",
        )
        .await;
    let response = client.read_response().await;

    assert_eq!(response.text(), "x-mine=\"7\";");
    assert_eq!((response.trailer("x-sum"), response.trailer("x-end")), (Some("1"), Some("2")));
    assert_eq!(response.trailer("content-length"), None);
    client.send(asking("GET", "/", "1.1")).await;
    assert_eq!(client.read_response().await.trailers, []);
}

#[actix_rt::test]
async fn a_client_that_must_upgrade_is_told_to_what() {
    let edge = TestEdge::start().await;

    let response = edge.send(asking("GET", "/status/426", "1.1")).await;

    assert_eq!((response.header("upgrade"), response.header("connection")), (Some("other/2"), Some("upgrade")));
}

#[actix_rt::test]
async fn a_status_without_a_name_has_an_empty_reason() {
    let edge = TestEdge::start().await;

    let response = edge.send(asking("GET", "/status/299", "1.1")).await;

    assert!(response.head.starts_with("HTTP/1.1 299 \r\n"), "{}", response.head);
}

#[actix_rt::test]
async fn large_content_arrives_whole() {
    let edge = TestEdge::start().await;

    let response = edge.get("/large").await;

    assert_eq!((response.body.len(), response.complete), (8 << 20, true));
}

#[actix_rt::test]
async fn content_of_every_size_arrives_whole_where_the_connection_ends_with_it() {
    let edge = TestEdge::start().await;
    for size in [0, 1, 2048, 2049, 100_000, 8 << 20] {
        let mut client = edge.connect().await;
        let content = vec![b'.'; size];

        client
            .send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"))
            .await;
        client.send(&content).await;
        let response = client.read_response().await;

        assert!(response.complete && response.body == content, "{size}: {}", response.body.len());
        assert_eq!(client.read_to_end().await, b"", "{size}");
    }
}

#[actix_rt::test]
async fn an_answer_may_begin_before_the_request_has_ended() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send("POST /duplex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    client.read_head().await;
    assert_eq!(client.read_exact(10).await, b"5\r\nfirst\r\n");
    client.send("4\r\nping\r\n").await;
    assert_eq!(client.read_exact(9).await, b"4\r\nping\r\n");
    client.send("0\r\n\r\n").await;
    assert_eq!(client.read_exact(5).await, b"0\r\n\r\n");

    client.send(asking("GET", "/", "1.1")).await;
    assert_eq!(client.read_response().await.text(), "hello");
}
