//! Limits that several processes share by a Redis, which is killed.

use std::{
    ops::RangeInclusive,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::support::{
    binary::{Binary, write},
    origin::Origin,
    wire::patiently,
};

const LIMIT: usize = 100;
const LEASE: usize = 10;
const PROCESSES: usize = 3;

/// What all of them let pass with the store, and without it: in half a minute one flows into each bucket.
const TOGETHER: RangeInclusive<usize> = LIMIT..=LIMIT + PROCESSES * LEASE;
const APART: RangeInclusive<usize> = PROCESSES * LIMIT..=PROCESSES * (LIMIT + 2);

/// A Redis at a socket of its own, until it is dropped.
struct Redis(Child);

impl Redis {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"]);
        let child = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Self(child.expect("redis-server is here: scripts/test installs it"))
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
    async fn start(folder: &Path, origin: &Origin) -> Self {
        let settings = format!(
            "listen = [\"127.0.0.1:0\"]\n[stores.state]\nredis = {{ url = \"redis+unix:{}\", timeout = \"5s\" }}\n\
             [routes.\"/\"]\nto = \"{}\"\n\
             rate_limit = {{ rate = \"{LIMIT}/1h\", key = \"header:x-key\", store = \"state\", lease = \"{LEASE}%\" }}\n",
            folder.join("redis.sock").display(),
            origin.url(),
        );
        write(folder, "edge.toml", settings);
        let mut processes = Vec::new();
        for _ in 0..PROCESSES {
            processes.push(Binary::run(folder, &["--settings", "edge.toml"]).await);
        }
        Self(processes)
    }

    async fn say(&mut self, words: &str) {
        for process in &mut self.0 {
            process.says(words).await;
        }
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
    let mut processes = Processes::start(folder.path(), &origin).await;
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
