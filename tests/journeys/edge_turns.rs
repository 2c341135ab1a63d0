//! Who sends many requests at once has one turn after the other, and between them others have theirs.

use crate::support::{
    edge::TestEdge,
    frames::{self, Frames},
};

const MANY: usize = 50;
/// So many of them may have their turn before somebody else has.
const A_FEW: usize = 4;

#[actix_rt::test]
async fn a_client_that_sends_many_requests_at_once_keeps_nobody_waiting_for_all_of_them() {
    let edge = TestEdge::start().await;
    let (mut holder, mut greedy, mut other) = (edge.connect().await, edge.connect().await, edge.connect().await);
    for client in [&mut greedy, &mut other] {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 200);
    }
    holder.send("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n").await;
    edge.wait_for("asked").await;

    // All of it is there when the worker looks up.
    greedy.send("GET /turn/greedy HTTP/1.1\r\nHost: a\r\n\r\n".repeat(MANY)).await;
    other.send("GET /turn/other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    edge.tell("go on");

    for client in [&mut holder, &mut other] {
        assert_eq!(client.read_response().await.status, 200);
    }
    for _ in 0..MANY {
        assert_eq!(greedy.read_response().await.status, 200);
    }
    let turns = edge.turns();
    let at = turns.iter().position(|whose| whose == "other").expect("it was answered");
    assert_eq!(turns.len(), MANY + 1);
    assert!(at <= 2, "the other was number {at} of {}", turns.len());
}

#[actix_rt::test]
async fn nor_does_one_that_does_so_in_streams_of_http_2() {
    let edge = TestEdge::start().await;
    let (mut holder, mut other) = (edge.connect().await, edge.connect().await);
    let mut greedy = Frames::connect(edge.address).await;
    greedy.send(frames::get(1, "/")).await;
    greedy.outcome(1).await;
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(other.read_response().await.status, 200);
    holder.send("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n").await;
    edge.wait_for("asked").await;

    let streams = (0..MANY as u32).map(|number| 3 + 2 * number);
    greedy.send(streams.flat_map(|stream| frames::get(stream, "/turn/greedy")).collect::<Vec<_>>()).await;
    other.send("GET /turn/other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    edge.tell("go on");

    for client in [&mut holder, &mut other] {
        assert_eq!(client.read_response().await.status, 200);
    }
    greedy.outcome(2 * MANY as u32 + 1).await;
    let turns = edge.turns();
    let at = turns.iter().position(|whose| whose == "other").expect("it was answered");
    assert_eq!(turns.len(), MANY + 1);
    assert!(at <= A_FEW, "the other was number {at} of {}", turns.len());
}
