//! What clients notice of endpoints that die: real processes, killed under load.

use std::{
    cell::{Cell, RefCell},
    path::Path,
    rc::Rc,
};

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::support::{
    binary::{Binary, write},
    client::Client,
    proxy::TestProxy,
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
async fn no_get_fails_while_one_of_two_endpoints_is_killed_and_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut one = endpoint(folder.path(), "one", 0).await;
    let other = endpoint(folder.path(), "other", 0).await;
    let (port, servers) =
        (one.address.port(), format!("servers = [\"http://{}\", \"http://{}\"]", one.address, other.address));
    let outlier = "outlier = { eject = \"50ms\", max_eject = \"200ms\" }";
    let text = format!("routes.\"/\" = \"pair\"\n[upstreams.pair]\n{servers}\n{outlier}\n");
    let proxy = TestProxy::with(&text).start().await;
    let tally = Rc::new(Tally::default());
    let asking: Vec<_> = (0..CLIENTS).map(|_| actix_rt::spawn(ask(proxy.address, Rc::clone(&tally)))).collect();

    for _ in 0..5 {
        let [first, _] = &tally.answers;
        let before = first.get();
        tally.until("both are asked", |_| first.get() > before + 50).await;

        one.signal(libc::SIGKILL);
        one.ended().await;
        let (all, ours) = (tally.all(), first.get());
        tally.until("the other one is asked", |tally| tally.all() > all + 200).await;
        assert!(first.get() <= ours + CLIENTS, "the dead do not answer");

        one = endpoint(folder.path(), "one", port).await;
    }
    patiently("it is balanced again", async {
        loop {
            let before: Vec<_> = tally.answers.iter().map(Cell::get).collect();
            tally.until("a while has passed", |tally| tally.all() > before.iter().sum::<usize>() + 200).await;
            if tally.answers.iter().zip(before).all(|(now, before)| now.get() - before > 50) {
                break;
            }
        }
    })
    .await;
    tally.is_over.set(true);
    join_all(asking).await;

    assert_eq!(*tally.failures.borrow(), Vec::<String>::new());
}
