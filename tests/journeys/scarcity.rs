//! When the process may open no more files: whose fault that is, and what comes after.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use super::support::{
    binary::{Binary, write},
    client::Client,
    origin::Origin,
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
