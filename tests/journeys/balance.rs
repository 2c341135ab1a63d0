//! Four workers behind one address, and endpoints that are shared out among all requests, not among each worker's.

use std::{array, time::Duration};

use futures_util::future::join_all;

use super::support::{
    binary::{Binary, write},
    client::Client,
    origin::{Origin, Script},
    wire::patiently,
};

const WORKERS: usize = 4;
const ENDPOINTS: usize = 4;
/// Connections of clients: enough that every worker has some of them.
const CLIENTS: usize = 16;
/// So many requests show what part of them an endpoint gets: one by one, or all at once.
const FEW: usize = 80;
const MANY: usize = 400;
/// How long an answer takes: longer than what a busy machine adds to it by chance.
const WORK: Duration = Duration::from_millis(10);
/// The same where one answer that took twice as long by chance would look like another one under way.
const MUCH_WORK: Duration = Duration::from_millis(15);

/// The real binary in front of these, with clients connected to all of its workers.
struct Group {
    origins: Vec<Origin>,
    clients: Vec<Client>,
    _proxy: Binary,
    _folder: tempfile::TempDir,
}

impl Group {
    async fn of(origins: Vec<Origin>, balance: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let servers: Vec<String> = origins.iter().map(|origin| format!("{:?}", origin.url())).collect();
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\nserver.workers = {WORKERS}\nroutes.\"/\" = \"group\"\n\
             [upstreams.group]\nservers = [{}]\nbalance = \"{balance}\"\n",
            servers.join(", ")
        );
        write(folder.path(), "a.toml", text);
        let proxy = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(proxy.connect().await);
        }
        Self { origins, clients, _proxy: proxy, _folder: folder }
    }

    async fn answering(balance: &str) -> Self {
        let origins: [_; ENDPOINTS] = array::from_fn(|_| taking(WORK).start());
        Self::of(join_all(origins).await, balance).await
    }

    fn seen(&self) -> Vec<usize> {
        self.origins.iter().map(Origin::requests_seen).collect()
    }

    /// One request after the other, from one client after the other.
    async fn ask_in_turn(&mut self, requests: usize) -> Vec<usize> {
        let (before, clients) = (self.seen(), self.clients.len());
        for number in 0..requests {
            ask(&mut self.clients[number % clients], 1).await;
        }
        self.since(&before)
    }

    /// All clients at once.
    async fn ask_at_once(&mut self, requests: usize) -> Vec<usize> {
        let before = self.seen();
        join_all(self.clients.iter_mut().map(|client| ask(client, requests / CLIENTS))).await;
        self.since(&before)
    }

    fn since(&self, before: &[usize]) -> Vec<usize> {
        self.seen().iter().zip(before).map(|(now, before)| now - before).collect()
    }

    /// Each of several workers has connections of its own to an endpoint.
    fn assert_several_workers_took_part(&self) {
        let most = self.origins.iter().map(Origin::connections_seen).max();
        assert!(most.is_some_and(|most| most >= WORKERS - 1), "{most:?} connections to one endpoint");
    }
}

async fn ask(client: &mut Client, requests: usize) {
    for _ in 0..requests {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 200);
    }
}

#[actix_rt::test]
async fn turns_are_taken_by_all_workers_together() {
    let mut group = Group::answering("round_robin").await;

    // If each worker had turns of its own, each would begin with the same endpoint.
    assert_eq!(group.ask_in_turn(ENDPOINTS).await, [1; ENDPOINTS]);
    assert_eq!(group.ask_in_turn(FEW).await, [FEW / ENDPOINTS; ENDPOINTS]);
    assert_eq!(group.ask_at_once(MANY).await, [MANY / ENDPOINTS; ENDPOINTS]);

    group.assert_several_workers_took_part();
}

#[actix_rt::test]
async fn every_endpoint_gets_its_part_whether_requests_come_one_by_one_or_together() {
    for balance in ["p2c", "least_requests", "random"] {
        let mut group = Group::answering(balance).await;
        // Chance, and an answer that took long for once, may do one of them wrong for a while, but not for long.
        let fair = |shares: &[usize], of| shares.iter().all(|share| (of / 8..of * 3 / 8).contains(share));

        patiently(&format!("fair shares by {balance}, one by one"), async {
            while !fair(&group.ask_in_turn(FEW).await, FEW) {}
        })
        .await;
        patiently(&format!("fair shares by {balance}, all at once"), async {
            while !fair(&group.ask_at_once(MANY).await, MANY) {}
        })
        .await;

        group.assert_several_workers_took_part();
    }
}

#[actix_rt::test]
async fn what_one_worker_has_under_way_is_seen_by_the_others() {
    for balance in ["p2c", "least_requests"] {
        let pair = vec![taking(MUCH_WORK).start().await, taking(MUCH_WORK).start().await];
        let mut group = Group::of(pair, balance).await;
        let mut waiting = group.clients.pop().expect("a client");
        // Whoever answers first is known to all.
        group.ask_in_turn(CLIENTS - 1).await;
        waiting.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let busy = patiently("it is held", async {
            tokio::select! {
                () = group.origins[0].wait_for("held") => 0,
                () = group.origins[1].wait_for("held") => 1,
            }
        })
        .await;

        // Not for as long as it takes to forget how long the busy one took.
        patiently(&format!("all others go elsewhere by {balance}"), async {
            while group.ask_in_turn(2 * (CLIENTS - 1)).await[busy] > 0 {}
        })
        .await;

        group.origins[busy].tell("go on");
        assert_eq!(waiting.read_response().await.status, 200);
        group.assert_several_workers_took_part();
    }
}

/// Answers after this time, but `/hold`, which waits for a word.
fn taking(time: Duration) -> Script {
    Origin::script(move |mut conn, _| async move {
        while let Some((head, _)) = conn.any_request().await {
            if head.starts_with("GET /hold ") {
                conn.tell("held");
                conn.wait_for("go on").await;
            }
            tokio::time::sleep(time).await;
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
}
