//! Endpoints that were left alone and are well again, seen from a client of the running binary.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;

use super::support::{
    binary::{Binary, write},
    client,
    origin::Origin,
    scripts::unwell,
    wire::{fill, patiently},
};

/// An address where nobody listens yet, and nobody but its test will.
fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind((client::loopback(), 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}

async fn pair(folder: &Path, one: &str, other: &Origin, outlier: &str) -> (Binary, SocketAddr) {
    let common =
        "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver = { watch = false, workers = 1 }\n";
    let servers = format!("servers = [{one:?}, {:?}]\nbalance = \"round_robin\"\noutlier = {outlier}", other.url());
    write(folder, "edge.toml", format!("{common}routes.\"/\" = \"pair\"\n[upstreams.pair]\n{servers}\n"));
    Binary::with_operators(folder).await
}

/// What operators are told of the first of the two.
async fn told(operators: SocketAddr) -> Value {
    let status: Value = serde_json::from_str(&client::get(operators, "/status").await.text()).expect("JSON");
    status["upstreams"][0]["endpoints"][0].clone()
}

#[actix_rt::test]
async fn who_was_dead_gets_requests_as_soon_as_it_takes_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("endpoint.sock");
    for (by_tcp, url) in [(Some(nowhere()), String::new()), (None, format!("http+unix:{}", socket.display()))] {
        let url = by_tcp.map_or(url, |address| format!("http://{address}"));
        let well = Origin::answering("up").start().await;
        let (mut proxy, _) = pair(folder.path(), &url, &well, "{ eject = \"1h\", max_eject = \"off\" }").await;
        for _ in 0..10 {
            assert_eq!(proxy.get("/").await.text(), "up", "{url}");
        }
        proxy.says("takes no connections").await;

        let script = Origin::answering("back");
        let _back = match by_tcp {
            Some(address) => script.start_at(address).await,
            None => script.start_unix(&socket).await,
        };

        proxy.says("takes connections again").await;
        patiently("it gets requests", async { while proxy.get("/").await.text() != "back" {} }).await;
        proxy.says("has recovered").await;
    }
}

#[actix_rt::test]
async fn who_takes_connections_and_fails_is_left_alone_for_as_long_as_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_well = Arc::new(AtomicBool::new(false));
    let (ill, well) = (unwell(&is_well).await, Origin::answering("up").start().await);
    let outlier = "{ consecutive = 3, eject = \"1h\", max_eject = \"1h\" }";
    let (mut proxy, operators) = pair(folder.path(), &ill.url(), &well, outlier).await;
    while ill.requests_seen() < 3 {
        proxy.get("/").await;
    }
    proxy.says("gets no requests for 3600s").await;

    is_well.store(true, Ordering::SeqCst);
    // That of the requests, and the one that it is asked for.
    ill.wait_for_connections(2).await;

    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.text(), "up");
    }
    assert_eq!((ill.requests_seen(), told(operators).await["health"].as_str()), (3, Some("ejected")));
}

#[actix_rt::test]
async fn no_request_finds_out_that_who_is_dead_is_still_dead() {
    let folder = tempfile::tempdir().expect("a folder");
    let well = Origin::answering("up").start().await;
    let outlier = "{ eject = \"1ms\", max_eject = \"1h\" }";
    let (mut proxy, operators) = pair(folder.path(), &format!("http://{}", nowhere()), &well, outlier).await;
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.text(), "up");
    }
    proxy.says("takes no connections").await;
    let ejections = async || {
        let metrics = client::get(operators, "/metrics").await.text();
        let lines: Vec<_> =
            metrics.lines().filter(|line| line.starts_with("aqueduct_endpoint_ejections_total")).collect();
        lines.join("\n")
    };
    let before = ejections().await;

    for _ in 0..100 {
        assert_eq!(proxy.get("/").await.text(), "up");
    }

    assert_eq!(ejections().await, before, "each trial that fails is one more");
}

#[actix_rt::test]
async fn who_takes_connections_by_the_time_others_were_given_up_waits_for_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind((client::loopback(), 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let crowd = fill(&listener, address).await;
    let well = Origin::answering("up").start().await;
    let outlier = "{ consecutive = 3, eject = \"1h\", max_eject = \"1h\" }\n[defaults]\ntimeout.connect = \"500ms\"";
    let (mut proxy, operators) = pair(folder.path(), &format!("http://{address}"), &well, outlier).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    patiently("half of them wait", async { while told(operators).await["in_flight"] != 4 {} }).await;

    drop(crowd);
    rustix::net::listen(&listener, 128).expect("it listens with more room");
    let _back = Origin::answering("back").start_on(listener);

    for client in &mut clients {
        assert_eq!(client.read_response().await.text(), "up");
    }
    proxy.says("3 failures in a row").await;
    patiently("it gets requests", async { while proxy.get("/").await.text() != "back" {} }).await;
    proxy.says("has recovered").await;
}
