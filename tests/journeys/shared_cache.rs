//! What is kept is kept for several processes, by a Redis, which is killed, hangs, is emptied, or holds what nobody has put there.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;

mod parted;

use super::support::{
    binary::{Binary, write},
    client::{self, Response},
    origin::{Origin, Script},
    wire::patiently,
};

/// A Redis, until it is dropped.
struct Redis(Child);

impl Redis {
    /// At a socket in this folder.
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

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _it_may_have_ended = (self.0.kill(), self.0.wait());
    }
}

/// Two processes that share a store, each with memory of its own.
struct Site {
    folder: TempDir,
    origin: Origin,
    servers: Vec<(Binary, SocketAddr)>,
}

/// Answers for a minute, with its number; it has a tag.
fn counting() -> Script {
    let count = AtomicUsize::new(1);
    Origin::serving(move |head, _| {
        let changes = if head.starts_with("DELETE /group") { "Cache-Group-Invalidation: \"g\"\r\n" } else { "" };
        let text = format!("answer {}", count.fetch_add(1, Ordering::Relaxed));
        let differs = if head.starts_with("GET /personal") { "Vary: Cookie\r\n" } else { "" };
        let fields = "Cache-Control: max-age=60\r\nSurrogate-Key: page\r\nCache-Groups: \"g\"\r\n";
        format!("HTTP/1.1 200 OK\r\n{fields}{changes}{differs}Content-Length: {}\r\n\r\n{text}", text.len())
            .into_bytes()
    })
}

impl Site {
    async fn start(count: usize) -> Self {
        let (folder, origin) = (tempfile::tempdir().expect("a folder"), counting().start().await);
        let mut site = Self { folder, origin, servers: Vec::new() };
        for _ in 0..count {
            site.add().await;
        }
        site
    }

    /// One more process.
    async fn add(&mut self) {
        self.write_settings("64MiB");
        self.servers.push(Binary::with_operators(self.folder.path()).await);
    }

    fn url(&self) -> String {
        format!("redis+unix:{}", self.folder.path().join("redis.sock").display())
    }

    /// For all of them, with memory of this size for each.
    fn write_settings(&self, size: &str) {
        self.write_settings_of(size, &format!("url = {:?}", self.url()));
    }

    /// The same with a Redis of which this is said.
    fn write_settings_of(&self, size: &str, redis: &str) {
        let settings = format!(
            "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver.watch = false\n\
             [stores.pages]\nmemory = {{ size = {size:?} }}\nredis = {{ {redis}, max_object = \"1KiB\" }}\n\
             [routes]\n\"/\" = {{ to = {:?}, cache = {{ store = \"pages\", key.headers = [\"x-key\"] }} }}\n",
            self.origin.url()
        );
        write(self.folder.path(), "edge.toml", settings);
    }

    async fn all_say(&mut self, words: &str) {
        for (server, _) in &mut self.servers {
            server.says(words).await;
        }
    }

    async fn ask(&self, server: usize, path: &str) -> Response {
        let mut client = self.servers[server].0.connect().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")).await;
        client.read_response().await
    }

    /// Which answer it is, and from where.
    async fn got(&self, server: usize, path: &str) -> (String, &'static str) {
        let answer = self.ask(server, path).await;
        let said = answer.header("cache-status").expect("it says what was done");
        let place = match (said.contains("; hit"), said.contains("redis")) {
            (true, true) => "redis",
            (true, false) => "memory",
            (false, _) => "endpoint",
        };
        (answer.text(), place)
    }

    /// What is there now.
    fn redis(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a URL");
        client.get_connection().expect("it is there")
    }

    /// The names of the answers that are there.
    fn stored(&self) -> Vec<String> {
        redis::cmd("KEYS")
            .arg(format!("aqueduct:cache:pages:{}", "?".repeat(32)))
            .query(&mut self.redis())
            .expect("it answers")
    }

    /// What lies at this name and field.
    fn value(&self, name: &str, field: &[u8]) -> Vec<u8> {
        redis::cmd("HGET").arg(name).arg(field).query(&mut self.redis()).expect("it answers")
    }

    /// Has the first process keep this, until it is there for all.
    async fn share(&self, path: &str, text: &str) {
        let before = self.stored().len();
        assert_eq!(self.got(0, path).await, (text.to_owned(), "endpoint"));
        patiently("it is put there", async {
            while self.stored().len() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn delete(&self, server: usize, path: &str) {
        let mut client = self.servers[server].0.connect().await;
        client.send(format!("DELETE {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(client.read_response().await.status, 200);
    }

    async fn purge(&self, server: usize, order: &str) {
        let fields = "Host: localhost\r\nContent-Type: application/json\r\nConnection: close";
        let length = order.len();
        let request = format!("POST /cache/purge HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{order}");
        assert_eq!(client::request(self.servers[server].1, request).await.status, 200);
    }
}

const FOUND: &str = "is found";
const LOST: &str = "is lost";

#[actix_rt::test]
async fn what_one_keeps_is_there_for_the_others_and_memory_asks_nobody() {
    let mut site = Site::start(2).await;
    let redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    site.share("/a", "answer 1").await;

    assert_eq!(site.got(1, "/a").await, ("answer 1".into(), "redis"));
    redis.kill();

    for server in [0, 1] {
        assert_eq!(site.got(server, "/a").await, ("answer 1".into(), "memory"));
    }
    assert_eq!(site.origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn what_one_has_purged_or_changed_nobody_gets() {
    for order in [
        r#"{"url":"http://shop.example/a"}"#,
        r#"{"prefix":"http://shop.example/"}"#,
        r#"{"tag":"page"}"#,
        r#"{"tag":"page","soft":true}"#,
        r#"{"everything":true}"#,
        // What is changed, and what says that a group is.
        "/a",
        "/group",
    ] {
        let mut site = Site::start(3).await;
        let _redis = Redis::start(site.folder.path());
        site.all_say(FOUND).await;
        site.share("/a", "answer 1").await;
        assert_eq!(site.got(1, "/a").await, ("answer 1".into(), "redis"));

        if order.starts_with('{') {
            site.purge(0, order).await;
            // Nobody finds it there from now on.
            assert_ne!(site.got(2, "/a").await.0, "answer 1", "{order}");
        } else {
            site.delete(0, order).await;
        }

        // Who has it in memory hears of it within a moment.
        for server in [0, 1, 2] {
            patiently("it is gone", async { while site.got(server, "/a").await.0 == "answer 1" {} }).await;
        }
    }
}

#[actix_rt::test]
async fn a_redis_that_is_killed_costs_misses_and_is_found_again() {
    let mut site = Site::start(2).await;
    let redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    site.share("/a", "answer 1").await;

    redis.kill();

    for (number, path) in [(2, "/b"), (3, "/c"), (4, "/d"), (5, "/e")] {
        assert_eq!(site.got(1, path).await, (format!("answer {number}"), "endpoint"));
    }
    site.all_say(LOST).await;
    let _redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    site.share("/f", "answer 6").await;
    assert_eq!(site.got(1, "/f").await, ("answer 6".into(), "redis"));
}

#[actix_rt::test]
async fn one_that_hangs_is_left_alone_and_what_was_purged_meanwhile_is_so_when_it_goes_on() {
    let mut site = Site::start(3).await;
    let redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    site.share("/a", "answer 1").await;

    redis.signal(rustix::process::Signal::STOP);

    for (number, path) in [(2, "/b"), (3, "/c"), (4, "/d"), (5, "/e"), (6, "/f")] {
        assert_eq!(site.got(1, path).await, (format!("answer {number}"), "endpoint"));
    }
    site.purge(0, r#"{"tag":"page"}"#).await;
    site.all_say(LOST).await;
    redis.signal(rustix::process::Signal::CONT);
    site.all_say(FOUND).await;
    patiently("all have heard of it", async { while site.got(1, "/b").await.0 == "answer 2" {} }).await;
    assert_ne!(site.got(2, "/a").await.0, "answer 1");
}

#[actix_rt::test]
async fn one_that_is_emptied_is_filled_again() {
    let mut site = Site::start(2).await;
    let _redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    site.share("/a", "answer 1").await;

    redis::cmd("FLUSHALL").exec(&mut site.redis()).expect("it answers");

    assert_eq!(site.got(1, "/a").await, ("answer 2".into(), "endpoint"));
    let paths = (0..).map(|number| format!("/b/{number}"));
    patiently("something is shared again", async {
        for path in paths {
            site.got(0, &path).await;
            if !site.stored().is_empty() {
                break;
            }
        }
    })
    .await;
}

#[actix_rt::test]
async fn what_nobody_has_put_there_so_is_never_given_out() {
    let mut site = Site::start(2).await;
    let _redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    site.share("/a", "answer 1").await;
    let name = site.stored().remove(0);
    let value: std::collections::HashMap<Vec<u8>, Vec<u8>> =
        redis::cmd("HGETALL").arg(&name).query(&mut site.redis()).expect("it answers");
    let (field, good) = value.into_iter().next().expect("an answer");
    let mut bent = good.clone();
    let last = bent.len() - 1;
    bent[last] ^= 1;
    let junk = [bent, good[..good.len() - 1].to_vec(), [&good[..], b"x"].concat(), b"junk".to_vec(), Vec::new()];

    for (number, junk) in junk.iter().enumerate() {
        redis::cmd("HSET").arg(&name).arg(&field).arg(junk).exec(&mut site.redis()).expect("it answers");
        // Another process each time: the one before has the right one in memory.
        site.add().await;
        let newest = site.servers.len() - 1;
        site.servers[newest].0.says(FOUND).await;

        assert_eq!(site.got(newest, "/a").await, (format!("answer {}", number + 2), "endpoint"), "{number}");
        patiently("it is put there in its place", async {
            while site.value(&name, &field) == *junk {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    redis::cmd("DEL").arg(&name).arg("aqueduct:cache:pages:purges").exec(&mut site.redis()).expect("it answers");
    redis::cmd("SET").arg(&name).arg("of another type").exec(&mut site.redis()).expect("it answers");
    assert_eq!(site.got(1, "/a").await.1, "endpoint");
}

#[actix_rt::test]
async fn what_clients_prove_who_they_are_with_is_not_put_there() {
    let mut site = Site::start(1).await;
    let _redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    for place in ["endpoint", "memory"] {
        let mut client = site.servers[0].0.connect().await;
        let fields = "Host: shop.example\r\nCookie: s=secret\r\nConnection: close\r\n";
        client.send(format!("GET /personal HTTP/1.1\r\n{fields}\r\n")).await;
        let answer = client.read_response().await;
        let is_hit = answer.header("cache-status").is_some_and(|said| said.contains("; hit"));
        assert_eq!(is_hit, place == "memory", "{}", answer.head);
    }

    // What is put later is there later.
    site.got(0, "/a").await;
    patiently("it is there", async {
        while site.stored().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let [name] = &site.stored()[..] else { panic!("{:?}", site.stored()) };
    let value: Vec<u8> = redis::cmd("DUMP").arg(name).query(&mut site.redis()).expect("it answers");
    assert!(!value.windows(6).any(|part| part == b"secret"));
}

#[actix_rt::test]
async fn what_others_purge_is_heard_of_by_a_store_of_another_size_too() {
    let mut site = Site::start(2).await;
    let _redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    site.write_settings("32MiB");
    site.servers[1].0.reload().await;
    site.share("/a", "answer 1").await;
    assert_eq!(site.got(1, "/a").await, ("answer 1".into(), "redis"));
    assert_eq!(site.got(1, "/a").await, ("answer 1".into(), "memory"));

    site.purge(0, r#"{"url":"http://shop.example/a"}"#).await;

    patiently("it is gone", async { while site.got(1, "/a").await.0 == "answer 1" {} }).await;
}

#[actix_rt::test]
async fn what_was_changed_is_told_before_the_process_ends() {
    let mut site = Site::start(2).await;
    let redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    site.share("/a", "answer 1").await;
    assert_eq!(site.got(1, "/a").await, ("answer 1".into(), "redis"));
    redis.signal(rustix::process::Signal::STOP);
    // It has heard of the first one, when it goes on, in any case: that is on its way.
    site.delete(0, "/b").await;
    site.all_say(LOST).await;
    site.delete(0, "/a").await;

    site.servers[0].0.signal(libc::SIGTERM);
    redis.signal(rustix::process::Signal::CONT);

    assert!(site.servers[0].0.ended().await.success());
    patiently("it is gone", async { while site.got(1, "/a").await.0 == "answer 1" {} }).await;
}

#[actix_rt::test]
async fn of_one_target_no_more_than_sixty_four_answers_are_there_and_none_goes_before_its_time() {
    const LONG: u64 = 100_000_000;
    let mut site = Site::start(1).await;
    let _redis = Redis::start(site.folder.path());
    site.all_say(FOUND).await;
    let mut redis = site.redis();

    for number in 0..70 {
        let mut client = site.servers[0].0.connect().await;
        let fields = format!("Host: shop.example\r\nX-Key: {number}\r\nConnection: close\r\n");
        client.send(format!("GET /a HTTP/1.1\r\n{fields}\r\n")).await;
        assert_eq!(client.read_response().await.status, 200);
        patiently("it is put there", async {
            let is_there = |redis: &mut redis::Connection| {
                let name = site.stored().pop()?;
                let length: u64 = redis::cmd("HLEN").arg(&name).query(redis).expect("it answers");
                (length == number % 64 + 1).then_some(name)
            };
            while is_there(&mut redis).is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let name = site.stored().remove(0);
        if number == 0 {
            redis::cmd("PEXPIRE").arg(&name).arg(LONG).exec(&mut redis).expect("it answers");
        } else if number < 64 {
            let left: u64 = redis::cmd("PTTL").arg(&name).query(&mut redis).expect("it answers");
            assert!(left > LONG / 2, "{left}");
        }
    }
}
