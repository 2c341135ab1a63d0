//! The kit the journeys are told with, tried on itself.

use crate::support::{
    client::{self, Client},
    origin::Origin,
};

#[actix_rt::test]
async fn an_origin_answers_many_requests_on_one_connection() {
    let origin = Origin::answering("hello").start().await;
    let mut client = Client::connect(origin.address()).await;

    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.text().as_str(), response.complete), (200, "hello", true));
    }

    assert_eq!((origin.requests_seen(), origin.connections_seen(), origin.connections_open()), (2, 1, 1));
    drop(client);
    origin.wait_for_closed(1).await;
    assert_eq!(origin.connections_open(), 0);
}

#[actix_rt::test]
async fn an_echo_tells_of_fields_and_of_a_chunked_body() {
    let origin = Origin::echo().start().await;

    let request =
        "PUT /a?b HTTP/1.1\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
    let response = client::request(origin.address(), request).await;

    assert_eq!(response.text(), "PUT /a?b HTTP/1.1\nX-One: 1\nTransfer-Encoding: chunked\n\nabcd");
    assert!(origin.request(0).ends_with("\r\n\r\nabcd"));
}

#[actix_rt::test]
async fn a_unix_origin_speaks_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("origin.sock");
    let _origin = Origin::answering("hello").start_unix(&path).await;

    let mut client = Client::connect_unix(&path).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;

    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn interim_heads_trailers_and_cuts_are_told_apart() {
    let origin = Origin::script(|mut conn, number| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        conn.dribble("2\r\nab\r\n", 1).await;
        if number == 0 {
            conn.write("0\r\nSum: 7\r\n\r\n").await;
        }
    })
    .start()
    .await;

    let whole = client::get(origin.address(), "/").await;
    let cut = client::get(origin.address(), "/").await;

    assert_eq!((whole.interim.len(), whole.trailer("sum"), whole.complete), (1, Some("7"), true));
    assert_eq!((cut.text().as_str(), cut.trailers.len(), cut.complete), ("ab", 0, false));
}

#[actix_rt::test]
async fn a_close_a_half_close_and_a_reset_are_seen_by_the_other_side() {
    let origin = Origin::script(|mut conn, number| async move {
        conn.read_exact(2).await;
        match number {
            0 => conn.close(),
            1 => conn.reset(),
            2 => {
                conn.half_close().await;
                assert_eq!(conn.read_to_end().await, b"still heard");
                conn.tell("heard");
            }
            _ => conn.wait_closed().await,
        }
    })
    .start()
    .await;

    for _ in 0..2 {
        let mut client = Client::connect(origin.address()).await;
        client.send("hi").await;
        client.wait_closed().await;
    }
    let mut half = Client::connect(origin.address()).await;
    half.send("hi").await;
    half.wait_closed().await;
    half.send("still heard").await;
    half.half_close().await;
    origin.wait_for("heard").await;
    let mut hasty = Client::connect(origin.address()).await;
    hasty.send("hi").await;
    hasty.reset();

    origin.wait_for_closed(2).await;
}

#[actix_rt::test]
async fn a_test_and_a_script_wait_for_each_other() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("read");
        conn.wait_for("go").await;
        conn.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    })
    .start()
    .await;
    let mut client = Client::connect(origin.address()).await;

    client.send("GET / HTTP/1.1\r\n\r\n").await;
    origin.wait_for("read").await;
    assert!(!client.is_closed());
    origin.tell("go");

    assert_eq!(client.read_response().await.status, 204);
}

#[actix_rt::test]
#[should_panic(expected = "a script failed")]
async fn a_script_that_fails_fails_its_test() {
    let origin = Origin::script(|mut conn, _| async move {
        assert_eq!(conn.read_some().await, b"something else");
    })
    .start()
    .await;

    Client::connect(origin.address()).await.send("hello").await;

    origin.wait_for_requests(1).await;
}

#[actix_rt::test]
async fn nobody_listens_where_connections_are_refused() {
    let refused = tokio::net::TcpStream::connect(client::refusing()).await;

    assert_eq!(refused.expect_err("nobody is there").kind(), std::io::ErrorKind::ConnectionRefused);
}
