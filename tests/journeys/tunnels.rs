//! Upgrades: WebSocket and any other protocol, raw in both directions.

use super::support::{client::Client, origin::Origin, proxy::TestProxy};

const WEBSOCKET: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn switching(protocol: &'static str) -> super::support::origin::Script {
    Origin::script(move |mut conn, _| async move {
        let head = conn.read_head().await.to_ascii_lowercase();
        assert!(head.contains(&format!("upgrade: {protocol}")), "{head}");
        assert!(head.contains("connection: upgrade"), "{head}");
        conn.write(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nhi "
        ))
        .await;
        let seen = conn.read_exact(5).await;
        conn.write(seen).await;
        // Half-close goes through: we see the client's end and can still answer.
        let rest = conn.read_to_end().await;
        conn.write(format!(" then {}", String::from_utf8_lossy(&rest))).await;
    })
}

#[actix_rt::test]
async fn websocket_and_any_other_upgrade_is_bytes_both_ways_with_half_close() {
    for (protocol, request) in [
        ("websocket", WEBSOCKET.to_owned()),
        (
            "tcp",
            "POST /attach HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
                .into(),
        ),
    ] {
        let origin = switching(protocol).start().await;
        let proxy = TestProxy::to(&origin).start().await;
        let mut client = proxy.connect().await;

        // The bytes behind the head are sent in one segment with it.
        client.send(format!("{request}hello")).await;
        let head = client.read_head().await;
        let echoed = client.read_exact(8).await;
        client.send("bye").await;
        client.half_close().await;
        let rest = client.read_to_end().await;

        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_ascii_lowercase().contains(&format!("upgrade: {protocol}")), "{head}");
        assert!(head.to_ascii_lowercase().contains("connection: upgrade"), "{head}");
        assert_eq!(echoed, b"hi hello");
        assert_eq!(rest, b" then bye");
    }
}

#[actix_rt::test]
async fn an_endpoint_that_does_not_switch_just_answers() {
    let origin = Origin::replying("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno").start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = proxy.connect().await;

    client.send(WEBSOCKET).await;
    let response = client.read_response().await;

    assert_eq!((response.status, response.text().as_str()), (426, "no"));
    assert_eq!(response.header("connection"), None, "it names a field that is not there");
}

#[actix_rt::test]
async fn an_endpoint_that_demands_an_upgrade_says_to_what() {
    let origin = Origin::replying(
        "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2, x\r\nUpgrade: y\r\n\
         Content-Length: 2\r\n\r\nno",
    )
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;

    let response = proxy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    assert_eq!((response.status, response.text().as_str()), (426, "no"));
    assert_eq!(response.headers("upgrade"), ["TLS/1.2, x", "y"]);
    assert_eq!(response.header("connection"), Some("upgrade"));
}

#[actix_rt::test]
async fn an_endpoint_that_switches_unasked_or_to_something_else_is_refused() {
    let unasked =
        Origin::replying("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").start().await;
    let proxy = TestProxy::to(&unasked).start().await;

    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(proxy.send(WEBSOCKET).await.status, 502);
}

#[actix_rt::test]
async fn an_idle_tunnel_ends() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        conn.wait_closed().await;
        conn.tell("closed");
    })
    .start()
    .await;
    let text = format!("[server.timeouts]\nidle_tunnel = \"100ms\"\n[routes]\n\"/\" = \"{}\"\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;
    let mut client = proxy.connect().await;

    client.send(WEBSOCKET).await;
    client.read_head().await;

    client.wait_closed().await;
    origin.wait_for("closed").await;
}

#[actix_rt::test]
async fn a_client_that_leaves_closes_the_endpoints_side() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        conn.read_to_end().await;
        conn.tell("ended");
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client: Client = proxy.connect().await;

    client.send(WEBSOCKET).await;
    client.read_head().await;
    drop(client);

    origin.wait_for("ended").await;
}
