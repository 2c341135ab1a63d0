//! Changing under load: what a proxy is for goes on as if nothing happened. The real binary, on machines of any size in
//! about a minute.

use std::{fs, net::SocketAddr, path::Path};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::{
    endpoint::Endpoint,
    load::{CLIENTS, Load, Pace},
    support::{
        binary::{Binary, write},
        grpc::{Peer, Steady},
    },
};

mod endpoint;
mod load;
#[path = "../journeys/support/mod.rs"]
mod support;

/// How often the settings change.
const RELOADS: usize = 100;
/// Behind which of these changes another process takes over.
const HAND_OFFS: [usize; 3] = [25, 50, 75];

#[actix_rt::test]
async fn a_hundred_reloads_and_three_hand_offs_under_load_fail_no_request_and_close_no_tunnel() {
    // Arrange
    allow_many_sockets();
    let folder = tempfile::tempdir().expect("a folder");
    let endpoints = [Endpoint::start(), Endpoint::start(), Endpoint::start_h2c()].map(|endpoint| endpoint.address);
    let peer = Peer::start().await;
    let settings = |number| settings(number, folder.path(), endpoints, peer.address);
    publish(folder.path(), &settings(0));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let (mut pace, steps) = Pace::new();
    let mut load = Load::start(server.address, steps).await;
    let calls = Steady::start(server.address).await;

    // Act
    for number in 1..=RELOADS {
        let ended = load.ended();
        publish(folder.path(), &settings(number));
        if number % 5 == 0 {
            server.signal(libc::SIGHUP);
        }
        let said = server.says(&format!("added (/made/{number}")).await;
        assert!(said.contains("is in force"), "{said}");
        assert_eq!(server.get("/edited").await.text(), number.to_string());
        pace.step();
        // Whoever was idle at a process that leaves may notice it only now.
        let follows_hand_off = HAND_OFFS.contains(&(number - 1));
        assert!(follows_hand_off || load.ended() == ended, "reload {number} has ended a connection");
        if HAND_OFFS.contains(&number) {
            server.hand_over().await;
            load.grow().await;
        }
    }
    let (told, calls) = (load.end(pace).await, calls.end().await);

    // Assert: whoever was failed has panicked by now.
    // Nothing was cut short: with the last tunnel that it had, the first process ends by itself.
    assert_eq!(server.ended().await.code(), Some(0));
    println!("{RELOADS} reloads under {told}, and {calls} calls by grpcio");
    assert!(told.requests > 20 * RELOADS && calls > RELOADS, "it was under load: {told}, {calls} calls");
    // A hand-off may end one connection of each client as its next request is sent. One more is answered and told to be over: that
    // which the old process takes in its last moment.
    assert!(told.asked_anew <= CLIENTS * HAND_OFFS.len(), "{told}");
    assert!(told.asked_anew + told.sent_on <= 2 * CLIENTS * HAND_OFFS.len(), "{told}");
}

/// The settings of this number: of every kind of part something comes, goes or changes.
fn settings(number: usize, folder: &Path, endpoints: [SocketAddr; 3], peer: SocketAddr) -> String {
    let [endpoint, other, calls] = endpoints;
    let also = |said: String, when: bool| if when { said } else { String::new() };
    let door = also(format!(", \"unix:{}\"", folder.join("door").display()), number % 4 > 1);
    let second = also(format!(", \"http://{other}\""), number % 3 == 1);
    let spare = also("\"/spare\" = \"spare\"\n".into(), number % 2 == 1);
    let group = also(format!("[upstreams.spare]\nservers = [\"http://{other}\"]\n"), number % 2 == 1);
    format!(
        "listen = [\"127.0.0.1:0\"{door}]\n[server]\nworkers = 2\nmax_connections = {}\ndrain.grace = \"10m\"\n\
         [routes]\n\"/\" = \"app\"\n\"=/edited\" = {{ respond = {{ body = \"{number}\" }} }}\n\
         \"/made/{number}\" = {{ respond = {{ body = \"{number}\" }} }}\n{spare}\
         \"/test.Scenario\" = \"calls\"\n\"/test.Peer\" = \"peer\"\n\
         [upstreams.app]\nservers = [\"http://{endpoint}\"{second}]\npool.max_total = 8192\n\
         [upstreams.calls]\nservers = [\"http://{calls}\"]\nprotocol = \"h2c\"\n\
         [upstreams.peer]\nservers = [\"http://{peer}\"]\nprotocol = \"h2c\"\n{group}",
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
    assert!(limit.maximum.is_none_or(|most| most >= WANTED), "the hard limit on open files (ulimit -Hn) is too low");
    if limit.current.is_some_and(|current| current < WANTED) {
        let raised = Rlimit { current: Some(WANTED), ..limit };
        setrlimit(Resource::Nofile, raised).expect("up to the hard limit it can be raised");
    }
}
