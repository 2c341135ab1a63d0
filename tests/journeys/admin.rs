//! What operators ask the running binary.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::support::{
    binary::{Binary, write},
    client::{self, Client},
    origin::Origin,
    tls::Authority,
    wire::patiently,
};

/// The answer to `GET /status` at this address.
async fn status(address: std::net::SocketAddr) -> Value {
    let answer = client::get(address, "/status").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&answer.text()).expect("JSON")
}

fn settings(folder: &Path, more: &str) {
    let text = format!("admin.listen = \"127.0.0.1:0\"\nserver.watch = false\n{more}");
    write(folder, "edge.toml", text);
}

#[actix_rt::test]
async fn the_status_says_which_settings_are_in_force_and_why_others_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    settings(folder.path(), "listen = [\"127.0.0.1:0\"]\n");
    let (mut server, admin) = Binary::with_operators(folder.path()).await;

    let first = status(admin).await;
    settings(folder.path(), "listen = [\"127.0.0.1:0\"]\nserver.backlgo = 5\n");
    server.signal(libc::SIGHUP);
    server.says("the settings are wrong").await;
    let refused = status(admin).await;
    settings(folder.path(), "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n");
    server.reload().await;
    server.says("listening on").await;
    let second = status(admin).await;

    assert_eq!(first["settings"]["generation"], 1);
    assert_eq!(first["settings"]["refused"], Value::Null);
    let file = first["settings"]["files"][0].as_str().expect("a file");
    assert!(file.ends_with("edge.toml"), "{file}");
    assert_eq!(refused["settings"]["generation"], 1);
    let why = refused["settings"]["refused"]["why"].as_str().expect("it says why");
    assert!(why.contains("backlgo") && why.contains("edge.toml:"), "{why}");
    assert_eq!(second["settings"]["generation"], 2);
    assert_eq!(second["settings"]["refused"], Value::Null);
    assert_eq!(second["listeners"].as_array().map(Vec::len), Some(2));
    assert!(second["settings"]["since"].as_str() > first["settings"]["since"].as_str());
}

#[actix_rt::test]
async fn the_status_says_who_is_there_and_where_requests_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_for("go on").await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let shop =
        format!("listen = [\"127.0.0.1:0\"]\nroutes.\"/\" = \"shop\"\nupstreams.shop.servers = [{:?}]\n", origin.url());
    settings(folder.path(), &format!("{shop}upstreams.shop.limit.requests = 5\n"));
    let (server, admin) = Binary::with_operators(folder.path()).await;
    let mut client = server.connect().await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("asked").await;
    let during = status(admin).await;
    origin.tell("go on");
    client.read_response().await;
    let over = async { while status(admin).await["upstreams"][0]["endpoints"][0]["in_flight"] != 0 {} };
    patiently("the request is over", over).await;

    assert_eq!(during["connections"], 1);
    assert_eq!(during["upstreams"][0]["name"], "shop");
    assert_eq!(during["upstreams"][0]["endpoints"][0]["in_flight"], 1);
    assert_eq!(during["upstreams"][0]["endpoints"][0]["protocol"], "auto");
    assert_eq!(
        during["upstreams"][0]["limit"],
        json!({ "requests": 5, "adaptive": false, "in_flight": 1, "waiting": 0, "refused": 0 })
    );
}

#[actix_rt::test]
async fn the_status_says_when_certificates_expire() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    settings(folder.path(), &authority.listener(&["shop"]));
    let (_server, admin) = Binary::with_operators(folder.path()).await;

    let status = status(admin).await;

    let certificate = &status["certificates"][0];
    assert_eq!((&status["listeners"][0]["tls"], &certificate["tls"]), (&"main".into(), &"main".into()));
    assert_eq!(certificate["file"], authority.path("shop.pem"));
    assert!(certificate["expires_in"].as_i64() > Some(0), "{certificate}");
}

#[actix_rt::test]
async fn operators_are_answered_at_a_unix_socket_and_pages_of_others_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("admin.sock");
    let text = format!("listen = [\"127.0.0.1:0\"]\nadmin.listen = \"unix:{}\"\n", socket.display());
    write(folder.path(), "edge.toml", text);
    let mut server = Binary::run(folder.path(), &["--settings", "edge.toml"]).await;
    server.says("telling operators at ").await;
    let mut client = Client::connect_unix(&socket).await;

    let mut answers = Vec::new();
    for (line, host) in [
        ("GET /status", "localhost"),
        ("GET /status", "rebound.example"),
        ("GET /", "localhost"),
        ("DELETE /status", "localhost"),
    ] {
        client.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        answers.push(client.read_response().await.status);
    }

    assert_eq!(answers, [200, 421, 404, 405]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600, "for its owner alone");
}
