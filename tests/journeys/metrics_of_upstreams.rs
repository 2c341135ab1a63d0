//! What Prometheus is told of upstreams: breakers, limits, hedges, mirrors, discovery and the states of endpoints.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinHandle;

use super::support::{
    binary::write,
    client::{self, Response},
    metrics::{CLEAR, metrics, proxy, says, value},
    origin::{Origin, Script},
    scripts::unwell,
    wire::patiently,
};

/// Reads a request, says so, and answers nobody.
fn silent() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_request().await;
        conn.tell("asked");
        conn.wait_closed().await;
    })
}

/// A GET under way.
fn get(address: SocketAddr, path: &str) -> JoinHandle<Response> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    actix_rt::spawn(async move { client::request(address, request).await })
}

#[actix_rt::test]
async fn a_breaker_that_opens_is_told_of_as_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = unwell(&Arc::new(AtomicBool::new(false))).await;
    let more = format!(
        "{CLEAR}routes.\"/\" = \"shop\"\nupstreams.shop = {{ servers = [{:?}], retry.attempts = 1, \
         breaker = {{ requests = 2, open = \"1h\", max_open = \"1h\" }} }}\n",
        origin.url()
    );
    let (server, admin) = proxy(folder.path(), &more).await;
    says(admin, "aqueduct_breaker_state{upstream=\"shop\",state=\"closed\"}", 1.0).await;
    says(admin, "aqueduct_breaker_openings_total{upstream=\"shop\"}", 0.0).await;

    for _ in 0..3 {
        server.get("/").await;
    }

    says(admin, "aqueduct_breaker_openings_total{upstream=\"shop\"}", 1.0).await;
    let told = metrics(admin).await;
    assert_eq!(value(&told, "aqueduct_breaker_state{upstream=\"shop\",state=\"open\"}"), Some(1.0));
    assert_eq!(told.matches("\naqueduct_breaker_state{").count(), 1, "{told}");
}

#[actix_rt::test]
async fn who_waits_at_a_limit_and_who_is_turned_away_is_told_with_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = silent().start().await;
    let upstream = |name: &str, timeout: &str| {
        let limit = format!("limit = {{ requests = 1, queue = 1, queue_timeout = \"{timeout}\" }}");
        format!("upstreams.{name} = {{ servers = [{:?}], {limit} }}\n", origin.url())
    };
    let more = format!(
        "{CLEAR}routes.\"/\" = \"few\"\nroutes.\"/low\" = {{ to = \"few\", class = \"sheddable\" }}\n\
         routes.\"/high\" = {{ to = \"few\", class = \"critical\" }}\nroutes.\"/brief\" = \"brief\"\n{}{}",
        upstream("few", "1h"),
        upstream("brief", "1ms"),
    );
    let (server, admin) = proxy(folder.path(), &more).await;
    let refused =
        |name: &str, reason: &str| format!("aqueduct_limit_refused_total{{upstream=\"{name}\",reason=\"{reason}\"}}");
    says(admin, "aqueduct_limit_requests{upstream=\"few\"}", 1.0).await;
    let _held = [get(server.address, "/"), get(server.address, "/brief")];
    for name in ["few", "brief"] {
        says(admin, &format!("aqueduct_limit_requests_in_flight{{upstream=\"{name}\"}}"), 1.0).await;
    }

    let low = get(server.address, "/low");
    says(admin, "aqueduct_limit_requests_waiting{upstream=\"few\"}", 1.0).await;
    let _waits = get(server.address, "/high");
    low.await.expect("it was shed");
    server.get("/low").await;
    server.get("/brief").await;

    let told = metrics(admin).await;
    for (name, reason, count) in [
        ("few", "shed", 1.0),
        ("few", "queue_full", 1.0),
        ("few", "queue_timeout", 0.0),
        ("brief", "queue_timeout", 1.0),
    ] {
        assert_eq!(value(&told, &refused(name, reason)), Some(count), "{name}: {reason}");
    }
    assert_eq!(value(&told, "aqueduct_limit_requests_waiting{upstream=\"few\"}"), Some(1.0));
}

#[actix_rt::test]
async fn of_a_limit_that_is_found_out_what_was_found_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let limit = "limit = { requests = 1000, adaptive = true }";
    let more = format!(
        "{CLEAR}routes.\"/\" = \"some\"\nupstreams.some = {{ servers = [{:?}], {limit} }}\n\
         upstreams.each = {{ servers = [{:?}], limit.per_endpoint = 3 }}\n",
        origin.url(),
        origin.url()
    );

    let (_server, admin) = proxy(folder.path(), &more).await;

    // What it begins with: much less than it may become.
    says(admin, "aqueduct_limit_requests{upstream=\"some\"}", 20.0).await;
    assert!(
        !metrics(admin).await.contains("aqueduct_limit_requests{upstream=\"each\"}"),
        "nothing limits them together"
    );
}

#[actix_rt::test]
async fn hedges_that_were_sent_and_that_won_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (slow, fast) = (silent().start().await, Origin::answering("up").start().await);
    let more = format!(
        "{CLEAR}server.workers = 1\nroutes.\"/\" = {{ to = \"pair\", hedge = {{ at = \"10ms\", budget = \"100%\" }} }}\n\
         upstreams.pair = {{ servers = [{:?}, {:?}], balance = \"round_robin\" }}\n\
         upstreams.other = {{ servers = [{:?}] }}\n",
        slow.url(),
        fast.url(),
        fast.url()
    );
    let (server, admin) = proxy(folder.path(), &more).await;
    says(admin, "aqueduct_hedges_sent_total{upstream=\"pair\"}", 0.0).await;

    for _ in 0..2 {
        assert_eq!(server.get("/").await.text(), "up");
    }

    says(admin, "aqueduct_hedges_sent_total{upstream=\"pair\"}", 1.0).await;
    says(admin, "aqueduct_hedges_won_total{upstream=\"pair\"}", 1.0).await;
    assert!(!metrics(admin).await.contains("hedges_sent_total{upstream=\"other\"}"));
}

#[actix_rt::test]
async fn copies_that_a_mirror_got_and_that_it_did_not_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (main, other) = (Origin::answering("main").start().await, silent().start().await);
    let more = format!(
        "{CLEAR}routes.\"/\" = {{ to = {:?}, mirror = {{ to = \"copy\", requests = 1, max_body = \"4B\" }} }}\n\
         routes.\"/dead\" = {{ to = {:?}, mirror = \"dead\" }}\n\
         upstreams.copy.servers = [{:?}]\nupstreams.dead.servers = [\"http://{}\"]\n",
        main.url(),
        main.url(),
        other.url(),
        client::refusing(),
    );
    let (server, admin) = proxy(folder.path(), &more).await;

    for _ in 0..3 {
        assert_eq!(server.get("/").await.text(), "main");
    }
    let long = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234567890123456789";
    client::request(server.address, long).await;
    server.get("/dead").await;

    says(admin, "aqueduct_mirror_copies_sent_total{upstream=\"copy\"}", 1.0).await;
    says(admin, "aqueduct_mirror_copies_dropped_total{upstream=\"copy\"}", 3.0).await;
    says(admin, "aqueduct_mirror_copies_sent_total{upstream=\"dead\"}", 1.0).await;
    let failed = "aqueduct_upstream_attempt_failures_total{upstream=\"dead\",error=\"connection_refused\"}";
    says(admin, failed, 1.0).await;
}

#[actix_rt::test]
async fn endpoints_that_are_found_are_counted_with_when_and_how_often_they_were_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = format!("{CLEAR}routes.\"/\" = \"app\"\nupstreams.app.discover = {{ file = \"endpoints.toml\" }}\n");
    write(folder.path(), "endpoints.toml", "servers = [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"]\n");
    let (_server, admin) = proxy(folder.path(), &more).await;
    let (found, failed) =
        ("aqueduct_discovery_endpoints{upstream=\"app\"}", "aqueduct_discovery_failures_total{upstream=\"app\"}");
    let succeeded = "aqueduct_discovery_last_success_timestamp_seconds{upstream=\"app\"}";
    says(admin, found, 2.0).await;
    says(admin, failed, 0.0).await;
    let (told, now) = (metrics(admin).await, std::time::UNIX_EPOCH.elapsed().expect("it is later").as_secs_f64());
    let first = value(&told, succeeded).expect("they were found");
    assert!((0.0..60.0).contains(&(now - first)), "{first}");

    write(folder.path(), "endpoints.toml", "servers = [\"ftp://a\"]\n");
    patiently("a failure", async { while value(&metrics(admin).await, failed) == Some(0.0) {} }).await;

    let told = metrics(admin).await;
    assert_eq!((value(&told, found), value(&told, succeeded)), (Some(2.0), Some(first)));
}

#[actix_rt::test]
async fn the_state_of_an_endpoint_is_told_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_well = Arc::new(AtomicBool::new(false));
    let (origin, other) = (unwell(&is_well).await, Origin::answering("hello").start().await);
    let more = format!(
        "{CLEAR}routes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = [{:?}, {:?}]\nbalance = \"round_robin\"\nslow_start = \"1h\"\n\
         outlier = {{ consecutive = 2, eject = \"200ms\", max_eject = \"200ms\" }}\n",
        origin.url(),
        other.url()
    );
    let (server, admin) = proxy(folder.path(), &more).await;
    let state = |origin: &Origin, state: &str| {
        let endpoint = origin.address();
        format!("aqueduct_endpoint_state{{upstream=\"shop\",endpoint=\"{endpoint}\",state=\"{state}\"}}")
    };
    says(admin, &state(&origin, "well"), 1.0).await;

    for _ in 0..6 {
        server.get("/").await;
    }
    says(admin, &state(&origin, "on_trial"), 1.0).await;
    is_well.store(true, Ordering::SeqCst);
    let recovers = async { while server.get("/").await.text() != "up" {} };
    patiently("it is tried", recovers).await;
    says(admin, &state(&origin, "warming"), 1.0).await;
    let order = format!("{{\"endpoint\":\"{}\"}}", other.address());
    let (fields, length) = ("Host: localhost\r\nContent-Type: application/json\r\nConnection: close", order.len());
    let drain = format!("POST /upstreams/shop/drain HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{order}");
    assert_eq!(client::request(admin, drain).await.status, 200);
    says(admin, &state(&other, "drained"), 1.0).await;

    assert_eq!(metrics(admin).await.matches("\naqueduct_endpoint_state{").count(), 2, "each has one state");
}

#[actix_rt::test]
async fn a_server_that_drains_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = silent().start().await;
    let (server, admin) = proxy(folder.path(), &format!("{CLEAR}routes.\"/\" = {:?}\n", origin.url())).await;
    says(admin, "aqueduct_draining", 0.0).await;
    let _held = get(server.address, "/");
    origin.wait_for("asked").await;

    server.signal(libc::SIGTERM);

    says(admin, "aqueduct_draining", 1.0).await;
}
