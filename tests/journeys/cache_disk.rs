//! Answers that are kept on disk: over the end of a process, and through all that disks do.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::process::Command;

use super::support::{
    binary::{Binary, write},
    client::{self, Client, Response},
    metrics::{metrics, says, value},
    origin::{Origin, Script},
    wire::patiently,
};

/// What is at `/LENGTH/NAME`: no two are the same, nor two places in one.
fn page(path: &str) -> Vec<u8> {
    let (length, name) = path.trim_start_matches('/').split_once('/').expect("a length and a name");
    let seed = name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let byte = |at: u64| (seed.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8;
    (0..length.parse().expect("a length")).map(byte).collect()
}

fn pages() -> Script {
    Origin::serving(|head, _| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        if head.starts_with("POST ") {
            return b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
        }
        let body = page(path);
        let name = path.rsplit('/').next().unwrap_or_default();
        let head = format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nCache-Tag: t-{name}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), &body].concat()
    })
}

/// A store of which memory has room for little: nothing larger than half a MiB.
struct Store {
    folder: TempDir,
    origin: Origin,
    server: Binary,
    admin: SocketAddr,
}

const STORE: &str = "memory = { size = \"1MiB\" }\ndisk = { path = \"store\", size = \"64MiB\" }\n";

fn settings(folder: &Path, origin: &Origin, store: &str) {
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver.watch = false\nserver.http.methods = [\"*\"]\n\
         routes.\"/\" = {{ to = {:?}, cache = {{ store = \"pages\", max_object = \"4MiB\", purge = [\"127.0.0.1\"] }} }}\n\
         [stores.pages]\n{store}",
        origin.url()
    );
    write(folder, "edge.toml", text);
}

async fn store(script: Script) -> Store {
    let (folder, origin) = (tempfile::tempdir().expect("a folder"), script.start().await);
    settings(folder.path(), &origin, STORE);
    let (server, admin) = Binary::with_operators(folder.path()).await;
    Store { folder, origin, server, admin }
}

async fn ask(server: &Binary, line: &str, fields: &str) -> Response {
    let mut client = server.connect().await;
    client.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")).await;
    client.read_response_to(line.split(' ').next().unwrap_or_default()).await
}

fn said(answer: &Response) -> &str {
    answer.header("cache-status").unwrap_or_default()
}

/// What is said of an answer that came from there.
const DISK: &str = "detail=\"disk\"";

fn series(name: &str) -> String {
    format!("aqueduct_cache_tier_{name}{{store=\"pages\",tier=\"disk\"}}")
}

impl Store {
    async fn get(&self, path: &str) -> Response {
        ask(&self.server, &format!("GET {path}"), "").await
    }

    /// All of it, as it is.
    async fn gets(&self, path: &str) -> Response {
        let answer = self.get(path).await;
        assert!(answer.complete && answer.body == page(path), "{path}: {}", answer.head);
        answer
    }

    /// Another process, after the one before was killed.
    async fn start_again(&mut self) {
        self.server.signal(libc::SIGKILL);
        self.server.ended().await;
        (self.server, self.admin) = Binary::with_operators(self.folder.path()).await;
    }

    async fn wait_for_stored(&self, count: u32) {
        says(self.admin, &series("stored_total"), f64::from(count)).await;
    }

    async fn count(&self, name: &str) -> f64 {
        value(&metrics(self.admin).await, &series(name)).expect("it is counted")
    }

    async fn purge(&self, order: &str) -> String {
        let fields = "Host: localhost\r\nContent-Type: application/json\r\nConnection: close";
        let request =
            format!("POST /cache/purge HTTP/1.1\r\n{fields}\r\nContent-Length: {}\r\n\r\n{order}", order.len());
        client::request(self.admin, request).await.text()
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.folder.path().join("store"))
    }
}

/// Those that hold answers.
fn files(store: &Path) -> Vec<PathBuf> {
    let below = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let folders =
        below(store.to_owned()).into_iter().filter(|path| path.file_name().is_some_and(|name| name.len() == 2));
    folders.flat_map(below).flat_map(below).collect()
}

#[actix_rt::test]
async fn what_is_kept_outlives_the_process_however_it_ends() {
    let mut store = store(pages()).await;
    let paths = ["/0/empty", "/40/small", "/300000/middle", "/3000000/large"];
    for path in paths {
        assert!(said(&store.gets(path).await).contains("fwd=uri-miss"));
    }
    store.wait_for_stored(4).await;

    store.start_again().await;

    for path in paths {
        let answer = store.gets(path).await;
        assert!(said(&answer).contains("; hit") && said(&answer).contains(DISK), "{path}: {}", answer.head);
    }
    assert_eq!(store.origin.requests_seen(), 4);
    assert!(!said(&store.gets("/40/small").await).contains(DISK), "it is in memory again");
    assert!(said(&store.gets("/3000000/large").await).contains(DISK), "memory has no room for it");
    let head = ask(&store.server, "HEAD /3000000/large", "").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("3000000")));
    let part = ask(&store.server, "GET /3000000/large", "Range: bytes=65530-200001\r\n").await;
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 65530-200001/3000000")));
    assert!(part.body == page("/3000000/large")[65530..=200_001]);
    assert_eq!(store.origin.requests_seen(), 4);
    assert_eq!(store.count("errors_total").await, 0.0);
}

#[actix_rt::test]
async fn what_is_stale_on_disk_is_validated_there_and_stands_in_for_failures() {
    let fails = Arc::new(AtomicBool::new(false));
    let is_failing = Arc::clone(&fails);
    let origin = Origin::serving(move |head, _| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let fields = "Cache-Control: max-age=0, stale-if-error=600\r\nETag: \"a\"";
        if is_failing.load(Ordering::Relaxed) {
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec()
        } else if head.to_ascii_lowercase().contains("if-none-match: \"a\"") {
            format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\nX-Validated: 1\r\n\r\n").into_bytes()
        } else {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: {}\r\n\r\n", page(path).len());
            [head.as_bytes(), &page(path)].concat()
        }
    });
    let mut store = store(origin).await;
    let paths = ["/40/a", "/300000/b", "/3000000/c"];
    for path in paths {
        store.gets(path).await;
    }
    store.wait_for_stored(3).await;
    store.start_again().await;

    for path in paths {
        let answer = store.gets(path).await;
        assert!(said(&answer).contains("fwd=stale; fwd-status=304"), "{path}: {}", answer.head);
    }
    store.wait_for_stored(3).await;
    store.start_again().await;
    fails.store(true, Ordering::Relaxed);

    for path in paths {
        let answer = store.gets(path).await;
        assert_eq!((answer.status, answer.header("x-validated")), (200, Some("1")), "{path}: {}", answer.head);
        assert!(said(&answer).contains("stale-if-error"), "{path}: {}", answer.head);
    }
}

#[actix_rt::test]
async fn only_what_is_stored_is_found_on_disk_too() {
    let mut store = store(pages()).await;
    store.gets("/40/a").await;
    store.wait_for_stored(1).await;
    store.start_again().await;
    let only = "Cache-Control: only-if-cached\r\n";

    let (found, other) = (ask(&store.server, "GET /40/a", only).await, ask(&store.server, "GET /40/b", only).await);

    assert_eq!((found.status, other.status, store.origin.requests_seen()), (200, 504, 1));
}

#[actix_rt::test]
async fn many_that_want_what_is_on_disk_have_it_read_once() {
    let mut store = store(pages()).await;
    store.gets("/300000/a").await;
    store.wait_for_stored(1).await;
    store.start_again().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = store.server.connect().await;
        client.send("GET /300000/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }

    for mut client in clients {
        let answer = client.read_response().await;
        assert!(answer.complete && answer.body == page("/300000/a"));
    }

    assert_eq!((store.origin.requests_seen(), store.count("found_total").await), (1, 1.0));
}

#[actix_rt::test]
async fn no_byte_is_wrong_after_any_number_of_kills() {
    let mut store = store(pages()).await;
    let path = |number: usize| format!("/{}/n{number}", [40, 70_000, 300_000, 900_000][number % 4]);
    let mut found = 0;
    for round in 0..12 {
        let mut clients = Vec::new();
        for number in 0..16 {
            let mut client = store.server.connect().await;
            client.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(round * 4 + number))).await;
            clients.push((client, path(round * 4 + number)));
        }
        // Some are answered, and others are on their way, when it is killed.
        for (client, path) in clients.iter_mut().take(round + 2) {
            let answer = client.read_response().await;
            assert!(answer.complete && answer.body == page(path), "{path}: {}", answer.head);
            found += usize::from(said(&answer).contains(DISK));
        }

        store.start_again().await;
    }

    for number in 0..60 {
        found += usize::from(said(&store.gets(&path(number)).await).contains(DISK));
    }
    assert!(found > 10, "what was whole is found: {found}");
    assert_eq!(fs::read_dir(store.folder.path().join("store/new")).expect("a folder").count(), 0);
}

#[actix_rt::test]
async fn what_was_harmed_is_asked_for_again_or_breaks_off() {
    let mut store = store(pages()).await;
    let paths = ["/40/a", "/70000/b", "/300000/c", "/3000000/d"];
    for path in paths {
        store.gets(path).await;
    }
    store.wait_for_stored(4).await;
    let files = store.files();
    assert_eq!(files.len(), 4);
    for file in &files {
        let mut bytes = fs::read(file).expect("it is there");
        let last = bytes.len() - 20;
        bytes[last] ^= 4;
        fs::write(file, bytes).expect("a file");
    }
    store.start_again().await;

    for path in paths {
        let answer = store.get(path).await;
        let is_right = answer.body == page(path);
        assert!(is_right == answer.complete && page(path).starts_with(&answer.body), "{path}: {}", answer.head);
        assert!(is_right || answer.body.len() > 200_000, "small ones are asked for again: {path}");
    }

    for path in paths {
        store.gets(path).await;
    }
    assert_eq!(store.count("errors_total").await, 4.0);
}

#[actix_rt::test]
async fn what_breaks_off_at_the_endpoint_is_never_whole() {
    let origin = Origin::script(|mut conn, _| async move {
        let head = conn.read_head().await;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = page(&path);
        let length = if path.ends_with("sized") {
            format!("Content-Length: {}", body.len())
        } else {
            "Transfer-Encoding: chunked".into()
        };
        conn.write(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n{length}\r\n\r\n")).await;
        if path.ends_with("sized") {
            conn.write(&body[..body.len() - 1]).await;
        } else {
            conn.write([format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat()).await;
        }
    });
    let store = store(origin).await;

    for path in ["/2000000/sized", "/2000000/chunked", "/40/sized"] {
        for _ in 0..2 {
            assert!(!store.get(path).await.complete, "{path}");
        }
    }

    assert_eq!(store.origin.requests_seen(), 6);
    assert_eq!(store.count("stored_total").await, 0.0);
    assert!(store.files().is_empty());
    patiently("nothing is left of it", async {
        while fs::read_dir(store.folder.path().join("store/new")).expect("a folder").count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[actix_rt::test]
async fn a_disk_that_is_full_costs_no_request() {
    let (folder, origin) = (tempfile::tempdir().expect("a folder"), pages().start().await);
    settings(folder.path(), &origin, STORE);
    // No file may become larger than a few KiB: what would be written of a larger one fails.
    let mut command = Command::new("sh");
    let run = "trap '' XFSZ; ulimit -f 16; exec \"$0\" run --settings edge.toml";
    command
        .args(["-c", run, env!("CARGO_BIN_EXE_aqueduct")])
        .current_dir(folder.path())
        .env_clear()
        .stdin(Stdio::null());
    let mut server = Binary::start(&mut command).await;
    let admin = server.says_address("telling operators at ").await;
    let mut store = Store { folder, origin, server, admin };

    for path in ["/900000/a", "/70000/b", "/900000/c", "/300000/d"] {
        store.gets(path).await;
    }

    store.server.says("an answer cannot be kept").await;
    assert!(store.count("errors_total").await >= 1.0);
    assert!(said(&store.gets("/70000/b").await).contains("; hit"), "memory goes on");
    assert!(store.files().is_empty());
}

#[actix_rt::test]
async fn what_is_purged_or_invalidated_is_so_on_disk_and_for_the_next_process() {
    let mut store = store(pages()).await;
    let paths = ["/40/a", "/40/b", "/40/c", "/40/d", "/40/e"];
    for path in paths {
        store.gets(path).await;
    }
    store.wait_for_stored(5).await;
    // In memory there is nothing of it.
    store.start_again().await;
    let told = client::get(store.admin, "/cache/entry?url=http://a/40/b").await.text();
    assert!(told.contains(r#""tier":"disk","status":200,"age":"#) && told.contains(r#""tags":["t-b"]"#), "{told}");
    assert!(!told.contains("memory"), "{told}");

    assert!(store.purge(r#"{"url":"http://a/40/a"}"#).await.contains("\"purged\":1"));
    assert!(store.purge(r#"{"tag":"t-b"}"#).await.contains("\"purged\":1"));
    assert_eq!(ask(&store.server, "PURGE /40/c", "").await.text(), "{\"purged\":1}\n");
    assert_eq!(ask(&store.server, "POST /40/d", "Content-Length: 0\r\n").await.status, 204);
    patiently("its file is removed", async {
        while store.files().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    store.start_again().await;

    for path in paths {
        assert_eq!(said(&store.gets(path).await).contains("; hit"), path == "/40/e", "{path}");
    }
}

#[actix_rt::test]
async fn a_second_process_goes_on_without_and_has_it_when_the_first_ends() {
    let mut store = store(pages()).await;
    store.gets("/40/a").await;
    store.wait_for_stored(1).await;
    let (mut second, admin) = Binary::with_operators(store.folder.path()).await;
    second.says("waits for another process").await;
    let get = |path: &'static str| format!("GET {path}");

    let answer = ask(&second, &get("/40/b"), "").await;
    assert!(answer.body == page("/40/b") && store.files().len() == 1, "it writes nothing");

    store.server.signal(libc::SIGKILL);
    store.server.ended().await;
    let only = "Cache-Control: only-if-cached\r\n";
    patiently("it has it", async { while ask(&second, &get("/40/a"), only).await.status != 200 {} }).await;
    assert_eq!(ask(&second, &get("/40/c"), "").await.status, 200);
    says(admin, &series("stored_total"), 1.0).await;
}

#[actix_rt::test]
async fn who_takes_over_has_what_is_kept_once_the_one_before_has_ended() {
    let mut store = store(pages()).await;
    store.gets("/40/a").await;
    store.wait_for_stored(1).await;

    store.server.hand_over().await;
    store.server.ended().await;

    let only = "Cache-Control: only-if-cached\r\n";
    patiently("it has it", async { while ask(&store.server, "GET /40/a", only).await.status != 200 {} }).await;
    assert_eq!(store.origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn a_reload_keeps_what_is_on_disk_also_where_sizes_change() {
    let mut store = store(pages()).await;
    store.gets("/40/a").await;
    store.wait_for_stored(1).await;

    settings(store.folder.path(), &store.origin, &STORE.replace("64MiB", "128MiB").replace("1MiB", "2MiB"));
    store.server.reload().await;

    let only = "Cache-Control: only-if-cached\r\n";
    patiently("it has it", async { while ask(&store.server, "GET /40/a", only).await.status != 200 {} }).await;
    assert_eq!(store.count("size_bytes").await, f64::from(128 << 20));
}

#[actix_rt::test]
async fn a_folder_that_is_removed_while_it_runs_costs_no_request() {
    let store = store(pages()).await;
    store.gets("/900000/a").await;
    store.wait_for_stored(1).await;

    fs::remove_dir_all(store.folder.path().join("store")).expect("it is there");

    for path in ["/900000/a", "/40/b", "/900000/c"] {
        store.gets(path).await;
    }
    patiently("something is kept there again", async {
        let mut number = 0;
        while store.files().is_empty() {
            number += 1;
            store.gets(&format!("/40/n{number}")).await;
        }
    })
    .await;
}

#[actix_rt::test]
async fn who_reads_slowly_or_leaves_does_not_keep_an_answer_from_the_disk() {
    let store = store(pages()).await;
    let mut leaving = Client::connect(store.server.address).await;
    leaving.send("GET /4000000/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    leaving.read_head().await;

    drop(leaving);

    store.wait_for_stored(1).await;
    assert!(said(&store.gets("/4000000/a").await).contains(DISK));
    assert_eq!(store.origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn who_is_asked_to_stop_writes_down_first_what_waits_for_that() {
    let mut store = store(pages()).await;
    let large = "memory = { size = \"256MiB\" }\ndisk = { path = \"store\", size = \"1GiB\" }\n";
    settings(store.folder.path(), &store.origin, large);
    store.start_again().await;
    let paths: Vec<_> = (0..14).map(|number| format!("/4000000/{number}")).collect();
    join_all(paths.iter().map(|path| store.get(path))).await;

    store.server.signal(libc::SIGTERM);
    store.server.ended().await;
    (store.server, store.admin) = Binary::with_operators(store.folder.path()).await;

    for path in &paths {
        let answer = store.gets(path).await;
        assert!(said(&answer).contains(DISK), "{path}: {}", answer.head);
    }
    assert_eq!(store.origin.requests_seen(), paths.len());
}

#[actix_rt::test]
async fn of_what_grows_beyond_what_is_kept_no_older_one_is_found_either() {
    let has_grown = Arc::new(AtomicBool::new(false));
    let grows = Arc::clone(&has_grown);
    let store = store(Origin::serving(move |_, _| {
        let length = if grows.load(Ordering::Relaxed) { 5 << 20 } else { 600_000 };
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{length:x}\r\n{}\r\n0\r\n\r\n", ".".repeat(length)).into_bytes()
    }))
    .await;
    assert_eq!(store.get("/a").await.body.len(), 600_000);
    store.wait_for_stored(1).await;
    has_grown.store(true, Ordering::Relaxed);

    let newer = ask(&store.server, "GET /a", "Cache-Control: no-cache\r\n").await;

    assert!(newer.complete && newer.body.len() == 5 << 20, "{}", newer.head);
    patiently("the older is gone", async {
        while !store.files().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(ask(&store.server, "GET /a", "Cache-Control: only-if-cached\r\n").await.status, 504);
}
