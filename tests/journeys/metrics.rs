//! What Prometheus is told.

use std::{net::SocketAddr, path::Path};

use super::support::{
    binary::{Binary, write},
    client,
    origin::Origin,
    prometheus::{Prometheus, found_wrong_with},
    tls::Authority,
    wire::patiently,
};

/// A listener without TLS.
const CLEAR: &str = "listen = [\"127.0.0.1:0\"]\n";

/// A proxy with these routes and upstreams, and where it is asked for metrics.
async fn proxy(folder: &Path, more: &str) -> (Binary, SocketAddr) {
    settings(folder, more);
    Binary::with_operators(folder).await
}

fn settings(folder: &Path, more: &str) {
    let common = "admin.listen = \"127.0.0.1:0\"\nserver.watch = false\n";
    write(folder, "edge.toml", format!("{common}{more}"));
}

async fn metrics(admin: SocketAddr) -> String {
    let answer = client::get(admin, "/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.text()
}

/// What stands behind this name with these labels.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}

/// Waits until it is this: who counts does so when the client has everything.
async fn says(admin: SocketAddr, series: &str, wanted: f64) {
    patiently(series, async { while value(&metrics(admin).await, series) != Some(wanted) {} }).await;
}

#[actix_rt::test]
async fn a_real_prometheus_counts_as_many_requests_as_were_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let (server, admin) = proxy(folder.path(), &format!("{CLEAR}routes.\"/shop/\" = {:?}\n", origin.url())).await;
    let prometheus = Prometheus::scraping(admin).await;
    prometheus.says("up", 1.0).await;

    for _ in 0..7 {
        server.get("/shop/a").await;
    }
    server.get("/elsewhere").await;

    prometheus.says("aqueduct_requests_total{route=\"/shop/\",class=\"2xx\"}", 7.0).await;
    prometheus.says("sum(aqueduct_requests_total)", 8.0).await;
    prometheus.says("aqueduct_request_duration_seconds_count{route=\"/shop/\"}", 7.0).await;
    prometheus.says("aqueduct_errors_total{route=\"\",error=\"destination_not_found\"}", 1.0).await;
}

#[actix_rt::test]
async fn promtool_finds_nothing_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let more = format!(
        "log.access.path = \"access.log\"\nroutes.\"/\" = \"shop\"\nroutes.\"/gone\" = \"http://{}\"\n\
         upstreams.shop.servers = [\"http://{}\", {{ url = {:?}, backup = true }}]\n{}",
        client::refusing(),
        client::refusing(),
        origin.url(),
        authority.certificates(&["shop"]),
    );
    let listen = "listen = [\"127.0.0.1:0\", { addr = \"127.0.0.1:0\", tls = \"main\" }]\n";
    let (server, admin) = proxy(folder.path(), &format!("{listen}{more}")).await;
    for path in ["/", "/gone"] {
        server.get(path).await;
    }
    says(admin, "aqueduct_retries_total{route=\"/\",upstream=\"shop\"}", 1.0).await;
    says(admin, "aqueduct_requests_total{route=\"/\",upstream=\"shop\",class=\"2xx\"}", 1.0).await;

    let text = metrics(admin).await;

    assert_eq!(found_wrong_with(&text).await, "");
    for series in
        ["aqueduct_certificate_expiry_timestamp_seconds{tls=\"main\"", "aqueduct_errors_total{route=\"/gone\""]
    {
        assert!(text.contains(series), "{text}");
    }
}

#[actix_rt::test]
async fn what_clients_write_is_no_label() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, admin) = proxy(folder.path(), CLEAR).await;

    server.get("/hunter2?hunter2").await;
    client::request(server.address, "HUNTER2 / HTTP/1.1\r\nHost: hunter2\r\n\r\n").await;
    client::request(server.address, "GET / HTTP/1.1\r\nHost: a\r\nhunter2: a\rb\r\n\r\n").await;

    says(admin, "aqueduct_requests_total{route=\"\",upstream=\"\",class=\"4xx\"}", 2.0).await;
    says(admin, "aqueduct_requests_total{route=\"\",upstream=\"\",class=\"5xx\"}", 1.0).await;
    assert!(!metrics(admin).await.to_lowercase().contains("hunter2"));
}

#[actix_rt::test]
async fn bytes_are_those_of_content_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let (server, admin) = proxy(folder.path(), &format!("{CLEAR}routes.\"/\" = {:?}\n", origin.url())).await;
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n";

    client::request(server.address, chunked).await;
    client::request(server.address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;

    let labels = format!("{{route=\"/\",upstream=\"{}\"}}", origin.url());
    says(admin, &format!("aqueduct_request_body_bytes_total{labels}"), 10.0).await;
    says(admin, &format!("aqueduct_response_body_bytes_total{labels}"), 10.0).await;
    assert_eq!(value(&metrics(admin).await, &format!("aqueduct_first_byte_seconds_count{labels}")), Some(2.0));
}

#[actix_rt::test]
async fn counters_go_on_over_a_reload_and_pairs_beyond_the_limit_are_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixed = format!("{CLEAR}admin.max_series = 1\nroutes.\"/a\".respond = {{ status = 200 }}\n");
    let (mut server, admin) = proxy(folder.path(), &fixed).await;
    server.get("/a").await;

    settings(folder.path(), &format!("{fixed}routes.\"/b\".respond = {{ status = 200 }}\n"));
    server.reload().await;
    server.get("/a").await;
    server.get("/b").await;

    says(admin, "aqueduct_requests_total{route=\"/a\",upstream=\"\",class=\"2xx\"}", 2.0).await;
    says(admin, "aqueduct_requests_total{route=\"other\",upstream=\"\",class=\"2xx\"}", 1.0).await;
    says(admin, "aqueduct_reloads_total{outcome=\"in_force\"}", 1.0).await;
    says(admin, "aqueduct_generation", 2.0).await;
}

#[actix_rt::test]
async fn who_leaves_before_the_answer_is_counted_as_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &format!("{CLEAR}routes.\"/\" = {:?}\n", origin.url())).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("asked").await;

    client.reset();

    let labels = format!("route=\"/\",upstream=\"{}\"", origin.url());
    says(admin, &format!("aqueduct_requests_total{{{labels},class=\"4xx\"}}"), 1.0).await;
}

#[actix_rt::test]
async fn open_metrics_are_told_to_who_asks_for_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, admin) = proxy(folder.path(), CLEAR).await;
    let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n";

    let answer = client::request(admin, head).await;

    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(answer.text().ends_with("# EOF\n"), "{}", answer.text());
}
