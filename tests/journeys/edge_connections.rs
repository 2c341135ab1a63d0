//! Connections with clients: how long they last, and who else may have them.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aqueduct::{edge::Outcome, settings::Time};

use super::support::{
    client::Client,
    edge::{MOMENT, TestEdge},
    wire::patiently,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn asking(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[actix_rt::test]
async fn every_head_has_a_deadline_also_the_second_on_a_connection() {
    let edge = TestEdge::with(|settings| settings.timeouts.request_head = Time::secs(1)).await;
    let (mut first, mut second) = (edge.connect().await, edge.connect().await);

    first.send("GET / HT").await;
    second.send([GET, "GET / HT"].concat()).await;
    assert_eq!(second.read_response().await.text(), "hello");

    for client in [&mut first, &mut second] {
        let response = client.read_response().await;
        assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    }
}

#[actix_rt::test]
async fn a_connection_on_which_nothing_comes_is_closed_without_a_word() {
    let edge = TestEdge::with(|settings| {
        settings.timeouts.request_head = Time::secs(1);
        settings.timeouts.keep_alive = Time::millis(100);
    })
    .await;
    let (mut silent, mut satisfied) = (edge.connect().await, edge.connect().await);

    satisfied.send(GET).await;
    satisfied.read_response().await;

    assert_eq!(silent.read_to_end().await, b"");
    assert_eq!(satisfied.read_to_end().await, b"");
}

#[actix_rt::test]
async fn an_idle_connection_is_not_bound_to_the_deadline_of_heads() {
    let limit = Duration::from_secs(1);
    let edge = TestEdge::with(|settings| settings.timeouts.request_head = Time(Some(limit))).await;
    let mut client = edge.connect().await;

    client.send(GET).await;
    client.read_response().await;
    tokio::time::sleep(limit + MOMENT).await;
    client.send(GET).await;

    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn a_client_that_does_not_read_is_cut() {
    let edge = TestEdge::with(|settings| settings.timeouts.response_write = Time::millis(100)).await;
    let mut client = edge.connect().await;

    client.send(asking("/endless")).await;

    edge.wait_for("dropped").await;
    assert!(!client.read_response().await.complete);
}

#[actix_rt::test]
async fn a_client_that_reads_slowly_is_served_to_the_end() {
    let edge = TestEdge::with(|settings| settings.timeouts.response_write = Time::secs(5)).await;
    let mut client = edge.connect().await;

    client.send(asking("/large")).await;
    client.read_head().await;
    let mut came = 0;
    while came < 8 << 20 {
        came += client.read_exact(1 << 20).await.len();
        tokio::time::sleep(MOMENT / 10).await;
    }

    client.send(GET).await;
    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn a_client_that_leaves_ends_what_is_done_for_it() {
    for (path, body) in [("/hang", ""), ("/waits", ""), ("/hang-unread", "Content-Length: 9\r\n"), ("/endless", "")] {
        for resets in [false, true] {
            let edge = TestEdge::start().await;
            let mut client = edge.connect().await;
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{body}\r\n")).await;
            if path.starts_with("/hang") {
                edge.wait_for("asked").await;
            } else {
                client.read_some().await;
            }

            if resets {
                client.reset();
            } else {
                drop(client);
            }

            edge.wait_for("dropped").await;
        }
    }
}

#[actix_rt::test]
async fn a_client_that_leaves_is_noticed_also_behind_more_than_is_kept() {
    // What lets it reset takes all the server's kernel takes; a close can be known only if it fits in there.
    for (sent, resets) in [(100_000_000, true), (120_000, false)] {
        let edge = TestEdge::start().await;
        let mut client = edge.connect().await;
        client.send("POST /hang-unread HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
        edge.wait_for("asked").await;
        assert!(client.flood(sent).await > 64 * 1024, "more than is kept while it waits");

        if resets {
            client.reset();
        } else {
            drop(client);
        }

        edge.wait_for("dropped").await;
    }
}

#[actix_rt::test]
async fn who_sends_more_than_he_asks_for_is_not_cut_while_he_reads_the_answer() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;
    // All that is read of a connection at first: what follows is in the kernel's hands when the answer is written.
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {:.<4045}\r\n\r\n", "");
    assert_eq!(head.len(), 4096);

    client.send(head + "and more").await;

    assert_eq!(client.read_response().await.text(), "hello");
    assert_eq!(client.read_to_end().await, b"");
    // The first word to who has closed tells of it, and the second fails.
    assert!(client.try_send("and more").await && client.try_send("and more").await);
}

#[actix_rt::test]
async fn nor_is_a_large_answer_that_the_kernel_still_has_most_of() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;
    let head = format!("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {:.<4040}\r\n\r\n", "");
    assert_eq!(head.len(), 4096);

    client.send(head + "and more").await;

    let answer = client.read_response().await;
    assert!(answer.complete, "{} of 8 MiB", answer.body.len());
}

#[actix_rt::test]
async fn what_a_client_leaves_unread_is_no_part_of_what_another_says() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;
    client.send([&asking("/hang"), "and more"].concat()).await;
    edge.wait_for("asked").await;

    drop(client);
    edge.wait_for("dropped").await;

    for _ in 0..10 {
        assert_eq!(edge.get("/").await.text(), "hello");
    }
}

#[actix_rt::test]
async fn a_client_that_closes_its_half_has_left() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send([&asking("/hang"), GET].concat()).await;
    edge.wait_for("asked").await;
    client.half_close().await;

    edge.wait_for("dropped").await;
    assert_eq!(client.read_to_end().await, b"");
}

#[actix_rt::test]
async fn what_a_client_sends_ahead_is_bounded_and_kept() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;
    let many = 5000;

    client.send(asking("/held")).await;
    edge.wait_for("asked").await;
    let ahead = GET.repeat(many);
    assert!(ahead.len() > 64 * 1024, "more than is kept while it waits");
    client.send(&ahead[..60_000]).await;
    edge.tell("go on");
    client.send(&ahead[60_000..]).await;

    assert_eq!(client.read_response().await.text(), "done");
    for _ in 0..many {
        assert_eq!(client.read_response().await.text(), "hello");
    }
}

#[actix_rt::test]
async fn a_handler_that_panics_takes_nobody_with_it() {
    let edge = TestEdge::start().await;
    let (mut unlucky, mut other) = (edge.connect().await, edge.connect().await);
    other.send(asking("/held")).await;
    edge.wait_for("asked").await;

    unlucky.send(asking("/panic")).await;
    assert_eq!(unlucky.read_to_end().await, b"");

    edge.tell("go on");
    assert_eq!(other.read_response().await.text(), "done");
    assert_eq!(edge.get("/").await.text(), "hello");
}

#[actix_rt::test]
async fn a_handler_that_keeps_its_request_does_not_keep_the_connection() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send("GET /held-request HTTP/1.0\r\n\r\n").await;

    assert_eq!(client.read_response().await.text(), "held");
    edge.tell("go on");
}

#[actix_rt::test]
async fn a_switched_connection_belongs_to_its_takeover_with_what_was_sent_ahead() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send("GET /switch HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly").await;
    let head = client.read_head().await;
    assert_eq!(client.read_exact(5).await, b"early");
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.read_exact(18).await, b"GET / HTTP/1.1\r\n\r\n");
    client.half_close().await;

    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: echo\r\n"), "{head}");
    assert_eq!(client.read_to_end().await, b"bye");
}

#[actix_rt::test]
async fn a_switch_waits_for_the_whole_request() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client
        .send(
            "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\nContent-Length: 4\r\n\r\n\
             bodyearly",
        )
        .await;
    client.read_head().await;

    assert_eq!(client.read_exact(5).await, b"early");
}

#[actix_rt::test]
async fn there_is_room_for_so_many_in_all_and_from_one_address() {
    for per_address in [false, true] {
        let edge = TestEdge::with(|settings| {
            let limit = if per_address { &mut settings.max_connections_per_ip } else { &mut settings.max_connections };
            *limit = 2;
        })
        .await;
        let (mut first, mut second) = (edge.connect().await, edge.connect().await);
        for client in [&mut first, &mut second] {
            client.send(GET).await;
            assert_eq!(client.read_response().await.status, 200);
        }

        let mut third = edge.connect().await;
        let response = third.read_response().await;
        assert_eq!((response.status, response.header("connection")), (503, Some("close")));
        assert_eq!(response.header("x-request-id").map(str::len), Some(36));
        assert_eq!(third.read_to_end().await, b"");
        drop(first);

        // The place is free once the server has seen the first one leave.
        let next = async || {
            let mut next = edge.connect().await;
            next.try_send(GET).await;
            next.next_response_to("GET").await.is_some_and(|response| response.status == 200)
        };
        patiently("a free place", async { while !next().await {} }).await;
    }
}

/// So many clients, each slow.
const SLOW: usize = 10_000;
/// Where the process of the slow clients finds its edge.
const EDGE_OF_SLOW: &str = "AQUEDUCT_TEST_EDGE_OF_SLOW_CLIENTS";

#[actix_rt::test]
async fn ten_thousand_slow_clients_do_not_stop_the_fast_ones() {
    raise_open_files();
    let edge = TestEdge::with(|settings| {
        settings.max_connections = 30_000;
        settings.timeouts.request_head = Time::secs(3600);
    })
    .await;
    let alone = time_of_a_hundred(&edge).await;
    let mut slow = SlowClients::of(edge.address);
    slow.wait_until("all are waiting");

    let in_the_crowd = time_of_a_hundred(&edge).await;

    // Generous, and far from what it takes where each request costs something for everybody who waits.
    assert!(in_the_crowd < alone * 10 + Duration::from_secs(1), "{in_the_crowd:?}, and {alone:?} alone");

    // They are served all the time, only slowly.
    slow.go_on();
    slow.wait_until("some were served");
}

async fn time_of_a_hundred(edge: &TestEdge) -> Duration {
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(edge.get("/").await.text(), "hello");
    }
    began.elapsed()
}

/// A process of its own: both ends of so many connections are more files than one may open.
struct SlowClients {
    process: Child,
    orders: Option<ChildStdin>,
    news: BufReader<ChildStdout>,
}

impl SlowClients {
    fn of(edge: SocketAddr) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("a test is a program"))
            .args(["--exact", "edge_connections::the_slow_clients_of_another_process", "--ignored", "--nocapture"])
            .env(EDGE_OF_SLOW, edge.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be run again");
        let orders = process.stdin.take();
        let news = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, orders, news }
    }

    /// Until they say so; their end is one, too.
    fn wait_until(&mut self, what: &str) {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert_ne!(self.news.read_line(&mut line).expect("text"), 0, "the slow clients ended before {what}");
        }
    }

    fn go_on(&mut self) {
        let orders = self.orders.as_mut().expect("it is there until the end");
        orders.write_all(b"go on\n").expect("they listen");
    }
}

impl Drop for SlowClients {
    fn drop(&mut self) {
        // They end when there is nobody to give orders.
        drop(self.orders.take());
        let ended = self.process.wait().expect("it was started");
        assert!(ended.success() || thread::panicking(), "the slow clients failed");
    }
}

#[actix_rt::test]
#[ignore = "the other side of ten_thousand_slow_clients_do_not_stop_the_fast_ones, which runs it"]
async fn the_slow_clients_of_another_process() {
    let Ok(edge) = std::env::var(EDGE_OF_SLOW) else { return };
    let edge = edge.parse().expect("an address");
    let mut orders = std::io::stdin().lines();
    raise_open_files();
    let mut waiting = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        let mut client = Client::connect(edge).await;
        client.send("GET / HTTP/1.1\r\nHost: a").await;
        waiting.push(client);
    }
    println!("all are waiting");
    orders.next();

    for client in waiting.iter_mut().step_by(SLOW / 10) {
        client.send("\r\n\r\n").await;
        assert_eq!(client.read_response().await.text(), "hello");
    }
    println!("some were served");
    orders.next();
}

/// Lets this process open as many files as it may, which must be enough for one end of all slow clients.
pub(super) fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write this one struct.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    let files = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX);
    assert!(
        files >= SLOW + 2000,
        "{files} open files are too few for {SLOW} clients: raise the hard limit (ulimit -Hn)"
    );
}

#[actix_rt::test]
async fn a_drain_finishes_what_is_under_way_and_closes_what_is_idle() {
    let edge = TestEdge::start().await;
    let (mut fresh, mut idle, mut busy) = (edge.connect().await, edge.connect().await, edge.connect().await);
    idle.send(GET).await;
    idle.read_response().await;
    busy.send(asking("/held")).await;
    edge.wait_for("asked").await;

    edge.drain();
    assert_eq!(fresh.read_to_end().await, b"");
    assert_eq!(idle.read_to_end().await, b"");
    edge.tell("go on");
    let response = busy.read_response().await;

    assert_eq!((response.text().as_str(), response.header("connection")), ("done", Some("close")));
    assert_eq!(busy.read_to_end().await, b"");
    assert_eq!(edge.outcome(), Outcome::Drained);
}

#[actix_rt::test]
async fn a_drain_takes_no_new_clients() {
    let edge = TestEdge::start().await;
    let (address, mut busy) = (edge.address, edge.connect().await);
    busy.send(asking("/hang")).await;
    edge.wait_for("asked").await;

    edge.drain();

    // Refused at once or closed unserved, until the listener is gone.
    patiently("the listener to go", async {
        while let Ok(socket) = tokio::net::TcpStream::connect(address).await {
            drop(socket);
            tokio::task::yield_now().await;
        }
    })
    .await;
    edge.stop();
    assert_eq!(edge.outcome(), Outcome::Forced);
}

#[actix_rt::test]
async fn a_drain_does_not_wait_longer_than_its_grace() {
    let edge = TestEdge::with(|settings| settings.drain.grace = Time::millis(100)).await;
    let mut busy = edge.connect().await;
    busy.send(asking("/hang")).await;
    edge.wait_for("asked").await;

    edge.drain();

    edge.wait_for("dropped").await;
    assert_eq!(busy.read_to_end().await, b"");
    assert_eq!(edge.outcome(), Outcome::GraceExpired);
}

#[actix_rt::test]
async fn a_forced_end_drops_what_is_under_way() {
    for drains_first in [false, true] {
        let edge = TestEdge::start().await;
        let mut busy = edge.connect().await;
        busy.send(asking("/hang")).await;
        edge.wait_for("asked").await;

        if drains_first {
            edge.drain();
        }
        edge.stop();

        edge.wait_for("dropped").await;
        assert_eq!(busy.read_to_end().await, b"");
        assert_eq!(edge.outcome(), Outcome::Forced);
    }
}

#[actix_rt::test]
async fn a_drain_is_told_to_those_that_were_taken_over() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;
    client.send("GET /switch HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
    client.read_head().await;

    edge.drain();

    assert_eq!(client.read_to_end().await, b"drained");
    edge.wait_for("left").await;
    assert_eq!(edge.outcome(), Outcome::Drained);
}

#[actix_rt::test]
async fn a_socket_file_goes_with_its_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("edge.sock");
    let edge = TestEdge::also_on(path.clone()).await;
    let mut idle = Client::connect_unix(&path).await;

    edge.drain();

    assert_eq!(idle.read_to_end().await, b"");
    assert_eq!(edge.outcome(), Outcome::Drained);
    assert!(!path.exists());
}
