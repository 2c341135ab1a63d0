//! Changing under load: what a proxy is for goes on as if nothing happened. The real binary, on machines of any size in
//! about a minute.

use std::{fs, path::Path};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::{
    endpoint::Endpoint,
    load::{Load, Pace},
    support::binary::{Binary, write},
};

mod endpoint;
mod load;
#[path = "../journeys/support/mod.rs"]
mod support;

/// How often the settings change.
const RELOADS: usize = 100;

#[actix_rt::test]
async fn a_hundred_reloads_under_load_fail_no_request_and_close_no_tunnel() {
    // Arrange
    allow_many_sockets();
    let folder = tempfile::tempdir().expect("a folder");
    let (endpoint, other) = (Endpoint::start(), Endpoint::start());
    let settings = |number| settings(number, folder.path(), &endpoint, &other);
    publish(folder.path(), &settings(0));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let (mut pace, steps) = Pace::new();
    let load = Load::start(server.address, &steps).await;

    // Act
    for number in 1..=RELOADS {
        publish(folder.path(), &settings(number));
        if number % 5 == 0 {
            server.signal(libc::SIGHUP);
        }
        let said = server.says(&format!("added (/made/{number}")).await;
        assert!(said.contains("is in force"), "{said}");
        assert_eq!(server.get("/edited").await.text(), number.to_string());
        pace.step();
    }
    let told = load.end(pace).await;

    // Assert: whoever was failed has panicked by now.
    println!("{RELOADS} reloads under {told}");
    assert!(told.requests > 20 * RELOADS, "it was under load: {told}");
}

/// The settings of this number: of every kind of part something comes, goes or changes.
fn settings(number: usize, folder: &Path, endpoint: &Endpoint, other: &Endpoint) -> String {
    let (endpoint, other) = (endpoint.address, other.address);
    let also = |said: String, when: bool| if when { said } else { String::new() };
    let door = also(format!(", \"unix:{}\"", folder.join("door").display()), number % 4 > 1);
    let second = also(format!(", \"http://{other}\""), number % 3 == 1);
    let spare = also("\"/spare\" = \"spare\"\n".into(), number % 2 == 1);
    let group = also(format!("[upstreams.spare]\nservers = [\"http://{other}\"]\n"), number % 2 == 1);
    format!(
        "listen = [\"127.0.0.1:0\"{door}]\n[server]\nworkers = 2\nmax_connections = {}\n\
         [routes]\n\"/\" = \"app\"\n\"=/edited\" = {{ respond = {{ body = \"{number}\" }} }}\n\
         \"/made/{number}\" = {{ respond = {{ body = \"{number}\" }} }}\n{spare}\
         [upstreams.app]\nservers = [\"http://{endpoint}\"{second}]\npool.max_total = 8192\n{group}",
        10_000 + number
    )
}

/// Whoever reads the file sees all of it.
fn publish(folder: &Path, text: &str) {
    write(folder, "next", text);
    fs::rename(folder.join("next"), folder.join("a.toml")).expect("it can be moved");
}

/// Each tunnel is two sockets here, and two in the proxy, which inherits the limit.
fn allow_many_sockets() {
    const WANTED: u64 = 8192;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < WANTED) {
        let raised = Rlimit { current: Some(limit.maximum.map_or(WANTED, |most| most.min(WANTED))), ..limit };
        setrlimit(Resource::Nofile, raised).expect("up to the hard limit it can be raised");
    }
}
