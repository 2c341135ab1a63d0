//! Endpoints of HTTP/2 that are not ours: nginx.

use std::{fs, net::SocketAddr};

use futures_util::future::join_all;

use crate::support::{
    client,
    h2::{H2, request_with, whole},
    peers,
    proxy::TestProxy,
};

/// More than any window holds.
const LARGE: usize = 5_000_000;

#[actix_rt::test]
async fn nginx_is_understood_and_understands() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("large"), ".".repeat(LARGE)).expect("a file");
    fs::write(folder.path().join("small"), "small").expect("a file");
    let address = SocketAddr::new(client::loopback().into(), 5005);
    let server = format!(
        "listen {address} http2; root {}; client_max_body_size 10m; keepalive_requests 20; http2_max_concurrent_streams 16; \
         location = /told {{ default_type text/plain; return 200 '$server_protocol $http_host $http_cookie'; }} \
         location = /put {{ dav_methods PUT; client_body_buffer_size 8k; }}",
        folder.path().display()
    );
    let _nginx = peers::nginx(folder.path(), &server, address).await;
    let text =
        format!("[routes]\n\"/\" = \"app\"\n[upstreams.app]\nservers = [\"http://{address}\"]\nprotocol = \"h2c\"\n");
    let proxy = TestProxy::with(&text).start().await;

    assert_eq!(proxy.get("/small").await.text(), "small");
    assert_eq!(proxy.get("/nothing").await.status, 404);
    let told =
        proxy.send("GET /told HTTP/1.1\r\nHost: a.example\r\nCookie: a=1; b=2\r\nConnection: close\r\n\r\n").await;
    assert_eq!(told.text(), "HTTP/2.0 a.example a=1; b=2");

    let all = join_all((0..50).map(|number| proxy.get(if number % 5 == 0 { "/large" } else { "/small" }))).await;
    for (number, answer) in all.iter().enumerate() {
        let length = if number % 5 == 0 { LARGE } else { 5 };
        assert_eq!((answer.status, answer.body.len(), answer.complete), (200, length, true), "{number}");
    }

    // It ends each connection after twenty requests, in the middle of others that it has not looked at.
    let post = "POST /told HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let all = join_all((0..200).map(|_| proxy.send(post))).await;
    assert!(all.iter().all(|answer| answer.status == 200), "{:?}", all.iter().map(|answer| answer.status).max());

    let put = format!("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\nConnection: close\r\n\r\n");
    let answer = proxy.send([put.into_bytes(), vec![b'x'; LARGE]].concat()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(fs::metadata(folder.path().join("put")).expect("it was written").len(), LARGE as u64);

    let mut client = H2::connect(proxy.address).await;
    let (answer, _) = client.begin(request_with("GET", "/large", &[("range", "bytes=0-9")]), true).await;
    let answer = whole(answer).await;
    assert_eq!((answer.status, answer.text().as_str()), (206, ".........."));
}
