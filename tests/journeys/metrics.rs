//! What Prometheus is told.

use std::collections::BTreeSet;

use super::support::{
    binary::write,
    client,
    metrics::{CLEAR, metrics, proxy, says, settings, value},
    origin::Origin,
    prometheus::{Prometheus, found_wrong_with},
    tls::Authority,
};

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

/// What docs/metrics.md has a row of.
fn documented() -> BTreeSet<&'static str> {
    let rows = include_str!("../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split_once('`').expect("a name ends").0).collect()
}

/// Has something of everything that is told.
fn everything(authority: &Authority, origin: &Origin) -> String {
    let (well, dead) = (origin.url(), client::refusing());
    format!(
        "listen = [\"127.0.0.1:0\", {{ addr = \"127.0.0.1:0\", tls = \"main\" }}]\n{}\
         log.access.path = \"access.log\"\nserver.workers = 1\n\
         routes.\"/\" = {{ to = \"shop\", hedge = {{}}, mirror = \"found\" }}\nroutes.\"/gone\" = \"http://{dead}\"\n\
         routes.\"/private\" = {{ respond = {{ status = 200 }}, ip_access = {{ deny = [\"127.0.0.0/8\"] }} }}\n\
         routes.\"/kept\" = {{ respond = {{ body = \"a\", headers = {{ cache-control = \"max-age=60\" }} }}, cache = {{ store = \"pages\" }} }}\n\
         [stores.pages]\ndisk = {{ path = \"pages\", size = \"16MiB\" }}\n\
         [upstreams.shop]\nservers = [\"http://{dead}\", {well:?}]\nbreaker = {{}}\nlimit = {{ requests = 9 }}\n\
         outlier.latency_factor = 4.0\nbalance = \"round_robin\"\n[upstreams.found]\ndiscover = {{ file = \"endpoints.toml\" }}\n",
        authority.certificates(&["shop"]),
    )
}

#[actix_rt::test]
async fn everything_that_is_documented_is_told_and_promtool_and_prometheus_can_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    write(folder.path(), "endpoints.toml", format!("servers = [{:?}]\n", origin.url()));
    let (server, admin) = proxy(folder.path(), &everything(&authority, &origin)).await;
    let prometheus = Prometheus::scraping(admin).await;

    for path in ["/", "/gone", "/private", "/", "/", "/kept", "/kept"] {
        server.get(path).await;
    }

    prometheus.says("aqueduct_cache_targets{store=\"pages\"}", 1.0).await;
    prometheus.says("aqueduct_filter_events_total{filter=\"cache\",event=\"hit\"}", 1.0).await;
    prometheus.says("aqueduct_breaker_state{upstream=\"shop\",state=\"closed\"}", 1.0).await;
    prometheus.says("aqueduct_limit_requests{upstream=\"shop\"}", 9.0).await;
    prometheus.says("aqueduct_mirror_copies_sent_total{upstream=\"found\"}", 3.0).await;
    prometheus.says("aqueduct_discovery_endpoints{upstream=\"found\"}", 1.0).await;
    prometheus.says("count(aqueduct_endpoint_state == 1)", 4.0).await;
    prometheus.says("sum(aqueduct_connections_accepted_total)", 7.0).await;
    prometheus.says("count(aqueduct_tls_handshakes_total == 0)", 4.0).await;
    prometheus.says("aqueduct_filter_events_total{filter=\"ip_access\",event=\"refused\"}", 1.0).await;
    let told = metrics(admin).await;
    for series in
        ["aqueduct_certificate_expiry_timestamp_seconds{tls=\"main\"", "aqueduct_errors_total{route=\"/gone\""]
    {
        assert!(told.contains(series), "{told}");
    }
    let is_told = |name: &str| told.contains(&format!("\n# TYPE {name} "));
    let missing: Vec<_> = documented().into_iter().filter(|name| !is_told(name)).collect();
    assert!(missing.is_empty(), "{missing:?} of\n{told}");
    assert_eq!(found_wrong_with(&told).await, "");
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
async fn content_that_head_is_not_sent_is_not_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, admin) = proxy(folder.path(), &format!("{CLEAR}routes.\"/\".respond.body = \"hello\"\n")).await;

    for method in ["HEAD", "GET", "HEAD"] {
        let mut client = server.connect().await;
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.read_response_to(method).await.status, 200);
    }

    says(admin, "aqueduct_requests_total{route=\"/\",upstream=\"\",class=\"2xx\"}", 3.0).await;
    says(admin, "aqueduct_response_body_bytes_total{route=\"/\",upstream=\"\"}", 5.0).await;
    assert!(!metrics(admin).await.contains("aqueduct_errors_total"), "it was all that HEAD is sent");
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
