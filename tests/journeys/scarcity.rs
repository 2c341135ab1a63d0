//! When the process may open no more files: whose fault that is, and what comes after.

use std::collections::BTreeSet;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tokio::process::Command;

use super::support::{
    binary::{Binary, write},
    client::Client,
    h2_origin,
    origin::{Origin, Script},
};

/// There are files with these numbers as long as a program runs.
const NONE: u64 = 3;

/// From now on this program may open no file whose number is as high as this; what it has, it keeps.
fn limit_files(program: &Binary, current: u64) {
    let pid = Pid::from_raw(program.processes()[0]).expect("a process");
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(current), maximum }).expect("it may be changed");
}

async fn ask(client: &mut Client, path: &str) -> (u16, String, String) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    let answer = client.read_response().await;
    (answer.status, answer.header("proxy-status").unwrap_or_default().to_owned(), answer.text())
}

#[actix_rt::test]
async fn when_no_file_can_be_opened_that_is_no_fault_of_the_endpoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (Origin::answering("up").start().await, Origin::answering("up").start().await);
    let settings = format!(
        "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver = {{ watch = false, workers = 1 }}\n\
         routes.\"/\" = \"pair\"\nroutes.\"/here\" = {{ respond = {{ status = 200, body = \"here\" }} }}\n\
         [upstreams.pair]\nservers = [{:?}, {:?}]\noutlier = {{ consecutive = 1, eject = \"1h\", max_eject = \"1h\" }}\n\
         breaker = {{ requests = 2, open = \"1h\", max_open = \"1h\" }}\nhealth = {{ every = \"100ms\", fall = 1 }}\n",
        one.url(),
        other.url()
    );
    write(folder.path(), "edge.toml", settings);
    let (mut proxy, operators) = Binary::with_operators(folder.path()).await;
    let (mut client, mut operator) = (proxy.connect().await, Client::connect(operators).await);
    assert_eq!(ask(&mut client, "/here").await.2, "here");
    ask(&mut operator, "/status").await;

    limit_files(&proxy, NONE);
    for _ in 0..5 {
        let (status, told, _) = ask(&mut client, "/").await;
        assert_eq!(status, 503, "{told}");
        assert!(told.contains("error=proxy_internal_error"), "{told}");
    }
    proxy.says("was not checked").await;

    let told = ask(&mut operator, "/status").await.2;
    let status: Value = serde_json::from_str(&told).expect("JSON");
    for endpoint in status["upstreams"][0]["endpoints"].as_array().expect(&told) {
        assert_eq!(endpoint["health"], "well", "{endpoint}");
    }
    assert_eq!(ask(&mut client, "/here").await.2, "here");
    limit_files(&proxy, 1000);
    for _ in 0..5 {
        assert_eq!(ask(&mut client, "/").await.2, "up");
    }
}

/// The numbers of the files that this program has open.
fn numbers(program: &Binary) -> Vec<u64> {
    let folder = format!("/proc/{}/fd", program.processes()[0]);
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("it runs").file_name();
    let files = std::fs::read_dir(folder).expect("it runs");
    files.map(|entry| name(entry).to_str().and_then(|name| name.parse().ok()).expect("a number")).collect()
}

fn open_files(program: &Binary) -> u64 {
    numbers(program).len() as u64
}

/// One of them is higher than how many there are.
fn has_gaps(program: &Binary) -> bool {
    let numbers = numbers(program);
    numbers.iter().max().is_some_and(|highest| *highest >= numbers.len() as u64)
}

#[actix_rt::test]
async fn as_many_files_are_opened_as_the_system_lets_who_asks_for_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "listen = [\"127.0.0.1:0\"]\nroutes.\"/\" = { respond = { status = 200, body = \"here\" } }\n";
    write(folder.path(), "edge.toml", settings);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -Sn 64; exec \"$0\" run --settings edge.toml", env!("CARGO_BIN_EXE_aqueduct")])
        .current_dir(folder.path())
        .env_clear();
    let proxy = Binary::start(&mut command).await;

    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = proxy.connect().await;
        assert_eq!(ask(&mut client, "/").await.2, "here");
        clients.push(client);
    }
}

const ENDPOINTS: usize = 24;

/// A program of so many workers before endpoints that answer with their numbers.
async fn before_many(workers: usize, protocol: &str, script: impl Fn(&'static str) -> Script) -> (Binary, Vec<Origin>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut origins = Vec::new();
    for number in 0..ENDPOINTS {
        origins.push(script(format!("from {number}").leak()).start().await);
    }
    let servers: Vec<String> = origins.iter().map(Origin::url).collect();
    let settings = format!(
        "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\n\
         server = {{ watch = false, workers = {workers} }}\nroutes.\"/\" = \"many\"\n\
         routes.\"/here\" = {{ respond = {{ status = 200, body = \"here\" }} }}\n\
         [upstreams.many]\nbalance = \"round_robin\"\nservers = {servers:?}\nprotocol = {protocol:?}\n"
    );
    write(folder.path(), "edge.toml", settings);
    let (proxy, _) = Binary::with_operators(folder.path()).await;
    (proxy, origins)
}

/// Who has answered so many requests of this client.
async fn all_answer(client: &mut Client, count: usize) -> BTreeSet<String> {
    let mut from = BTreeSet::new();
    for _ in 0..count {
        let (status, told, text) = ask(client, "/").await;
        assert_eq!(status, 200, "{told}");
        from.insert(text);
    }
    from
}

/// There are files for a third of the endpoints, and requests for all in turn.
async fn more_endpoints_than_files(protocol: &str, script: impl Fn(&'static str) -> Script) {
    let (proxy, _origins) = before_many(1, protocol, script).await;
    let mut client = proxy.connect().await;
    all_answer(&mut client, 1).await;

    limit_files(&proxy, open_files(&proxy) + ENDPOINTS as u64 / 3);

    assert_eq!(all_answer(&mut client, 3 * ENDPOINTS).await.len(), ENDPOINTS);
    // Who comes now is let in, too.
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        all_answer(&mut client, 1).await;
        clients.push(client);
    }
}

/// One worker has idle connections to all endpoints, and there is no file left when another must have its first.
async fn more_workers_than_files(protocol: &str, script: impl Fn(&'static str) -> Script) {
    let (proxy, _origins) = before_many(2, protocol, script).await;
    let mut clients = Vec::new();
    // They are shared out among the workers.
    for _ in 0..4 {
        let mut client = proxy.connect().await;
        ask(&mut client, "/here").await;
        clients.push(client);
    }
    assert_eq!(all_answer(&mut clients[0], ENDPOINTS).await.len(), ENDPOINTS);
    // A number that was given back is as good as a file that may be opened.
    while has_gaps(&proxy) {
        clients.push(proxy.connect().await);
        ask(clients.last_mut().expect("one was added"), "/here").await;
    }

    limit_files(&proxy, open_files(&proxy));

    for client in &mut clients {
        all_answer(client, 2).await;
    }
}

#[actix_rt::test]
async fn where_no_file_can_be_opened_idle_connections_to_endpoints_make_room() {
    more_endpoints_than_files("h1", Origin::answering).await;
}

#[actix_rt::test]
async fn where_no_file_can_be_opened_idle_connections_of_http_2_make_room() {
    more_endpoints_than_files("h2c", h2_origin::saying).await;
}

#[actix_rt::test]
async fn where_no_file_can_be_opened_other_workers_make_room() {
    more_workers_than_files("h1", Origin::answering).await;
}

#[actix_rt::test]
async fn where_no_file_can_be_opened_other_workers_make_room_with_http_2() {
    more_workers_than_files("h2c", h2_origin::saying).await;
}
