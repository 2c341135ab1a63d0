//! One client that asks for all it can get, and a hundred that ask for what they need. How long these wait is measured by `benches/flood`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use futures_util::future::join_all;
use tokio::{net::TcpSocket, sync::watch};

use super::support::{
    binary::{Binary, write},
    client::Client,
    origin::Origin,
    wire::{Socket, patiently},
};

const POLITE: usize = 100;
/// What each of them asks for.
const EACH: usize = 20;
const ABUSIVE: [u8; 4] = [127, 0, 2, 1];
/// How many connections the abusive one opens, of which it may have so many.
const OPENED: usize = 32;
const AT_ONCE: usize = 24;
/// Requests that it sends on each before it reads.
const PIPELINED: usize = 10;
/// What each client may have; one more in 36 s.
const LIMIT: usize = 100;

/// What became of what the abusive one has asked for.
struct Told {
    passed: AtomicUsize,
    refused: watch::Sender<usize>,
    connections_refused: AtomicUsize,
    is_over: AtomicBool,
}

async fn connect(from: [u8; 4], proxy: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((from, 0))).expect("the whole network is this machine");
    Client::over(Socket::Tcp(patiently("a connection", socket.connect(proxy)).await.expect("somebody listens")))
}

/// Asks on one connection, and never waits for one answer before it asks again.
async fn abuse(proxy: SocketAddr, told: &Told) {
    let mut client = connect(ABUSIVE, proxy).await;
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(PIPELINED);
    let mut is_let_in = false;
    while !told.is_over.load(Ordering::Relaxed) && client.try_send(&requests).await {
        for _ in 0..PIPELINED {
            match client.next_response_to("GET").await.map(|answer| answer.status) {
                Some(200) => {
                    told.passed.fetch_add(1, Ordering::Relaxed);
                }
                Some(429) => told.refused.send_modify(|count| *count += 1),
                Some(503) | None if !is_let_in => {
                    told.connections_refused.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                other => panic!("{other:?}"),
            }
            is_let_in = true;
        }
    }
}

async fn ask_politely(number: usize, proxy: SocketAddr) {
    let mut client = connect([127, 0, 1, number as u8 + 1], proxy).await;
    for _ in 0..EACH {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.read_response().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "client {number}: {}", answer.head);
    }
}

#[actix_rt::test]
async fn of_a_flood_from_one_client_no_other_loses_anything_and_it_gets_no_more_than_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let settings = format!(
        "listen = [\"127.0.0.1:0\"]\nlog.level = \"info,aqueduct::proxy=off\"\n\
         server = {{ workers = 2, max_connections_per_ip = {AT_ONCE} }}\n\
         [routes.\"/\"]\nto = \"{}\"\nrate_limit = {{ rate = \"{LIMIT}/1h\", key = \"ip\" }}\n",
        origin.url()
    );
    write(folder.path(), "edge.toml", settings);
    let proxy = Binary::run(folder.path(), &["--settings", "edge.toml"]).await;
    let (address, (refused, mut are_refused)) = (proxy.address, watch::channel(0));
    let told = Arc::new(Told {
        passed: AtomicUsize::new(0),
        refused,
        connections_refused: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let of_thread = Arc::clone(&told);
    let abusing = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(join_all((0..OPENED).map(|_| abuse(address, &of_thread))));
    });
    let mut until_refused = async |count: usize| {
        let waited = patiently("refusals", are_refused.wait_for(|refused| *refused >= count)).await;
        drop(waited.expect("it is counted as long as the test runs"));
    };

    until_refused(LIMIT).await;
    join_all((0..POLITE).map(|number| ask_politely(number, address))).await;
    until_refused(10 * LIMIT).await;
    told.is_over.store(true, Ordering::Relaxed);
    abusing.join().expect("it is told nothing else");

    let passed = told.passed.load(Ordering::Relaxed);
    assert!((LIMIT..=LIMIT + 1).contains(&passed), "{passed} passed");
    assert_eq!(origin.requests_seen(), POLITE * EACH + passed, "what is refused, no endpoint sees");
    assert_eq!(told.connections_refused.load(Ordering::Relaxed), OPENED - AT_ONCE);
}
