//! Several workers behind one address.

use std::collections::HashMap;

use aqueduct::settings::listener::Workers;
use futures_util::future::join_all;

use crate::support::edge::TestEdge;

#[actix_rt::test]
async fn connections_that_stay_are_shared_out_among_the_workers() {
    let edge = TestEdge::with(|settings| settings.workers = Workers::Exactly(4)).await;
    let mut clients = Vec::new();
    let mut by_worker = HashMap::new();

    for _ in 0..80 {
        let mut client = edge.connect().await;
        client.send("GET /worker HTTP/1.1\r\nHost: a\r\n\r\n").await;
        *by_worker.entry(client.read_response().await.text()).or_insert(0) += 1;
        clients.push(client);
    }

    assert_eq!(by_worker.len(), 4, "{by_worker:?}");
    // A worker that is busy for a moment may leave its next one to the others, so a share is not exact.
    assert!(by_worker.values().all(|count| (8..=40).contains(count)), "{by_worker:?}");
}

#[actix_rt::test]
async fn who_is_connected_when_the_server_stops_is_answered() {
    let edge = TestEdge::with(|settings| settings.workers = Workers::Exactly(2)).await;
    let mut clients = join_all((0..20).map(|_| edge.connect())).await;
    for client in &mut clients {
        client.send("GET /worker HTTP/1.1\r\nHost: a\r\n\r\n").await;
    }

    edge.drain();

    for mut client in clients {
        assert_eq!(client.read_response().await.status, 200);
    }
}
