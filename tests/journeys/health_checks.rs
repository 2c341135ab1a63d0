//! Endpoints that are asked whether they are well, by the running binary.

use std::{
    fs,
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
    grpc::Peer,
    origin::Origin,
    wire::patiently,
};

const OFTEN: &str = "every = \"20ms\"\nrise = 2\nfall = 2\n";

/// An origin that always works; what it says of itself at `/healthz` is `is_well`'s.
async fn checked(is_well: &Arc<AtomicBool>) -> Origin {
    let is_well = Arc::clone(is_well);
    Origin::serving(move |head, _| {
        let ill = head.starts_with("GET /healthz ") && !is_well.load(Ordering::SeqCst);
        let (status, body) = if ill { ("500 No", "ill") } else { ("200 OK", "all good") };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
    })
    .start()
    .await
}

async fn run(folder: &Path, upstreams: &str) -> Binary {
    settings(folder, upstreams);
    Binary::run(folder, &["--settings", "edge.toml"]).await
}

fn settings(folder: &Path, upstreams: &str) {
    let own =
        "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver.watch = false\nroutes.\"/\" = \"app\"\n";
    write(folder, "edge.toml", format!("{own}{upstreams}"));
}

fn pair(one: &Origin, other: &Origin, health: &str) -> String {
    let servers = format!("servers = [{:?}, {:?}]\nbalance = \"round_robin\"", one.url(), other.url());
    format!("[upstreams.app]\n{servers}\n{health}")
}

async fn health_of(admin: std::net::SocketAddr, upstream: usize, endpoint: usize) -> Value {
    let status: Value = serde_json::from_str(&client::get(admin, "/status").await.text()).expect("JSON");
    status["upstreams"][upstream]["endpoints"][endpoint]["health"].clone()
}

fn requests(origin: &Origin) -> usize {
    origin.requests().iter().filter(|request| request.starts_with("GET / ")).count()
}

#[actix_rt::test]
async fn an_endpoint_gets_no_requests_while_it_fails_its_checks() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_well = Arc::new(AtomicBool::new(false));
    let (ill, well) = (checked(&is_well).await, checked(&Arc::new(AtomicBool::new(true))).await);
    let health = format!("[upstreams.app.health]\npath = \"/healthz\"\nbody = \"good\"\n{OFTEN}");
    let mut server = run(folder.path(), &pair(&ill, &well, &health)).await;
    let admin = server.says_address("telling operators at ").await;

    let why = server.says("fails its checks").await;
    let before = requests(&ill);
    for _ in 0..10 {
        assert_eq!(server.get("/").await.status, 200);
    }
    assert_eq!((requests(&ill), requests(&well)), (before, 10));
    assert!(why.contains("it answers 500"), "{why}");
    assert_eq!(health_of(admin, 0, 0).await, "fails checks");

    is_well.store(true, Ordering::SeqCst);
    server.says("passes its checks again").await;
    for _ in 0..10 {
        assert_eq!(server.get("/").await.status, 200);
    }
    assert_eq!((requests(&ill), requests(&well)), (before + 5, 15));
    assert_eq!(health_of(admin, 0, 0).await, "well");
}

#[actix_rt::test]
async fn an_endpoint_whose_answer_lacks_what_it_must_contain_or_that_is_silent_fails_too() {
    for (health, silent, expected) in [
        ("path = \"/\"\nbody = \"excellent\"\n", false, "does not contain `excellent`"),
        ("path = \"/\"\nstatus = \"300-399\"\n", false, "it answers 200"),
        ("path = \"/\"\ntimeout = \"60ms\"\n", true, "no answer within 60ms"),
        ("kind = \"tcp\"\nport = 1\n", false, "refused"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let one = if silent {
            Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await
        } else {
            checked(&Arc::new(AtomicBool::new(true))).await
        };
        let other = checked(&Arc::new(AtomicBool::new(true))).await;
        let mut server =
            run(folder.path(), &pair(&one, &other, &format!("[upstreams.app.health]\n{OFTEN}{health}"))).await;

        let why = server.says("fails its checks").await;

        assert!(why.contains(expected), "{why}");
    }
}

#[actix_rt::test]
async fn checks_ask_at_the_port_and_for_the_host_that_they_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (app, asked) = (Origin::answering("app").start().await, Origin::answering("good").start().await);
    let port = asked.address().port();
    let health = format!("path = \"/healthz\"\nport = {port}\nhost = \"check.example\"\n{OFTEN}");
    let upstream = format!("[upstreams.app]\nservers = [{:?}]\n[upstreams.app.health]\n{health}", app.url());

    let server = run(folder.path(), &upstream).await;
    asked.wait_for_requests(1).await;
    assert_eq!(server.get("/").await.text(), "app");

    let check = asked.request(0);
    assert!(check.starts_with("GET /healthz HTTP/1.1\r\n"), "{check}");
    assert!(check.to_ascii_lowercase().contains("\r\nhost: check.example\r\n"), "{check}");
    assert_eq!(app.requests_seen(), 1, "its own port is not asked");
}

#[actix_rt::test]
async fn when_checks_go_or_change_at_a_reload_endpoints_are_what_the_new_ones_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ill, well) = (checked(&Arc::default()).await, checked(&Arc::new(AtomicBool::new(true))).await);
    let health = format!("[upstreams.app.health]\npath = \"/healthz\"\n{OFTEN}");
    let mut server = run(folder.path(), &pair(&ill, &well, &health)).await;
    let admin = server.says_address("telling operators at ").await;
    server.says("fails its checks").await;

    // The same with another weight of the other one: what is known stays known.
    let text = fs::read_to_string(folder.path().join("edge.toml")).expect("it was written");
    let heavier = text.replace(&format!("{:?}]", well.url()), &format!("{{ url = {:?}, weight = 2 }}]", well.url()));
    assert_ne!(heavier, text);
    write(folder.path(), "edge.toml", heavier);
    server.reload().await;
    assert_eq!(health_of(admin, 0, 0).await, "fails checks");

    settings(folder.path(), &pair(&ill, &well, ""));
    server.reload().await;
    let is_well = async { while health_of(admin, 0, 0).await != "well" {} };
    patiently("it is not checked any more", is_well).await;
}

#[actix_rt::test]
async fn endpoints_of_grpc_are_asked_in_its_own_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let peer = Peer::start().await;
    let upstream = |name: &str, service: &str| {
        let servers = format!("servers = [\"http://{}\", \"http://localhost:1\"]\nprotocol = \"h2c\"", peer.address);
        format!(
            "[upstreams.{name}]\n{servers}\n[upstreams.{name}.health]\nkind = \"grpc\"\nservice = {service:?}\n{OFTEN}"
        )
    };
    let mut server = run(folder.path(), &[upstream("app", ""), upstream("other", "no.such.Service")].concat()).await;
    let admin = server.says_address("telling operators at ").await;

    let why = server.says("of other gets no requests, for it fails its checks: it answers with grpc-status").await;

    assert!(why.contains("grpc-status 5"), "{why}");
    assert_eq!(health_of(admin, 0, 0).await, "well");
}

#[actix_rt::test]
async fn who_is_told_whose_connections_are_is_told_that_a_check_is_nobodys() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (checked(&Arc::default()).await, checked(&Arc::default()).await);
    let health = format!("proxy_protocol = \"v1\"\n[upstreams.app.health]\npath = \"/healthz\"\n{OFTEN}");
    let _server = run(folder.path(), &pair(&one, &other, &health)).await;

    one.wait_for_requests(1).await;

    let request = &one.requests()[0];
    assert!(request.starts_with("PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\n"), "{request}");
}
