//! Another process of the program takes over what the running one listens on, and nobody notices.

use std::{
    cell::Cell,
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    rc::Rc,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::support::{
    binary::{Binary, write},
    client::{self, Client, Response},
    h2::H2,
    origin::{Origin, Script},
    tls::{self, Authority},
    wire::patiently,
};

const WEBSOCKET: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Listens there, and answers with this for itself.
fn answering(listen: &str, text: &str) -> String {
    format!("listen = [{listen}]\nserver.watch = false\nroutes.\"/\" = {{ respond = {{ body = \"{text}\" }} }}\n")
}

/// Everything goes to this origin.
fn passing_to(origin: &Origin, more: &str) -> String {
    format!("listen = [\"127.0.0.1:0\"]\nserver.watch = false\n{more}\nroutes.\"/\" = \"{}\"\n", origin.url())
}

async fn run(folder: &TempDir, settings: &str) -> Binary {
    write(folder.path(), "a.toml", settings);
    Binary::run(folder.path(), &["--settings", "a.toml"]).await
}

async fn get_unix(path: &Path) -> Response {
    let mut client = Client::connect_unix(path).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    client.read_response().await
}

/// Waits until it is there, or is not.
async fn until_exists(path: &Path, exists: bool) {
    let found = async {
        while path.exists() != exists {
            tokio::task::yield_now().await;
        }
    };
    patiently(&format!("{} is there: {exists}", path.display()), found).await;
}

/// Answers once it is told to.
fn held() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_for("go on").await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        conn.wait_closed().await;
    })
}

/// Sends back what comes through a tunnel.
fn echoing() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        loop {
            let seen = conn.read_exact(4).await;
            conn.write(seen).await;
        }
    })
}

async fn say_hello_over(tunnel: &mut Client) {
    // A whole frame: between two of them the tunnel can be told that it ends.
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    tunnel.send(frame).await;
    assert_eq!(tunnel.read_exact(frame.len()).await, frame);
}

/// How a client of the load connects.
#[derive(Clone)]
enum Way {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Tls(SocketAddr, Box<rustls::ClientConfig>),
}

impl Way {
    async fn connect(&self) -> Client {
        match self {
            Self::Tcp(address) => Client::connect(*address).await,
            Self::Unix(path) => Client::connect_unix(path).await,
            Self::Tls(address, config) => tls::connect(*address, "shop.example", (**config).clone()).await,
        }
    }
}

/// What became of the requests of one client.
#[derive(Debug, Default)]
struct Asked {
    answered: usize,
    /// Sent on a kept connection that turned out to be closed, and sent anew.
    anew: usize,
}

impl Asked {
    /// It was served all the time, and each process that left has cost it one connection at most.
    fn was_served_through(&self, hand_offs: usize) -> bool {
        self.answered > hand_offs && self.anew <= hand_offs
    }
}

/// Asks one request after the other, on connections that are kept as long as the server keeps them, or on one for each.
async fn keep_asking(way: Way, keeps: bool, is_over: Rc<Cell<bool>>) -> Asked {
    let (mut kept, mut asked) = (None, Asked::default());
    while !is_over.get() {
        let (mut client, is_kept) = match kept.take() {
            Some(client) => (client, true),
            None => (way.connect().await, false),
        };
        let connection = if keeps { "keep-alive" } else { "close" };
        let is_sent =
            client.try_send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: {connection}\r\n\r\n")).await;
        let answer = if is_sent { client.next_response_to("GET").await } else { None };
        let Some(response) = answer else {
            // A connection that was idle may end as the next request is sent (RFC 9112, 9.3.1): whoever kept it asks anew.
            assert!(is_kept, "a request on a connection of its own was lost");
            asked.anew += 1;
            continue;
        };
        assert!(response.status == 200 && response.text() == "here", "{}", response.head);
        asked.answered += 1;
        if keeps && !is_last(&response) {
            kept = Some(client);
        }
    }
    asked
}

fn is_last(response: &Response) -> bool {
    response.header("connection") == Some("close")
}

#[actix_rt::test]
async fn three_hand_offs_under_load_lose_no_request() {
    let folder = folder();
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let socket = folder.path().join("in.sock");
    let settings = answering(
        &format!("\"127.0.0.1:0\", \"unix:{}\", {{ addr = \"127.0.0.1:0\", tls = \"main\" }}", socket.display()),
        "here",
    );
    let settings = settings + &authority.certificates(&["shop"]);
    let mut server = run(&folder, &settings).await;
    server.says("unix:").await;
    let encrypted = server.says_address("listening on ").await;
    let ways = [Way::Tcp(server.address), Way::Unix(socket.clone()), Way::Tls(encrypted, Box::new(authority.client()))];
    let is_over = Rc::new(Cell::new(false));
    let clients: Vec<_> = [true, false, true, false]
        .into_iter()
        .flat_map(|keeps| ways.iter().map(move |way| (way.clone(), keeps)))
        .map(|(way, keeps)| actix_rt::spawn(keep_asking(way, keeps, Rc::clone(&is_over))))
        .collect();

    for _ in 0..3 {
        server.hand_over().await;
    }
    let answers = [server.get("/").await, get_unix(&socket).await];
    is_over.set(true);

    for client in clients {
        let asked = client.await.expect("no request fails");
        assert!(asked.was_served_through(3), "{asked:?}");
    }
    assert!(answers.iter().all(|answer| answer.text() == "here"));
    assert_eq!(server.ended().await.code(), Some(0));
    server.signal(libc::SIGTERM);
    until_exists(&socket, false).await;
}

#[actix_rt::test]
async fn sockets_of_each_worker_go_to_however_many_workers_there_are_then() {
    let folder = folder();
    let settings = |workers: usize| {
        let own = format!("server.workers = {workers}\nserver.reuse_port = true\n");
        own + &answering("\"127.0.0.1:0\"", "here")
    };
    let mut server = run(&folder, &settings(3)).await;
    let is_over = Rc::new(Cell::new(false));
    let clients: Vec<_> = [true, false, false]
        .map(|keeps| actix_rt::spawn(keep_asking(Way::Tcp(server.address), keeps, Rc::clone(&is_over))))
        .into();

    for workers in [2, 4, 1] {
        write(folder.path(), "a.toml", settings(workers));
        server.hand_over().await;
        for _ in 0..20 {
            assert_eq!(server.get("/").await.text(), "here");
        }
    }
    is_over.set(true);

    for client in clients {
        let asked = client.await.expect("no request fails");
        assert!(asked.was_served_through(3), "{asked:?}");
    }
}

#[actix_rt::test]
async fn as_many_may_wait_as_the_settings_say_by_then() {
    let folder = folder();
    let settings = |backlog: u32| format!("server.backlog = {backlog}\n{}", answering("\"127.0.0.1:0\"", "here"));
    let mut server = run(&folder, &settings(77)).await;

    write(folder.path(), "a.toml", settings(99));
    server.hand_over().await;

    // For a socket that listens, the second number is how many may wait.
    let address = format!("{}", server.address);
    let listening = std::process::Command::new("ss").args(["-ltnH", "src", &address]).output().expect("ss is here");
    let listening = String::from_utf8(listening.stdout).expect("text");
    assert_eq!(listening.split_ascii_whitespace().nth(2), Some("99"), "{listening}");
}

#[actix_rt::test]
async fn a_socket_that_all_workers_share_stays_one_and_that_is_told() {
    let folder = folder();
    let mut server = run(&folder, &answering("\"127.0.0.1:0\"", "here")).await;

    let own = "server.workers = 2\nserver.reuse_port = true\n".to_owned();
    write(folder.path(), "a.toml", own + &answering("\"127.0.0.1:0\"", "here"));
    server.signal(libc::SIGHUP);
    server.says("server.reuse_port").await;
    server.signal(libc::SIGUSR2);
    server.says(&format!("all workers share one socket at {}", server.address)).await;
    server.says("has taken over").await;

    assert_eq!(server.get("/").await.text(), "here");
}

#[actix_rt::test]
async fn what_is_under_way_is_finished_by_the_process_it_began_with() {
    let folder = folder();
    let origin = held().start().await;
    let mut server = run(&folder, &passing_to(&origin, "")).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("asked").await;

    server.hand_over().await;
    origin.tell("go on");

    let response = client.read_response().await;
    assert_eq!((response.text().as_str(), is_last(&response)), ("done", true));
    assert_eq!(server.ended().await.code(), Some(0));
}

#[actix_rt::test]
async fn a_client_of_http_2_is_told_to_connect_again() {
    let folder = folder();
    let mut server = run(&folder, &answering("\"127.0.0.1:0\"", "here")).await;
    let mut client = H2::connect(server.address).await;
    assert_eq!(client.get("/").await.text(), "here");

    server.hand_over().await;

    client.ended().await.expect("it is told, and nothing was under way");
    assert_eq!(H2::connect(server.address).await.get("/").await.text(), "here");
}

#[actix_rt::test]
async fn a_tunnel_goes_on_in_the_old_process_until_its_grace_ends() {
    let folder = folder();
    let origin = echoing().start().await;
    let mut server = run(&folder, &passing_to(&origin, "server.drain.grace = \"1s\"")).await;
    let mut tunnel = server.connect().await;
    tunnel.send(WEBSOCKET).await;
    assert!(tunnel.read_head().await.starts_with("HTTP/1.1 101 "));

    server.hand_over().await;
    say_hello_over(&mut tunnel).await;

    // A close frame: 1001, going away.
    assert_eq!(tunnel.read_to_end().await, [0x88, 0x02, 0x03, 0xe9]);
    assert_eq!(server.ended().await.code(), Some(4));
}

#[actix_rt::test]
async fn a_process_that_has_handed_over_ends_as_one_that_drains() {
    let folder = folder();
    let origin = echoing().start().await;
    let mut server = run(&folder, &passing_to(&origin, "server.drain.grace = \"1h\"")).await;
    let mut tunnel = server.connect().await;
    tunnel.send(WEBSOCKET).await;
    assert!(tunnel.read_head().await.starts_with("HTTP/1.1 101 "));
    server.hand_over().await;
    // Neither is for it any more.
    server.signal_first(libc::SIGHUP);
    server.signal_first(libc::SIGUSR2);
    say_hello_over(&mut tunnel).await;

    server.signal_first(libc::SIGTERM);

    assert_eq!(tunnel.read_to_end().await, [0x88, 0x02, 0x03, 0xe9]);
    assert_eq!(server.ended().await.code(), Some(0));
}

#[actix_rt::test]
async fn what_is_in_the_settings_by_then_is_listened_on() {
    let folder = folder();
    let (first, second) = (folder.path().join("1.sock"), folder.path().join("2.sock"));
    let listen = |socket: &Path| format!("\"127.0.0.1:0\", \"unix:{}\"", socket.display());
    let mut server = run(&folder, &answering(&listen(&first), "one")).await;

    write(folder.path(), "a.toml", answering(&listen(&second), "two"));
    server.hand_over().await;

    assert_eq!(server.get("/").await.text(), "two");
    assert_eq!(get_unix(&second).await.text(), "two");
    until_exists(&first, false).await;
}

#[actix_rt::test]
async fn operators_are_answered_by_whoever_serves() {
    let folder = folder();
    let settings = answering("\"127.0.0.1:0\"", "here");
    let mut server = run(&folder, &format!("admin.listen = \"127.0.0.1:0\"\n{settings}")).await;
    let admin = server.says_address("telling operators at ").await;
    let process = async || {
        let status: Value = serde_json::from_str(&client::get(admin, "/status").await.text()).expect("JSON");
        status["pid"].as_i64().and_then(|id| i32::try_from(id).ok()).expect("a number")
    };
    let before = process().await;

    server.hand_over().await;

    let after = process().await;
    assert_eq!([before, after], server.processes());
}

#[actix_rt::test]
async fn a_process_with_wrong_settings_does_not_take_over() {
    let folder = folder();
    let socket = folder.path().join("in.sock");
    let listen = format!("\"127.0.0.1:0\", \"unix:{}\"", socket.display());
    let mut server = run(&folder, &answering(&listen, "here")).await;

    write(folder.path(), "a.toml", answering(&listen, "here").replace("watch", "wotch"));
    server.signal(libc::SIGUSR2);

    server.says("unknown key `wotch` in `server`").await;
    let told = server.says("no process has taken over").await;
    assert!(told.contains("exit status: 2"), "{told}");
    assert_eq!(server.get("/").await.text(), "here");
    assert_eq!(get_unix(&socket).await.text(), "here");

    write(folder.path(), "a.toml", answering(&listen, "again"));
    server.hand_over().await;
    assert_eq!(server.get("/").await.text(), "again");
}

#[actix_rt::test]
async fn a_process_that_cannot_listen_does_not_take_over_and_serves_nobody() {
    let folder = folder();
    let somebody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = somebody.local_addr().expect("it is bound");
    let mut server = run(&folder, &answering("\"127.0.0.1:0\"", "here")).await;

    write(folder.path(), "a.toml", answering(&format!("\"127.0.0.1:0\", \"{taken}\""), "there"));
    server.signal(libc::SIGUSR2);

    server.says(&format!("cannot listen on {taken}")).await;
    server.says("no process has taken over").await;
    assert_eq!(server.get("/").await.text(), "here");
}

/// A program that can be replaced on disk.
fn program(folder: &Path) -> PathBuf {
    let program = folder.join("program");
    symlink(env!("CARGO_BIN_EXE_aqueduct"), &program).expect("a link");
    program
}

/// Another one is at its path, as a package manager does it.
fn replace(program: &Path, script: &str) {
    let next = program.with_extension("next");
    fs::write(&next, format!("#!/bin/sh\n{script}\n")).expect("a file");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::rename(next, program).expect("it can be moved");
}

#[actix_rt::test]
async fn the_program_that_is_on_disk_by_then_takes_over() {
    let folder = folder();
    let program = program(folder.path());
    write(folder.path(), "a.toml", answering("\"127.0.0.1:0\"", "here"));
    let mut server = Binary::run_as(&program, folder.path(), &["--settings", "a.toml"]).await;
    let other = format!("exec {} run --route /new=http://127.0.0.1:9 \"$2\" \"$3\"", env!("CARGO_BIN_EXE_aqueduct"));
    assert_eq!(server.get("/new").await.status, 200);

    replace(&program, &other);
    server.hand_over().await;

    assert_eq!(server.get("/").await.text(), "here");
    assert_eq!(server.get("/new").await.status, 502);
}

#[actix_rt::test]
async fn a_process_that_is_never_ready_is_ended_and_meanwhile_no_other_is_started() {
    let folder = folder();
    let program = program(folder.path());
    let settings = answering("\"127.0.0.1:0\"", "here");
    write(folder.path(), "a.toml", format!("server.handoff_timeout = \"1s\"\n{settings}"));
    let mut server = Binary::run_as(&program, folder.path(), &["--settings", "a.toml"]).await;
    let id = folder.path().join("id");
    replace(&program, &format!("echo $$ > {}; exec /bin/sleep 1000", id.display()));

    server.signal(libc::SIGUSR2);
    server.says("is to take over").await;
    server.signal(libc::SIGUSR2);
    server.says("SIGUSR2 is ignored").await;
    server.signal(libc::SIGHUP);
    server.says("another process is about to take over, and reads the settings itself").await;

    let told = server.says("no process has taken over").await;
    assert!(told.contains("1s (server.handoff_timeout)"), "{told}");
    let id = fs::read_to_string(id).expect("it was started");
    assert!(!Path::new("/proc").join(id.trim()).exists(), "it is there still");
    assert_eq!(server.get("/").await.text(), "here");
}

#[actix_rt::test]
async fn sigterm_during_a_hand_off_ends_both() {
    let folder = folder();
    let program = program(folder.path());
    write(folder.path(), "a.toml", answering("\"127.0.0.1:0\"", "here"));
    let mut server = Binary::run_as(&program, folder.path(), &["--settings", "a.toml"]).await;
    let id = folder.path().join("id");
    replace(&program, &format!("echo $$ > {0}.next; mv {0}.next {0}; exec /bin/sleep 1000", id.display()));
    server.signal(libc::SIGUSR2);
    until_exists(&id, true).await;

    server.signal(libc::SIGTERM);

    assert_eq!(server.ended().await.code(), Some(0));
    let refused = TcpStream::connect(server.address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let id = fs::read_to_string(id).expect("it was started");
    assert!(!Path::new("/proc").join(id.trim()).exists(), "it is there still");
}
