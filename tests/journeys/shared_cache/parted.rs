//! What one process says to the Redis does not get there for a while, or what it answers does not get back, or neither, and no connection
//! breaks that would tell.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
    task::AbortHandle,
};

use super::*;

/// What stands between a process and the Redis, until it is dropped.
struct Relay {
    address: SocketAddr,
    gates: watch::Sender<Gates>,
    /// All that has come from the process, whether or not it was passed on.
    heard: Arc<Mutex<Vec<u8>>>,
    accepting: AbortHandle,
}

/// What comes through.
#[derive(Clone, Copy, Default)]
struct Gates {
    keeps_requests: bool,
    keeps_answers: bool,
    /// So often all connections were broken off.
    breaks: u32,
}

impl Relay {
    /// To the Redis at this socket.
    async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, gates) = (listener.local_addr().expect("it has one"), watch::Sender::new(Gates::default()));
        let (heard, seen) = (Arc::default(), gates.subscribe());
        let all = Arc::clone(&heard);
        let accepting = actix_rt::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = UnixStream::connect(&socket).await else { continue };
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                actix_rt::spawn(pass(from_near, to_far, seen.clone(), |gates| gates.keeps_requests, Arc::clone(&all)));
                actix_rt::spawn(pass(from_far, to_near, seen.clone(), |gates| gates.keeps_answers, Arc::default()));
            }
        });
        Self { address, gates, heard, accepting: accepting.abort_handle() }
    }

    /// Keeps what comes from now on.
    fn keep(&self, requests: bool, answers: bool) {
        self.gates.send_modify(|gates| (gates.keeps_requests, gates.keeps_answers) = (requests, answers));
    }

    /// What was kept goes on.
    fn let_go(&self) {
        self.keep(false, false);
    }

    /// Breaks off all connections there are, with what was kept of them.
    fn break_off(&self) {
        self.gates.send_modify(|gates| gates.breaks += 1);
    }

    /// Waits until this has come from the process.
    async fn hears(&self, text: &str) {
        let has_it = || {
            let heard = self.heard.lock().expect("nobody has panicked");
            heard.windows(text.len()).any(|part| part == text.as_bytes())
        };
        patiently(text, async {
            while !has_it() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gates: watch::Receiver<Gates>,
    is_kept: fn(&Gates) -> bool,
    heard: Arc<Mutex<Vec<u8>>>,
) {
    let (breaks, mut broken) = (gates.borrow().breaks, gates.clone());
    let passing = async {
        let (mut buffer, mut kept, mut is_over) = (vec![0; 64 * 1024], Vec::new(), false);
        while !(is_over && kept.is_empty()) {
            tokio::select! {
                count = from.read(&mut buffer), if !is_over => {
                    let count = count.unwrap_or(0);
                    is_over = count == 0;
                    heard.lock().expect("nobody has panicked").extend_from_slice(&buffer[..count]);
                    kept.extend_from_slice(&buffer[..count]);
                }
                open = gates.wait_for(|gates| !is_kept(gates)), if !kept.is_empty() => {
                    if open.is_err() || to.write_all(&kept).await.is_err() {
                        break;
                    }
                    kept.clear();
                }
            }
        }
    };
    tokio::select! {
        () = passing => {}
        _ = broken.wait_for(|gates| gates.breaks != breaks) => {}
    }
}

/// No request waits for the Redis for so long, on however busy a machine; without a limit it would for ever.
const A_WHILE: Duration = Duration::from_secs(2);

/// The first process reaches the Redis, and the second one by a relay.
async fn two(more: &str) -> (Site, Redis, Relay) {
    let mut site = Site::start(1).await;
    let redis = Redis::start(site.folder.path());
    let relay = Relay::to(site.folder.path().join("redis.sock")).await;
    site.write_settings_of("64MiB", &format!("url = \"redis://{}\"{more}", relay.address));
    site.servers.push(Binary::with_operators(site.folder.path()).await);
    site.all_say(FOUND).await;
    (site, redis, relay)
}

#[actix_rt::test]
async fn who_cannot_reach_it_waits_for_nobody_and_both_sides_hear_of_each_others_purges_afterwards() {
    for (requests, answers, breaks) in
        [(true, true, false), (true, false, false), (false, true, false), (true, true, true)]
    {
        let (mut site, _redis, relay) = two("").await;
        for (path, text) in [("/a", "answer 1"), ("/b", "answer 2")] {
            site.share(path, text).await;
            assert_eq!(site.got(1, path).await, (text.to_owned(), "redis"));
        }

        relay.keep(requests, answers);

        for number in 3..9 {
            let begun = Instant::now();
            assert_eq!(site.got(1, &format!("/{number}")).await, (format!("answer {number}"), "endpoint"));
            assert!(begun.elapsed() < A_WHILE, "{number}: {:?}", begun.elapsed());
        }
        site.servers[1].0.says(LOST).await;
        let begun = Instant::now();
        site.purge(0, r#"{"url":"http://shop.example/a"}"#).await;
        site.purge(1, r#"{"url":"http://shop.example/b"}"#).await;
        assert!(begun.elapsed() < A_WHILE, "{:?}", begun.elapsed());
        // Each side knows what it has purged itself, and asks for it anew.
        assert_eq!([site.got(0, "/a").await.0, site.got(1, "/b").await.0], ["answer 9", "answer 10"]);

        if breaks {
            relay.break_off();
        }
        relay.let_go();

        site.servers[1].0.says(FOUND).await;
        let hear = async {
            while site.got(1, "/a").await.0 == "answer 1" {}
            while site.got(0, "/b").await.0 == "answer 2" {}
        };
        patiently("both have heard of it", hear).await;
        // Nor does who has nothing in memory find it.
        site.add().await;
        site.servers[2].0.says(FOUND).await;
        assert_ne!(site.got(2, "/a").await.0, "answer 1");
        assert_ne!(site.got(2, "/b").await.0, "answer 2");
    }
}

#[actix_rt::test]
async fn what_comes_there_long_after_it_was_purged_is_not_kept_there() {
    // It does not give up a connection that only listens, so that what it has said comes there in the end.
    let (mut site, _redis, relay) = two(", timeout = \"60s\"").await;
    relay.keep(true, false);
    assert_eq!(site.got(1, "/a").await, ("answer 1".into(), "endpoint"));
    relay.hears("answer 1").await;
    site.purge(0, r#"{"url":"http://shop.example/a"}"#).await;

    relay.let_go();

    // What is put later by the same process comes there later.
    let paths = (0..).map(|number| format!("/b/{number}"));
    patiently("something of it is there", async {
        for path in paths {
            site.got(1, &path).await;
            if !site.stored().is_empty() {
                break;
            }
        }
    })
    .await;
    for name in site.stored() {
        let values: Vec<Vec<u8>> = redis::cmd("HVALS").arg(&name).query(&mut site.redis()).expect("it answers");
        assert!(values.iter().all(|value| !value.ends_with(b"answer 1")));
    }
    site.add().await;
    site.servers[2].0.says(FOUND).await;
    assert_ne!(site.got(2, "/a").await.0, "answer 1");
}
