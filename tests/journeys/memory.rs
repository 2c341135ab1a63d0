//! Memory of the whole process, with the allocator it is delivered with.

use std::time::{Duration, Instant};

use super::{
    edge_connections::raise_open_files,
    support::{
        binary::{Binary, write},
        client::Client,
        edge::MOMENT,
    },
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SETTINGS: &str = "listen = [\"127.0.0.1:0\"]\nroutes.\"/\".respond.body = \"hello\"\n\
    [server]\nworkers = 1\ntimeouts.keep_alive = \"20s\"\n";

/// What may be left of it, in KiB: a sixth of the least that the whole program takes, with its code.
const MOST_LEFT: u64 = 1280;
/// So many connections at once.
const BURST: usize = 10_000;
/// Within which it must have been given back. For as long as their deadlines would have been, some of it is remembered.
const SOON: Duration = Duration::from_secs(60);

#[actix_rt::test]
async fn what_ten_thousand_connections_have_taken_is_given_back() {
    raise_open_files();
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "edge.toml", SETTINGS);
    let server = Binary::run(folder.path(), &["--settings", "edge.toml"]).await;
    // What is made once is made by these.
    drop(served(&server, 64).await);
    let start = least(&server, 0, Duration::from_secs(4)).await;

    let crowd = served(&server, BURST).await;
    let in_the_crowd = server.memory();
    drop(crowd);

    // On a busy machine all but the last are parked by then.
    assert!(in_the_crowd > start + 2 * MOST_LEFT, "{in_the_crowd} KiB, and {start} before");
    let enough = start + MOST_LEFT;
    let after = least(&server, enough, SOON).await;
    println!("{start} KiB before, {in_the_crowd} in the crowd, {after} after");
    assert!(after <= enough, "{after} KiB are left of {in_the_crowd}, and {start} there were before");
}

/// So many connections, each of which had an answer.
async fn served(server: &Binary, count: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = server.connect().await;
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200);
        clients.push(client);
    }
    clients
}

/// The least that it has within a while; as soon as it is as little as this, there is no need to wait for less.
async fn least(server: &Binary, enough: u64, within: Duration) -> u64 {
    let (began, mut least) = (Instant::now(), u64::MAX);
    while began.elapsed() < within && least > enough {
        tokio::time::sleep(MOMENT).await;
        least = least.min(server.memory());
    }
    least
}
