//! What Prometheus is told of who comes in: connections, handshakes and HTTP/2, by listener.

use std::{net::SocketAddr, path::Path};

use super::support::{
    binary::Binary,
    client::{self, Client},
    h2::{self, H2, request},
    metrics::{CLEAR, metrics, proxy, says, settings, value},
    origin::Origin,
    scripts::cut_length,
    tls::{Authority, connect},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const HELLO: &str = "routes.\"/\".respond.body = \"hello\"\n";

/// A proxy with two listeners, the address of the second, and where it is asked for metrics.
async fn with_two_listeners(folder: &Path, more: &str) -> (Binary, SocketAddr, SocketAddr) {
    settings(folder, more);
    let mut server = Binary::run(folder, &["--settings", "edge.toml"]).await;
    let second = server.says_address("listening on ").await;
    let admin = server.says_address("telling operators at ").await;
    (server, second, admin)
}

/// A connection that is served, and stays.
async fn served(address: SocketAddr) -> Client {
    let mut client = Client::connect(address).await;
    client.send(GET).await;
    assert_eq!(client.read_response().await.status, 200);
    client
}

fn accepted(listener: SocketAddr) -> String {
    format!("aqueduct_connections_accepted_total{{listener=\"{listener}\"}}")
}

fn refused(listener: SocketAddr, reason: &str) -> String {
    format!("aqueduct_connections_refused_total{{listener=\"{listener}\",reason=\"{reason}\"}}")
}

#[actix_rt::test]
async fn connections_are_counted_where_they_came_in_and_a_reload_begins_nothing_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = format!("listen = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\n{HELLO}");
    let (mut server, second, admin) = with_two_listeners(folder.path(), &more).await;
    let first = server.address;
    served(first).await;
    served(first).await;
    served(second).await;

    settings(folder.path(), &format!("{more}server.timeouts.keep_alive = \"9s\"\n"));
    server.reload().await;
    served(first).await;

    let told = metrics(admin).await;
    assert_eq!((value(&told, &accepted(first)), value(&told, &accepted(second))), (Some(3.0), Some(1.0)));
    assert!(!told.contains("aqueduct_tls_handshakes_total"), "nobody speaks TLS here");
}

#[actix_rt::test]
async fn who_is_turned_away_is_counted_by_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = "listen = [{ addr = \"127.0.0.1:0\", max_connections = 1 }, \"127.0.0.1:0\"]\n";
    let more = format!("{listen}server.max_connections_per_ip = 3\n{HELLO}");
    let (mut server, second, admin) = with_two_listeners(folder.path(), &more).await;
    let first = server.address;
    let _two = [served(first).await, served(second).await];

    assert_eq!(client::request(first, GET).await.status, 503);
    says(admin, &refused(first, "listener"), 1.0).await;
    let _third = served(second).await;
    assert_eq!(client::request(second, GET).await.status, 503);
    says(admin, &refused(second, "address"), 1.0).await;
    settings(folder.path(), &format!("{more}server.max_connections = 3\n"));
    server.reload().await;
    assert_eq!(client::request(second, GET).await.status, 503);
    says(admin, &refused(second, "server"), 1.0).await;

    let told = metrics(admin).await;
    assert_eq!((value(&told, &accepted(first)), value(&told, &accepted(second))), (Some(1.0), Some(2.0)));
    let all: f64 =
        told.lines().filter(|line| line.starts_with("aqueduct_connections_refused_total{")).map(number).sum();
    assert_eq!(all, 3.0, "{told}");
}

/// At the end of a line.
fn number(line: &str) -> f64 {
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[actix_rt::test]
async fn who_says_nothing_of_whom_it_connects_for_is_counted_as_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = "listen = [{ addr = \"127.0.0.1:0\", proxy_protocol = { from = [\"127.0.0.1\"] } }]\n";
    let (server, admin) = proxy(folder.path(), &format!("{listen}{HELLO}")).await;
    let mut client = server.connect().await;

    client.send(GET).await;
    client.wait_closed().await;
    let mut announced = server.connect().await;
    announced.send(format!("PROXY TCP4 192.0.2.7 192.0.2.1 7 80\r\n{GET}")).await;
    assert_eq!(announced.read_response().await.status, 200);

    says(admin, &refused(server.address, "proxy_header"), 1.0).await;
    says(admin, &accepted(server.address), 1.0).await;
}

#[actix_rt::test]
async fn handshakes_are_counted_by_what_became_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let more = format!("{}server.timeouts.tls_handshake = \"1s\"\n{HELLO}", authority.listener(&["shop"]));
    let (server, admin) = proxy(folder.path(), &more).await;
    let outcome = |outcome: &str| {
        format!("aqueduct_tls_handshakes_total{{listener=\"{}\",outcome=\"{outcome}\"}}", server.address)
    };
    says(admin, &outcome("full"), 0.0).await;

    let (mut silent, config) = (server.connect().await, authority.client());
    for _ in 0..3 {
        let mut client = connect(server.address, "shop.example", config.clone()).await;
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200);
    }
    assert_eq!(client::request(server.address, GET).await.status, 400, "it speaks in the clear");
    silent.wait_closed().await;

    for (name, count) in [("full", 1.0), ("resumed", 2.0), ("failed", 1.0), ("late", 1.0)] {
        says(admin, &outcome(name), count).await;
    }
    says(admin, &accepted(server.address), 5.0).await;
}

#[actix_rt::test]
async fn connections_of_http2_and_who_resets_requests_there_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let silent = Origin::script(|mut conn, _| async move {
        conn.read_request().await;
        conn.tell("asked");
        conn.wait_closed().await;
    });
    let (silent, cut) = (silent.start().await, cut_length().start().await);
    let more = format!("{CLEAR}routes.\"/\" = {:?}\nroutes.\"/cut\" = {:?}\n", silent.url(), cut.url());
    let (server, admin) = proxy(folder.path(), &more).await;
    let resets = |by: &str| format!("aqueduct_http2_resets_total{{listener=\"{}\",by=\"{by}\"}}", server.address);
    let mut client = H2::connect(server.address).await;

    let (answer, mut stream) = client.begin(request("GET", "/"), true).await;
    silent.wait_for("asked").await;
    stream.send_reset(::h2::Reason::CANCEL);
    drop(answer);
    let (answer, _stream) = client.begin(request("GET", "/cut"), true).await;
    let body = answer.await.expect("a head").into_body();
    h2::read(body).await.expect_err("it breaks off");

    says(admin, &resets("client"), 1.0).await;
    says(admin, &resets("proxy"), 1.0).await;
    let connections = format!("aqueduct_http2_connections_total{{listener=\"{}\"}}", server.address);
    says(admin, &connections, 1.0).await;
    says(admin, &accepted(server.address), 1.0).await;
}
