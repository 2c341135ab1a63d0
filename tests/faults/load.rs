//! Clients that go on asking, and what they were told.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use actix_rt::task::JoinHandle;
use futures_util::future::join_all;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use super::{
    answer,
    support::{
        client::{Client, Response},
        wire::patiently,
    },
};

/// Half of them GET, half of them POST.
pub const CLIENTS: usize = 8;

/// How often each of them asks, at most.
const PACE: Duration = Duration::from_millis(3);

/// Clients at work.
pub struct Load {
    told: Rc<Told>,
    tasks: Vec<JoinHandle<()>>,
}

/// What they were told so far.
#[derive(Default)]
pub struct Told {
    requests: Cell<usize>,
    /// One more has ended.
    news: Notify,
    answers: RefCell<HashMap<String, usize>>,
    pub failures: RefCell<Vec<Failure>>,
    /// The POSTs that were answered as they must be.
    pub posted: RefCell<Vec<String>>,
    is_over: Cell<bool>,
}

/// A request without a whole answer of an endpoint that is well.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub method: &'static str,
    pub path: String,
    /// What came instead: a status and why, or that it was cut short.
    pub status: Option<u16>,
    pub why: String,
}

impl Load {
    pub fn start(proxy: SocketAddr) -> Self {
        let told = Rc::new(Told::default());
        let ask = |number| ask(proxy, if number % 2 == 0 { "GET" } else { "POST" }, Rc::clone(&told));
        let tasks = (0..CLIENTS).map(|number| actix_rt::spawn(ask(number))).collect();
        Self { told, tasks }
    }

    /// Goes on until that is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Told) -> bool) {
        patiently(what, async {
            while !is_so(&self.told) {
                self.told.news.notified().await;
            }
        })
        .await;
    }

    /// Goes on for so many requests.
    pub async fn another(&self, requests: usize) {
        let before = self.told.requests();
        self.until("requests", |told| told.requests() >= before + requests).await;
    }

    /// Goes on until each of these answers its part of the requests. In seconds in which this machine ran at all.
    pub async fn seconds_until_balanced(&self, names: [&str; 2]) -> f64 {
        const WINDOW: usize = 100;
        const TICK: Duration = Duration::from_millis(10);
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let count = || names.map(|name| self.told.answers_of(name));
        let (mut ticks, mut before) = (0, count());
        patiently("it is balanced", async {
            loop {
                clock.tick().await;
                ticks += 1;
                let now = count();
                let parts = [now[0] - before[0], now[1] - before[1]];
                let all = parts[0] + parts[1];
                if all >= WINDOW {
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

    /// Lets them finish what is under way.
    pub async fn end(self) -> Rc<Told> {
        self.told.is_over.set(true);
        for ended in join_all(self.tasks).await {
            ended.expect("no answer is another one than it must be");
        }
        self.told
    }
}

impl Told {
    /// How many have ended, however.
    pub fn requests(&self) -> usize {
        self.requests.get()
    }

    /// How many this endpoint has answered.
    pub fn answers_of(&self, name: &str) -> usize {
        self.answers.borrow().get(name).copied().unwrap_or_default()
    }

    /// What went wrong with this method.
    pub fn failed(&self, method: &str) -> Vec<Failure> {
        self.failures.borrow().iter().filter(|failure| failure.method == method).cloned().collect()
    }

    fn note(&self, method: &'static str, path: String, response: Option<&Response>) {
        self.requests.set(self.requests.get() + 1);
        self.news.notify_one();
        let fail = |status, why: &str| {
            let failure = Failure { method, path: path.clone(), status, why: why.to_owned() };
            self.failures.borrow_mut().push(failure);
        };
        let Some(response) = response else { return fail(None, "the connection was closed") };
        let name = response.header("x-endpoint");
        match (response.status, name, response.complete) {
            (_, _, false) => fail(None, "the answer was cut short"),
            (200, Some(name), true) => {
                let expected = answer::content(&path, name);
                assert_eq!(response.text(), expected, "it looks whole and is not: {}", response.head);
                *self.answers.borrow_mut().entry(name.to_owned()).or_default() += 1;
                if method == "POST" {
                    self.posted.borrow_mut().push(path);
                }
            }
            (status, _, true) => fail(Some(status), response.header("proxy-status").unwrap_or("an endpoint said so")),
        }
    }
}

/// Asks again and again, on one connection as long as it lasts.
async fn ask(proxy: SocketAddr, method: &'static str, told: Rc<Told>) {
    thread_local!(static NEXT: Cell<usize> = const { Cell::new(0) });
    let (mut kept, mut pace): (Option<Client>, _) = (None, interval(PACE));
    while !told.is_over.get() {
        // As many as it can would be a test of the machine.
        pace.tick().await;
        let path = format!("/{}", NEXT.replace(NEXT.get() + 1));
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(proxy).await,
        };
        let body = if method == "POST" { "Content-Length: 5\r\n\r\nhello" } else { "\r\n" };
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{body}")).await;
        let response = client.next_response_to(method).await;
        let stays = response.as_ref().is_some_and(|it| it.complete && it.header("connection") != Some("close"));
        told.note(method, path, response.as_ref());
        kept = stays.then_some(client);
    }
}
