//! Changing without dropping: settings are read again while the server runs.

use std::{
    cell::Cell,
    fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::Path,
    rc::Rc,
};

use rustls::version::TLS12;
use tempfile::TempDir;

use super::support::{
    binary::{Binary, write},
    client::Client,
    origin::{Origin, Script},
    proxy::TestProxy,
    tls::{Authority, over, shake_hands, shown},
};

const WEBSOCKET: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// One listener, and a route that answers for itself.
fn answering(text: &str) -> String {
    format!("listen = [\"127.0.0.1:0\"]\n[routes]\n\"/\" = {{ respond = {{ body = \"{text}\" }} }}\n")
}

/// So many listeners, and everything to this origin; read when the test says so.
fn listening(count: usize, origin: &Origin) -> String {
    let listen = vec!["\"127.0.0.1:0\""; count].join(", ");
    format!("listen = [{listen}]\nserver.watch = false\n[routes]\n\"/\" = \"{}\"\n", origin.url())
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn ask(client: &mut Client, path: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    client.read_response().await.text()
}

/// Answers with its word once it is told to.
fn held(word: &'static str) -> Script {
    Origin::script(move |mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_for("go on").await;
        conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{word}", word.len())).await;
        conn.wait_closed().await;
    })
}

/// Answers requests, and sends back what comes through a tunnel.
fn answering_and_echoing(word: &'static str) -> Script {
    Origin::script(move |mut conn, _| async move {
        while let Some(head) = conn.next_head().await {
            if !head.starts_with("GET /chat ") {
                conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{word}", word.len())).await;
                continue;
            }
            conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
            loop {
                let seen = conn.read_exact(4).await;
                conn.write(seen).await;
            }
        }
    })
}

#[actix_rt::test]
async fn sighup_swaps_a_route() {
    let folder = folder();
    write(folder.path(), "a.toml", format!("{}[server]\nwatch = false\n", answering("old")));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let mut client = server.connect().await;
    assert_eq!(ask(&mut client, "/").await, "old");

    write(folder.path(), "a.toml", format!("{}\"/b\" = \"http://b\"\n[server]\nwatch = false\n", answering("new")));
    let said = server.reload().await;

    assert_eq!(ask(&mut client, "/").await, "new");
    assert!(said.contains("generation 2 is in force: routes 1 added (/b), 1 changed (/)"), "{said}");
}

#[actix_rt::test]
async fn all_layers_are_read_again() {
    let folder = folder();
    fs::create_dir(folder.path().join("settings")).expect("a folder");
    write(folder.path(), "settings/default.toml", answering("default"));
    let arguments = ["--route", "/flag=http://127.0.0.1:9", "--listen", "127.0.0.1:0"];
    let mut server = Binary::run(folder.path(), &arguments).await;

    write(folder.path(), "settings/local.toml", "[routes]\n\"/\" = { respond = { body = \"local\" } }\n");
    server.reload().await;

    assert_eq!(server.get("/").await.text(), "local");
    assert_eq!(server.get("/flag").await.status, 502);
}

#[actix_rt::test]
async fn a_file_that_is_written_is_read_without_a_signal() {
    let folder = folder();
    write(folder.path(), "a.toml", answering("old"));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    write(folder.path(), "a.toml", answering("new"));

    server.says("generation 2 is in force").await;
    assert_eq!(server.get("/").await.text(), "new");
}

#[actix_rt::test]
async fn a_file_that_is_renamed_into_place_is_read() {
    let folder = folder();
    write(folder.path(), "a.toml", answering("0"));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    for (text, generation) in [("1", 2), ("2", 3)] {
        write(folder.path(), ".a.toml.swp", answering(text));
        fs::rename(folder.path().join(".a.toml.swp"), folder.path().join("a.toml")).expect("it can be moved");

        server.says(&format!("generation {generation} is in force")).await;
        assert_eq!(server.get("/").await.text(), text);
    }
}

/// What a mounted ConfigMap looks like: files are links through `..data`, which is swapped as a whole.
#[actix_rt::test]
async fn a_link_that_is_swapped_as_kubernetes_does_is_followed() {
    let folder = folder();
    let mounted = folder.path().join("settings");
    let publish = |version: &str| {
        fs::create_dir(mounted.join(version)).expect("a folder");
        write(&mounted.join(version), "default.toml", answering(version));
        symlink(version, mounted.join("..data_tmp")).expect("a link");
        fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).expect("it can be moved");
    };
    fs::create_dir(&mounted).expect("a folder");
    publish("..1");
    symlink("..data/default.toml", mounted.join("default.toml")).expect("a link");
    let mut server = Binary::run(folder.path(), &["--settings", "settings"]).await;

    for (version, before, generation) in [("..2", "..1", 2), ("..3", "..2", 3)] {
        publish(version);
        fs::remove_dir_all(mounted.join(before)).expect("it is there");

        server.says(&format!("generation {generation} is in force")).await;
        assert_eq!(server.get("/").await.text(), version);
    }
}

#[actix_rt::test]
async fn a_folder_that_is_replaced_is_read() {
    let folder = folder();
    let (settings, next) = (folder.path().join("settings"), folder.path().join("next"));
    fs::create_dir(&settings).expect("a folder");
    write(&settings, "default.toml", answering("0"));
    let mut server = Binary::run(folder.path(), &["--settings", "settings"]).await;

    for (text, generation) in [("1", 2), ("2", 3)] {
        fs::create_dir(&next).expect("a folder");
        write(&next, "default.toml", answering(text));
        fs::remove_dir_all(&settings).expect("it is there");
        fs::rename(&next, &settings).expect("it can be moved");

        server.says(&format!("generation {generation} is in force")).await;
        assert_eq!(server.get("/").await.text(), text);
    }
}

#[actix_rt::test]
async fn broken_settings_are_told_by_line_and_the_old_plan_stays() {
    let folder = folder();
    write(folder.path(), "a.toml", answering("old"));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    write(folder.path(), "a.toml", format!("{}\"/a\" = \"nobody\"\n[server]\nworkerz = 2\n", answering("new")));

    server.says("the settings are wrong, generation 1 stays in force").await;
    for place in ["a.toml:4:8", "a.toml:6:1"] {
        server.says(place).await;
    }
    assert_eq!(server.get("/").await.text(), "old");

    write(folder.path(), "a.toml", answering("mended"));
    server.says("generation 2 is in force").await;
    assert_eq!(server.get("/").await.text(), "mended");
}

#[actix_rt::test]
async fn a_file_that_disappears_or_is_empty_changes_nothing_until_it_is_back() {
    let folder = folder();
    fs::create_dir(folder.path().join("settings")).expect("a folder");
    write(folder.path(), "settings/default.toml", answering("old"));
    let mut server = Binary::run(folder.path(), &["--settings", "settings"]).await;

    fs::remove_file(folder.path().join("settings/default.toml")).expect("it is there");
    server.says("default.toml is gone").await;
    assert_eq!(server.get("/").await.text(), "old");

    write(folder.path(), "settings/default.toml", answering("new"));
    server.says("generation 2 is in force").await;
    assert_eq!(server.get("/").await.text(), "new");
}

#[actix_rt::test]
async fn without_a_file_there_is_nothing_to_read() {
    let folder = folder();
    let mut server = Binary::run(folder.path(), &["--listen", "127.0.0.1:0"]).await;

    server.signal(libc::SIGHUP);

    server.says("there is nothing to read").await;
    assert_eq!(server.get("/").await.status, 404);
}

#[actix_rt::test]
async fn files_are_not_watched_if_the_settings_say_so_until_they_say_otherwise() {
    let folder = folder();
    let settings = |text: &str, watch: bool| format!("{}[server]\nwatch = {watch}\n", answering(text));
    write(folder.path(), "a.toml", settings("1", true));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    write(folder.path(), "a.toml", settings("2", false));
    server.says("generation 2 is in force").await;
    write(folder.path(), "a.toml", settings("3", true));
    // Had it been watched still, this would be one reload more.
    let said = server.reload().await;
    write(folder.path(), "a.toml", settings("4", true));
    server.says("generation 4 is in force").await;

    assert!(said.contains("generation 3 is in force"), "{said}");
    assert_eq!(server.get("/").await.text(), "4");
}

#[actix_rt::test]
async fn what_cannot_change_while_it_runs_is_named() {
    let folder = folder();
    write(folder.path(), "a.toml", format!("{}[server]\nworkers = 1\n", answering("a")));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    let server_settings = "[server]\nworkers = 2\nbacklog = 7\nmax_connections = 9\n[log]\nlevel = \"debug\"\n";
    write(folder.path(), "a.toml", format!("{}{server_settings}", answering("b")));
    server.reload().await;

    let said = server.says("needs a restart").await;
    assert!(said.contains("needs a restart: server.workers, server.backlog, log.level"), "{said}");
    assert_eq!(server.get("/").await.text(), "b");
}

#[actix_rt::test]
async fn other_limits_hold_for_new_connections() {
    let folder = folder();
    let settings = |name: &str, max: &str| {
        format!("server_name = \"{name}\"\n{}[server.http]\nmax_head = \"{max}\"\n", answering("a"))
    };
    write(folder.path(), "a.toml", settings("one", "32KiB"));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(500));
    let mut kept = server.connect().await;
    assert_eq!(ask(&mut kept, "/").await, "a");

    write(folder.path(), "a.toml", settings("two", "200B"));
    server.reload().await;
    let mut new = server.connect().await;
    new.send(&request).await;
    let refused = new.read_response().await;
    kept.send(&request).await;

    assert_eq!(refused.status, 431);
    assert!(refused.header("proxy-status").is_some_and(|status| status.starts_with("two;")), "{}", refused.head);
    assert_eq!(kept.read_response().await.status, 200);
}

#[actix_rt::test]
async fn a_listener_that_is_new_is_served() {
    let folder = folder();
    let origin = Origin::answering("hello").start().await;
    write(folder.path(), "a.toml", listening(1, &origin));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let mut kept = server.connect().await;
    assert_eq!(ask(&mut kept, "/").await, "hello");

    write(folder.path(), "a.toml", listening(2, &origin));
    server.reload().await;
    let added = server.says_address("listening on ").await;

    assert_eq!(super::support::client::get(added, "/").await.text(), "hello");
    assert_eq!(ask(&mut kept, "/").await, "hello");
    assert_eq!(server.get("/").await.text(), "hello");
}

#[actix_rt::test]
async fn a_listener_that_is_gone_finishes_what_is_under_way_and_the_others_go_on() {
    let folder = folder();
    let (origin, slow) = (Origin::answering("hello").start().await, held("slow").start().await);
    let settings = |count| format!("{}\"/slow\" = \"{}\"\n", listening(count, &origin), slow.url());
    write(folder.path(), "a.toml", settings(2));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let second = server.says_address("listening on ").await;
    let (mut asking, mut kept, mut other) =
        (Client::connect(second).await, Client::connect(second).await, server.connect().await);
    for client in [&mut asking, &mut kept, &mut other] {
        assert_eq!(ask(client, "/").await, "hello");
    }
    asking.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    slow.wait_for("asked").await;

    write(folder.path(), "a.toml", settings(1));
    server.reload().await;
    assert_eq!(server.says_address("no longer listening on ").await, second);

    assert!(TcpStream::connect(second).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
    kept.wait_closed().await;
    slow.tell("go on");
    let answer = asking.read_response().await;
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("slow", Some("close")));
    asking.wait_closed().await;
    assert_eq!(ask(&mut other, "/").await, "hello");
    assert_eq!(server.get("/").await.text(), "hello");
}

#[actix_rt::test]
async fn a_tunnel_of_a_listener_that_is_gone_is_told() {
    let folder = folder();
    let origin = answering_and_echoing("a").start().await;
    write(folder.path(), "a.toml", listening(2, &origin));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let second = server.says_address("listening on ").await;
    let (mut going, mut staying) = (Client::connect(second).await, server.connect().await);
    for tunnel in [&mut going, &mut staying] {
        tunnel.send(WEBSOCKET).await;
        assert!(tunnel.read_head().await.starts_with("HTTP/1.1 101 "));
    }

    write(folder.path(), "a.toml", listening(1, &origin));
    server.reload().await;

    // A close frame: 1001, going away.
    assert_eq!(going.read_to_end().await, [0x88, 0x02, 0x03, 0xe9]);
    staying.send("ping").await;
    assert_eq!(staying.read_exact(4).await, b"ping");
}

#[actix_rt::test]
async fn an_address_that_was_given_up_can_be_had_again() {
    let folder = folder();
    let socket = folder.path().join("a.sock");
    let origin = Origin::answering("hello").start().await;
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let settings =
        |listen: &str| format!("listen = [{listen}]\nserver.watch = false\n[routes]\n\"/\" = \"{}\"\n", origin.url());
    let (few, all) =
        ("\"127.0.0.1:0\"".to_owned(), format!("\"127.0.0.1:0\", \"{free}\", \"unix:{}\"", socket.display()));
    write(folder.path(), "a.toml", settings(&few));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    for _ in 0..3 {
        write(folder.path(), "a.toml", settings(&all));
        server.reload().await;
        assert_eq!(super::support::client::get(free, "/").await.text(), "hello");
        assert_eq!(ask(&mut Client::connect_unix(&socket).await, "/").await, "hello");

        write(folder.path(), "a.toml", settings(&few));
        server.reload().await;
        assert!(!socket.exists());
        assert!(TcpStream::connect(free).is_err());
    }
}

#[actix_rt::test]
async fn a_reload_with_an_address_that_is_taken_changes_nothing() {
    let folder = folder();
    write(folder.path(), "a.toml", answering("old"));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");

    let text = answering("new").replacen("\"127.0.0.1:0\"", &format!("\"{free}\", \"{address}\""), 1);
    write(folder.path(), "a.toml", text);
    server.signal(libc::SIGHUP);

    let said = server.says(&format!("cannot listen on {address}")).await;
    assert!(said.contains("generation 1 stays in force"), "{said}");
    assert_eq!(server.get("/").await.text(), "old");
    assert!(TcpStream::connect(free).is_err(), "what could be listened on is given up");
}

#[actix_rt::test]
async fn a_pooled_connection_is_used_again_after_a_reload_of_another_route() {
    let origin = Origin::answering("hello").start().await;
    let settings = format!(
        "[routes]\n\"/\" = \"{0}\"\n\"/named\" = \"app\"\n[upstreams.app]\nservers = [\"{0}\"]\n",
        origin.url()
    );
    let proxy = TestProxy::with(&settings).start().await;
    let mut client = proxy.connect().await;
    for path in ["/", "/named"] {
        assert_eq!(ask(&mut client, path).await, "hello");
    }
    let before = proxy.proxy.plan();

    let mut settings = before.settings.clone();
    settings.routes.insert("/other".into(), "http://127.0.0.1:9".into());
    proxy.proxy.reload(settings).expect("it is good");
    for path in ["/", "/named"] {
        assert_eq!(ask(&mut client, path).await, "hello");
    }

    assert_eq!((origin.connections_seen(), origin.requests_seen()), (2, 4));
    assert!(std::sync::Arc::ptr_eq(&before.upstreams["app"], &proxy.proxy.plan().upstreams["app"]));
}

#[actix_rt::test]
async fn what_is_under_way_finishes_on_the_plan_it_began_with() {
    let folder = folder();
    let (slow, old, new) = (
        held("old").start().await,
        answering_and_echoing("old").start().await,
        answering_and_echoing("new").start().await,
    );
    let settings = |slow: &Origin, rest: &Origin| format!("{}\"/slow\" = \"{}\"\n", listening(1, rest), slow.url());
    write(folder.path(), "a.toml", settings(&slow, &old));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let (mut asking, mut tunnel) = (server.connect().await, server.connect().await);
    asking.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    slow.wait_for("asked").await;
    tunnel.send(WEBSOCKET).await;
    assert!(tunnel.read_head().await.starts_with("HTTP/1.1 101 "));

    write(folder.path(), "a.toml", settings(&new, &new));
    server.reload().await;
    slow.tell("go on");
    tunnel.send("ping").await;

    assert_eq!(asking.read_response().await.text(), "old");
    assert_eq!(ask(&mut asking, "/slow").await, "new");
    assert_eq!(tunnel.read_exact(4).await, b"ping");
    assert_eq!((old.connections_open(), server.get("/").await.text().as_str()), (1, "new"));
}

#[actix_rt::test]
async fn a_hundred_reloads_under_load_drop_nothing() {
    const RELOADS: usize = 100;
    let folder = folder();
    let (one, other) = (answering_and_echoing("one").start().await, answering_and_echoing("two").start().await);
    let settings = |number: usize| listening(1 + number % 2, if number.is_multiple_of(2) { &one } else { &other });
    write(folder.path(), "a.toml", settings(0));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let is_over = Rc::new(Cell::new(false));
    let clients: Vec<_> = (0..16).map(|_| actix_rt::spawn(keep_asking(server.address, Rc::clone(&is_over)))).collect();
    let mut tunnels = Vec::new();
    for _ in 0..4 {
        let mut tunnel = server.connect().await;
        tunnel.send(WEBSOCKET).await;
        assert!(tunnel.read_head().await.starts_with("HTTP/1.1 101 "));
        tunnels.push(tunnel);
    }

    for number in 1..=RELOADS {
        replace(folder.path(), &settings(number));
        server.signal(libc::SIGHUP);
        server.says(&format!("generation {} is in force", number + 1)).await;
        for tunnel in &mut tunnels {
            tunnel.send("ping").await;
            assert_eq!(tunnel.read_exact(4).await, b"ping");
        }
    }
    is_over.set(true);

    let mut asked = 0;
    for client in clients {
        asked += client.await.expect("no request fails");
    }
    assert!(asked > RELOADS, "{asked} requests");
}

/// One connection, never closed by the server; how many requests were answered.
async fn keep_asking(address: SocketAddr, is_over: Rc<Cell<bool>>) -> usize {
    let mut client = Client::connect(address).await;
    let mut asked = 0;
    while !is_over.get() {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = client.read_response().await;
        assert!(response.status == 200 && matches!(response.text().as_str(), "one" | "two"), "{}", response.head);
        asked += 1;
    }
    asked
}

/// As a careful editor does it: whoever reads meanwhile reads the one or the other, whole.
fn replace(folder: &Path, text: &str) {
    write(folder, ".a.toml", text);
    fs::rename(folder.join(".a.toml"), folder.join("a.toml")).expect("it can be moved");
}

/// A listener that shows these, and a route that answers for itself; read when the test says so.
fn secured(authority: &Authority, files: &[&str], more: &str) -> String {
    let listener = authority.listener(files);
    format!("{listener}{more}\nserver.watch = false\n[routes]\n\"/\" = {{ respond = {{ body = \"here\" }} }}\n")
}

#[actix_rt::test]
async fn sighup_shows_new_certificates_and_old_connections_go_on() {
    let (folder, authority) = (folder(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    write(folder.path(), "a.toml", secured(&authority, &["shop"], ""));
    let mut binary = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let stream = shake_hands(binary.address, "shop.example", authority.client()).await.expect("they agree");
    let (before, mut old) = (shown(&stream), over(stream));

    authority.issue("shop", &["shop.example"]);
    binary.reload().await;

    let new = shake_hands(binary.address, "shop.example", authority.client()).await.expect("they agree");
    assert_eq!(shown(&new), authority.certificate("shop"));
    assert_ne!(shown(&new), before);
    old.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert_eq!(old.read_response().await.text(), "here");
}

#[actix_rt::test]
async fn another_pair_and_another_version_are_for_whoever_connects_next() {
    let (folder, authority) = (folder(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    authority.issue("other", &["shop.example"]);
    write(folder.path(), "a.toml", secured(&authority, &["shop"], ""));
    let mut binary = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    shake_hands(binary.address, "shop.example", authority.client_of(&TLS12)).await.expect("they agree");

    write(folder.path(), "a.toml", secured(&authority, &["other"], "tls.main.min_version = \"1.3\""));
    binary.reload().await;

    let new = shake_hands(binary.address, "shop.example", authority.client()).await.expect("they agree");
    assert_eq!(shown(&new), authority.certificate("other"));
    assert!(shake_hands(binary.address, "shop.example", authority.client_of(&TLS12)).await.is_err());
}

#[actix_rt::test]
async fn a_pair_that_does_not_fit_is_told_by_its_file_and_the_old_one_stays() {
    let (folder, authority) = (folder(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    authority.issue("other", &["other.example"]);
    write(folder.path(), "a.toml", secured(&authority, &["shop"], ""));
    let mut binary = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let before = authority.certificate("shop");

    fs::copy(authority.path("other.key"), authority.path("shop.key")).expect("a file");
    binary.signal(libc::SIGHUP);
    binary.says("stays in force").await;
    binary.says(&authority.path("shop.key")).await;

    let new = shake_hands(binary.address, "shop.example", authority.client()).await.expect("they agree");
    assert_eq!(shown(&new), before);
}

#[actix_rt::test]
async fn an_address_that_stays_begins_and_ceases_to_speak_tls_and_open_connections_go_on() {
    let (folder, authority) = (folder(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    let plain = format!("{}[server]\nwatch = false\n", answering("here"));
    write(folder.path(), "a.toml", &plain);
    let mut binary = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let mut in_the_clear = binary.connect().await;
    assert_eq!(ask(&mut in_the_clear, "/").await, "here");

    write(folder.path(), "a.toml", secured(&authority, &["shop"], ""));
    binary.reload().await;
    let stream = shake_hands(binary.address, "shop.example", authority.client()).await.expect("they agree");
    let mut encrypted = over(stream);
    let get = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    encrypted.send(get).await;
    assert_eq!(encrypted.read_response().await.text(), "here");
    assert_eq!(binary.get("/").await.status, 400, "it speaks TLS");

    write(folder.path(), "a.toml", &plain);
    binary.reload().await;
    assert_eq!(binary.get("/").await.text(), "here");
    encrypted.send(get).await;
    assert_eq!(encrypted.read_response().await.text(), "here");
    assert_eq!(ask(&mut in_the_clear, "/").await, "here");
}

#[actix_rt::test]
async fn addresses_that_stay_show_other_certificates_each_for_itself() {
    let (folder, authority) = (folder(), Authority::new());
    authority.issue("one", &["shop.example"]);
    authority.issue("two", &["shop.example"]);
    let settings = |first: &str, second: &str| {
        let (_, one) =
            authority.listener(&["one"]).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("lines");
        let two = one.replace("tls.main", "tls.two").replace("one.", "two.");
        let listen = [first, second].map(|name| format!("{{ addr = \"127.0.0.1:0\", tls = \"{name}\" }}")).join(", ");
        format!("listen = [{listen}]\n{one}{two}server.watch = false\n")
    };
    write(folder.path(), "a.toml", settings("main", "main"));
    let mut binary = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let second = binary.says_address("listening on ").await;
    let mut shows = Vec::new();

    for (names, expected) in [(["main", "two"], ["one", "two"]), (["two", "main"], ["two", "one"])] {
        write(folder.path(), "a.toml", settings(names[0], names[1]));
        binary.reload().await;
        for (address, expected) in [binary.address, second].into_iter().zip(expected) {
            let stream = shake_hands(address, "shop.example", authority.client()).await.expect("they agree");
            assert_eq!(shown(&stream), authority.certificate(expected), "{names:?} {expected}");
            shows.push(stream);
        }
    }
}
