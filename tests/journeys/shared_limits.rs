//! Limits that several processes share by a Redis, which is killed, hangs, or is not who it must be.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aqueduct::actors::Actors;

use super::support::{
    binary::{Binary, write},
    client::loopback,
    origin::Origin,
    proxy::TestProxy,
    tls::Authority,
    wire::patiently,
};

const LIMIT: usize = 100;
const LEASE: usize = 10;
const PROCESSES: usize = 3;

/// What so many of them let pass with the store, and without it: in half a minute one flows into each bucket.
const fn together(processes: usize) -> RangeInclusive<usize> {
    LIMIT..=LIMIT + processes * LEASE
}

const fn apart(processes: usize) -> RangeInclusive<usize> {
    processes * LIMIT..=processes * (LIMIT + 2)
}

const TOGETHER: RangeInclusive<usize> = together(PROCESSES);
const APART: RangeInclusive<usize> = apart(PROCESSES);

/// A Redis, until it is dropped.
struct Redis(Child);

impl Redis {
    /// At a socket in this folder.
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &["--port", "0", "--unixsocket", "redis.sock"])
    }

    /// Where it speaks TLS and nothing else, with the certificate in this folder that is called so.
    fn start_secured(folder: &Path, at: SocketAddr, name: &str) -> Self {
        let (ip, port) = (at.ip().to_string(), at.port().to_string());
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        let tls = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
        let ca = ["--tls-ca-cert-file", "ca.pem"];
        Self::start_with(folder, &[&["--port", "0", "--bind", &ip][..], &tls, &ca].concat())
    }

    fn start_with(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new("redis-server");
        command.args(arguments).args(["--save", "", "--appendonly", "no"]);
        let child = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Self(child.expect("redis-server is here: scripts/test installs it"))
    }

    fn signal(&self, signal: libc::c_int) {
        let process = self.0.id().cast_signed();
        // SAFETY: it was started here, and nobody has waited for its end.
        assert_eq!(unsafe { libc::kill(process, signal) }, 0);
    }

    /// With SIGKILL.
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _it_may_have_ended = (self.0.kill(), self.0.wait());
    }
}

/// Processes that share one limit.
struct Processes(Vec<Binary>);

impl Processes {
    async fn start(count: usize, folder: &Path, redis: &str, origin: &Origin) -> Self {
        let settings = format!(
            "listen = [\"127.0.0.1:0\"]\n[stores.state]\nredis = {{ {redis} }}\n\
             [routes.\"/\"]\nto = \"{}\"\n\
             rate_limit = {{ rate = \"{LIMIT}/1h\", key = \"header:x-key\", store = \"state\", lease = \"{LEASE}%\" }}\n",
            origin.url(),
        );
        write(folder, "edge.toml", settings);
        let mut processes = Vec::new();
        for _ in 0..count {
            processes.push(Binary::run(folder, &["--settings", "edge.toml"]).await);
        }
        Self(processes)
    }

    async fn say(&mut self, words: &str) {
        for process in &mut self.0 {
            process.says(words).await;
        }
    }

    /// How many of so many requests with this key pass, to each process one after the other.
    async fn ask_for(&self, key: &str, count: usize) -> usize {
        let ask = async |process: &Binary| {
            let mut client = process.connect().await;
            let mut passed = 0;
            for _ in 0..count {
                client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n")).await;
                passed += usize::from(client.read_response().await.status == 200);
            }
            passed
        };
        futures_util::future::join_all(self.0.iter().map(ask)).await.into_iter().sum()
    }

    /// How many requests with this key pass, if each process is asked until it says that no more will for a while.
    async fn let_pass(&self, key: &str) -> usize {
        let ask = async |process: &Binary| {
            let mut client = process.connect().await;
            let mut passed = 0;
            loop {
                client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n")).await;
                let answer = client.read_response().await;
                match (answer.status, answer.header("retry-after")) {
                    (200, _) => passed += 1,
                    // More may come any moment.
                    (429, Some("1")) => tokio::task::yield_now().await,
                    (429, _) => return passed,
                    (status, _) => panic!("{status}"),
                }
            }
        };
        let all = futures_util::future::join_all(self.0.iter().map(ask));
        patiently("all of them refuse", all).await.into_iter().sum()
    }
}

#[actix_rt::test]
async fn several_processes_let_pass_what_one_may_and_a_lease_each_and_go_on_without_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let redis = Redis::start(folder.path());
    let at_socket = at_socket(folder.path(), "5s");
    let mut processes = Processes::start(PROCESSES, folder.path(), &at_socket, &origin).await;
    processes.say("is found, and this process counts with all others").await;

    let together = processes.let_pass("alice").await;
    assert!(TOGETHER.contains(&together), "{together} passed");

    // Killed while it is in use: nobody fails, and nobody gets more than the limit from each process.
    let (under_load, ()) = futures_util::future::join(processes.let_pass("bob"), async { redis.kill() }).await;
    processes.say("is lost, and this process counts by itself").await;
    let rest = processes.let_pass("bob").await;
    assert!(APART.contains(&(under_load + rest)), "{under_load} and {rest} passed");
    let apart = processes.let_pass("carol").await;
    assert!(APART.contains(&apart), "{apart} passed");

    let _redis = Redis::start(folder.path());
    processes.say("is found, and this process counts with all others").await;
    let together = processes.let_pass("dave").await;
    assert!(TOGETHER.contains(&together), "{together} passed");
}

/// Settings of one at the socket in this folder, which is lost when it takes longer than this to answer.
fn at_socket(folder: &Path, timeout: &str) -> String {
    format!("url = \"redis+unix:{}\", timeout = \"{timeout}\"", folder.join("redis.sock").display())
}

#[actix_rt::test]
async fn a_store_that_hangs_makes_nobody_wait_and_is_done_without_until_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let redis = Redis::start(folder.path());
    let mut processes = Processes::start(PROCESSES, folder.path(), &at_socket(folder.path(), "4s"), &origin).await;
    processes.say("is found, and this process counts with all others").await;
    let together = processes.let_pass("alice").await;
    assert!(TOGETHER.contains(&together), "{together} passed");

    redis.signal(libc::SIGSTOP);
    let began = Instant::now();
    let hanging = processes.ask_for("bob", 2 * LEASE).await;
    let took = began.elapsed();
    processes.say("is lost, and this process counts by itself").await;
    let rest = processes.let_pass("bob").await;

    // A lease each, and more of it only where the store has answered.
    assert_eq!(hanging, PROCESSES * LEASE);
    assert!(took < Duration::from_secs(4), "somebody has waited for the store: {took:?}");
    assert!(APART.contains(&(hanging + rest)), "{hanging} and {rest} passed");

    redis.signal(libc::SIGCONT);
    processes.say("is found, and this process counts with all others").await;
    let together = processes.let_pass("dave").await;
    assert!(TOGETHER.contains(&together), "{together} passed");
}

#[actix_rt::test]
async fn a_store_that_takes_connections_and_says_nothing_is_never_found() {
    let silent = Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await;
    let origin = Origin::answering("hello").start().await;
    let text = format!(
        "[stores.state]\nredis = {{ url = \"redis://{}\", timeout = \"20ms\" }}\n[routes.\"/\"]\nto = \"{}\"\n\
         rate_limit = {{ rate = \"5/1h\", store = \"state\" }}\n",
        silent.address(),
        origin.url(),
    );
    let proxy = TestProxy::with(&text).start().await;
    let actors = Actors::start();
    actors.do_chores(&proxy.proxy);

    silent.wait_for_connections(3).await;
    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(proxy.get("/").await.status == 200);
    }

    let events = proxy.proxy.plan().ledger.events();
    let count = |event| events.iter().find(|(name, _)| *name == ("rate_limit", event)).map(|(_, count)| *count);
    assert_eq!((passed, count("store_lost"), count("store_found")), (5, Some(1), Some(0)));
}

/// An address where a Redis will be, and settings that say so.
fn secured(authority: &Authority) -> (SocketAddr, String) {
    let at = SocketAddr::from((loopback(), 6380));
    (at, format!("url = \"rediss://{at}/0\", timeout = \"5s\", ca = {:?}", authority.path("ca.pem")))
}

#[actix_rt::test]
async fn a_store_that_proves_who_it_is_is_shared_over_tls() {
    let (authority, origin) = (Authority::new(), Origin::answering("hello").start().await);
    let (at, settings) = secured(&authority);
    authority.issue("redis", &[&at.ip().to_string()]);
    let _redis = Redis::start_secured(authority.folder(), at, "redis");

    let mut processes = Processes::start(2, authority.folder(), &settings, &origin).await;
    processes.say("is found, and this process counts with all others").await;

    let passed = processes.let_pass("alice").await;
    assert!(together(2).contains(&passed), "{passed} passed");
}

#[actix_rt::test]
async fn a_store_that_does_not_is_told_nothing() {
    let (authority, other, origin) = (Authority::new(), Authority::new(), Origin::answering("hello").start().await);
    let (at, settings) = secured(&authority);
    authority.issue("elsewhere", &["redis.example"]);
    other.issue("redis", &[&at.ip().to_string()]);
    for (folder, name) in [(authority.folder(), "elsewhere"), (other.folder(), "redis")] {
        let redis = Redis::start_secured(folder, at, name);
        wait_for(at).await;

        let mut processes = Processes::start(1, authority.folder(), &settings, &origin).await;
        let lost = processes.0[0].says("is lost, and this process counts by itself").await;
        assert!(lost.contains("invalid peer certificate"), "{lost}");

        let passed = processes.let_pass(name).await;
        assert!(apart(1).contains(&passed), "{passed} passed");
        redis.kill();
    }
}

/// Until somebody listens there.
async fn wait_for(at: SocketAddr) {
    patiently("a Redis", async {
        while tokio::net::TcpStream::connect(at).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
