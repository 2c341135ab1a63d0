//! What a client may ask of an `App` behind the edge, and how it is refused.

use super::support::edge::TestEdge;

#[actix_rt::test]
async fn a_malformed_body_that_nobody_reads_hurts_nobody() {
    let edge = TestEdge::start().await;

    for body in ["0\r\na b: c\r\n\r\n", "0\r\nbad\0: x\r\n\r\n", "5\r\nhello!!", "x\r\n", "5\r\nhel"] {
        let mut client = edge.connect().await;
        client.send(format!("POST /unread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).await;
        let response = client.read_response().await;
        assert_eq!((response.text().as_str(), response.header("connection")), ("unread", Some("close")), "{body:?}");
        client.half_close().await;
        client.wait_closed().await;
    }
}
