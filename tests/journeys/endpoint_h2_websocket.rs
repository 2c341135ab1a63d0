//! WebSocket over HTTP/2 with an endpoint (RFC 8441), whatever the client speaks.

use bytes::Bytes;
use h2::{ext::Protocol, server};

use crate::support::{
    h2::{H2, read},
    h2_origin::{Call, answering, answering_with, saying, secured, upstream, upstream_over_tls},
    origin::{Origin, Script},
    proxy::TestProxy,
    tls::Authority,
    wire::patiently,
};

/// The example of RFC 6455, 1.3, and the proof that belongs to its key.
const ASKS: &str = "GET /chat?a=b HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const PROOF: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An endpoint that takes WebSockets.
fn taking() -> server::Builder {
    let mut builder = server::Builder::new();
    builder.enable_connect_protocol();
    builder
}

/// It says hi, sends five bytes back, and what comes then at the end.
fn talking() -> Script {
    answering_with(taking(), |mut call: Call| async move {
        assert_eq!(call.head.method, "CONNECT");
        assert_eq!(call.head.extensions.get::<Protocol>().map(Protocol::as_str), Some("websocket"));
        assert_eq!(call.head.uri, "http://a.example/chat?a=b");
        for name in ["sec-websocket-key", "connection", "upgrade", "host", "content-length"] {
            assert!(!call.head.headers.contains_key(name), "{name}");
        }
        assert_eq!(call.head.headers["sec-websocket-version"], "13");
        let mut stream = call.begin(200, &[("sec-websocket-protocol", "chat")]);
        stream.send_data(Bytes::from_static(b"hi "), false).expect("it takes bytes");
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let bytes = call.body.data().await.expect("bytes").expect("bytes");
            call.body.flow_control().release_capacity(bytes.len()).expect("they were taken");
            seen.extend_from_slice(&bytes);
        }
        stream.send_data(seen.into(), false).expect("it takes bytes");
        let (rest, _) = call.read().await.expect("an end in order");
        let text = format!(" then {}", String::from_utf8_lossy(&rest));
        stream.send_data(text.into(), true).expect("it takes bytes");
    })
}

#[actix_rt::test]
async fn an_upgrade_of_http_1_1_is_an_extended_connect_and_bytes_both_ways() {
    let origin = talking().start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = proxy.connect().await;

    client.send(format!("{ASKS}hello")).await;
    let head = client.read_head().await;
    let echoed = client.read_exact(8).await;
    client.send("bye").await;
    client.half_close().await;
    let rest = client.read_to_end().await;

    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let head = head.to_ascii_lowercase();
    for line in ["upgrade: websocket", "connection: upgrade", "sec-websocket-protocol: chat"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    assert!(head.contains(&format!("\r\nsec-websocket-accept: {}\r\n", PROOF.to_ascii_lowercase())), "{head}");
    assert_eq!(echoed, b"hi hello");
    assert_eq!(rest, b" then bye");
}

#[actix_rt::test]
async fn a_client_of_http_2_has_its_websocket_carried_by_http_2() {
    let origin = talking().start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = H2::connect(proxy.address).await;
    let request = http::Request::connect("http://a.example/chat?a=b")
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"));

    let (answer, mut stream) = client.begin(request.body(()).expect("a request"), false).await;
    let (head, mut body) = patiently("an answer", answer).await.expect("an answer").into_parts();
    stream.send_data(Bytes::from_static(b"hello"), false).expect("it takes bytes");
    let mut came = Vec::new();
    while came.len() < 8 {
        came.extend(patiently("bytes", body.data()).await.expect("bytes").expect("bytes"));
    }
    stream.send_data(Bytes::from_static(b"bye"), true).expect("it takes bytes");
    let (rest, _) = read(body).await.expect("an end in order");

    assert_eq!((head.status.as_u16(), head.headers["sec-websocket-protocol"].as_bytes()), (200, &b"chat"[..]));
    assert_eq!(came, b"hi hello");
    assert_eq!(rest, b" then bye");
}

#[actix_rt::test]
async fn an_endpoint_that_takes_no_websocket_here_just_answers() {
    let origin = answering_with(taking(), |mut call: Call| async move { call.reply(403, "no") });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = proxy.connect().await;

    client.send(ASKS).await;
    let response = client.read_response().await;

    assert_eq!((response.status, response.text().as_str()), (403, "no"));
}

#[actix_rt::test]
async fn a_client_that_leaves_ends_its_websocket_and_nothing_else() {
    let origin = answering_with(taking(), |mut call: Call| async move {
        if call.path() == "/other" {
            return call.reply(200, "hello");
        }
        let mut stream = call.begin(200, &[]);
        call.read().await.expect("an end in order");
        call.tell("ended");
        stream.send_data(Bytes::new(), true).expect("it takes the end");
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = proxy.connect().await;

    client.send(ASKS).await;
    client.read_head().await;
    drop(client);
    origin.wait_for("ended").await;

    assert_eq!(proxy.get("/other").await.text(), "hello");
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn an_endpoint_that_breaks_off_a_websocket_breaks_it_off_for_the_client() {
    let origin = answering_with(taking(), |mut call: Call| async move {
        let mut stream = call.begin(200, &[]);
        call.wait_for("it has begun").await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let mut client = proxy.connect().await;

    client.send(ASKS).await;
    client.read_head().await;
    origin.tell("it has begun");

    client.wait_closed().await;
}

#[actix_rt::test]
async fn where_http_2_is_all_there_is_an_upgrade_that_it_cannot_carry_is_a_502_that_says_so() {
    let origin = answering(|_| async { panic!("nothing is asked") }).start().await;
    let proxy = TestProxy::with(&upstream(&origin)).start().await;
    let other = "POST /attach HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n";

    for request in [ASKS, other] {
        let response = proxy.send(request).await;

        assert_eq!(response.status, 502, "{}", response.head);
        assert!(response.head.contains("http_upgrade_failed"), "{}", response.head);
    }
}

#[actix_rt::test]
async fn where_http_1_1_is_spoken_as_well_it_carries_what_http_2_does_not() {
    let authority = Authority::new();
    let script = Origin::script(|mut conn, _| async move {
        if conn.speaks_http2() {
            let socket = conn.take_socket().boxed();
            let mut connection = server::handshake(socket).await.expect("a client of HTTP/2");
            assert!(connection.accept().await.is_none(), "nothing is asked");
            return;
        }
        let head = conn.read_head().await;
        assert!(head.starts_with("GET /chat?a=b HTTP/1.1\r\n"), "{head}");
        conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi").await;
        conn.wait_closed().await;
    });
    let origin = secured(&authority, script, &["h2", "http/1.1"]).await;
    let proxy = TestProxy::with(&upstream_over_tls(&authority, &origin, "auto")).start().await;
    let mut client = proxy.connect().await;

    client.send(ASKS).await;
    let head = client.read_head().await;

    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(client.read_exact(2).await, b"hi");
}

#[actix_rt::test]
async fn an_upgrade_that_cannot_be_carried_says_nothing_of_the_endpoint() {
    let spare = saying("spare").start().await;
    for (origin, by) in [
        (saying("hello").start().await, "protocol = \"h2c\""),
        (Origin::answering("hello").start().await, "transport = \"awc\""),
    ] {
        let servers = format!("servers = [{:?}, {{ url = {:?}, backup = true }}]", origin.url(), spare.url());
        let outlier = "outlier = { consecutive = 2, eject = \"1h\", max_eject = \"1h\" }";
        let text = format!("routes.\"/\" = \"app\"\n[upstreams.app]\n{servers}\n{by}\n{outlier}\n");
        let proxy = TestProxy::with(&text).start().await;

        for _ in 0..3 {
            let refused = proxy.send(ASKS).await;
            assert_eq!(refused.status, 502, "{by}: {}", refused.head);
            assert!(refused.head.contains("http_upgrade_failed"), "{by}: {}", refused.head);
        }

        assert_eq!(proxy.get("/").await.text(), "hello", "{by}");
    }
}
