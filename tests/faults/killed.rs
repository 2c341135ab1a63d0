//! What clients notice of endpoints that die: real processes, killed under load. What is written says nothing of it.

use std::{
    cell::{Cell, RefCell},
    path::Path,
    rc::Rc,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use super::support::{
    binary::{Binary, write},
    client::Client,
    wire::patiently,
};

const CLIENTS: usize = 8;

/// What clients got.
#[derive(Default)]
struct Tally {
    /// Of the first endpoint, and of the other one.
    answers: [Cell<usize>; 2],
    failures: RefCell<Vec<String>>,
    /// One more has come.
    news: Notify,
    is_over: Cell<bool>,
}

impl Tally {
    fn all(&self) -> usize {
        self.answers.iter().map(Cell::get).sum()
    }

    fn of_each(&self) -> [usize; 2] {
        [self.answers[0].get(), self.answers[1].get()]
    }

    /// Until each has answered a third of a hundred. In seconds in which this machine ran at all.
    async fn seconds_until_balanced(&self) -> f64 {
        const TICK: Duration = Duration::from_millis(10);
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ticks, mut before) = (0, self.of_each());
        patiently("it is balanced", async {
            loop {
                clock.tick().await;
                ticks += 1;
                let now = self.of_each();
                let parts = [now[0] - before[0], now[1] - before[1]];
                let all: usize = parts.iter().sum();
                if all >= 100 {
                    if parts.iter().all(|part| *part * 3 > all) {
                        return;
                    }
                    before = now;
                }
            }
        })
        .await;
        f64::from(ticks) * TICK.as_secs_f64()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        patiently(what, async {
            while !is_so(self) {
                self.news.notified().await;
            }
        })
        .await;
    }
}

/// A process that answers with its name, at this port or any.
async fn endpoint(folder: &Path, name: &str, port: u16) -> Binary {
    let file = format!("{name}.toml");
    let text = format!("listen = [\"127.0.0.1:{port}\"]\nroutes.\"/\" = {{ respond = {{ body = {name:?} }} }}\n");
    write(folder, &file, text);
    Binary::run(folder, &["--settings", &file]).await
}

/// Asks again and again, on one connection as long as it lasts.
async fn ask(proxy: std::net::SocketAddr, tally: Rc<Tally>) {
    let mut client = Client::connect(proxy).await;
    while !tally.is_over.get() {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = client.read_response().await;
        match (response.status, response.text().as_str()) {
            (200, "one") => tally.answers[0].set(tally.answers[0].get() + 1),
            (200, "other") => tally.answers[1].set(tally.answers[1].get() + 1),
            _ => tally.failures.borrow_mut().push(response.head.clone()),
        }
        tally.news.notify_one();
        if response.header("connection") == Some("close") {
            client = Client::connect(proxy).await;
        }
    }
}

#[actix_rt::test]
async fn no_get_fails_while_one_of_two_endpoints_is_killed_and_it_has_its_share_within_3_s_of_its_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut one = endpoint(folder.path(), "one", 0).await;
    let other = endpoint(folder.path(), "other", 0).await;
    let (port, servers) = (one.address.port(), format!("[\"http://{}\", \"http://{}\"]", one.address, other.address));
    let common = "log.level = \"info,aqueduct::proxy=off\"\nlisten = [\"127.0.0.1:0\"]\nserver.workers = 2\nroutes.\"/\" = \"pair\"\n";
    write(folder.path(), "edge.toml", format!("{common}upstreams.pair.servers = {servers}\n"));
    let proxy = Binary::run(folder.path(), &["--settings", "edge.toml"]).await;
    let tally = Rc::new(Tally::default());
    let asking: Vec<_> = (0..CLIENTS).map(|_| actix_rt::spawn(ask(proxy.address, Rc::clone(&tally)))).collect();
    tally.seconds_until_balanced().await;

    for round in 1..=5 {
        let [first, _] = &tally.answers;
        one.signal(libc::SIGKILL);
        one.ended().await;
        let (all, ours) = (tally.all(), first.get());
        tally.until("the other one is asked", |tally| tally.all() > all + 200).await;
        assert!(first.get() <= ours + CLIENTS, "the dead do not answer");

        one = endpoint(folder.path(), "one", port).await;
        let seconds = tally.seconds_until_balanced().await;
        println!("it was balanced {seconds} s after start {round}");
        assert!(seconds < 3.0, "it was balanced {seconds} s after start {round}");
    }
    tally.is_over.set(true);
    join_all(asking).await;

    assert_eq!(*tally.failures.borrow(), Vec::<String>::new());
}
