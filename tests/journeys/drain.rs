//! How the proxy stops: what is under way is finished, and both ends of a tunnel are told.

use aqueduct::edge::Outcome;

use super::support::{
    origin::{Origin, Script},
    proxy::TestProxy,
};

/// Switches protocols, and tells in which words the tunnel ended.
fn switching(protocol: &'static str) -> Script {
    Origin::script(move |mut conn, _| async move {
        conn.read_head().await;
        conn.write(format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"))
            .await;
        let last = conn.read_to_end().await;
        conn.tell(&format!("told {last:x?}"));
    })
}

#[actix_rt::test]
async fn both_ends_of_a_tunnel_are_told_that_it_closes() {
    // A WebSocket by a close frame (1001, going away) in the words of each side, others by the end of the stream.
    let (by_client, by_server): (&[u8], &[u8]) = (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9], &[0x88, 0x02, 0x03, 0xe9]);
    for (protocol, to_endpoint, to_client) in [("websocket", by_client, by_server), ("tcp", b"", b"")] {
        let origin = switching(protocol).start().await;
        let proxy = TestProxy::to(&origin).start().await;
        let mut client = proxy.connect().await;
        client
            .send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ))
            .await;
        client.read_head().await;

        proxy.drain();

        assert_eq!(client.read_to_end().await, to_client, "{protocol}");
        origin.wait_for(&format!("told {to_endpoint:x?}")).await;
        assert_eq!(proxy.outcome(), Outcome::Drained, "{protocol}");
    }
}

#[actix_rt::test]
async fn what_an_endpoint_is_at_work_on_is_finished() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_for("go on").await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("asked").await;

    proxy.drain();
    origin.tell("go on");

    let response = client.read_response().await;
    assert_eq!((response.text().as_str(), response.header("connection")), ("done", Some("close")));
    assert_eq!(client.read_to_end().await, b"");
    assert_eq!(proxy.outcome(), Outcome::Drained);
}
