//! Endpoints that fail under load, in every way there is: what clients notice of it. The real binary with two workers.
//!
//! For each of them: no GET fails where another endpoint is well. No POST comes twice, and none is lost of which nothing
//! has left. What is cut short does not look whole. After the recovery traffic is balanced again within three seconds.

use std::{rc::Rc, time::Duration};

use tokio::sync::{Semaphore, SemaphorePermit};

use self::{
    endpoint::{Endpoint, Ledger, Mood},
    load::{CLIENTS, Failure, Load, Told},
    support::binary::{Binary, write},
};

mod answer;
mod endpoint;
mod killed;
mod load;
#[path = "../journeys/support/mod.rs"]
mod support;

const NAMES: [&str; 2] = ["ill", "well"];
/// So many tests at a time: more would take the time from each other that they measure.
const AT_ONCE: usize = 2;
/// How often the endpoint falls ill.
const ROUNDS: usize = 2;

/// An upstream of two, one of which will fall ill.
struct Pair {
    ill: Endpoint,
    well: Endpoint,
    ledger: Ledger,
    proxy: Binary,
    _folder: tempfile::TempDir,
    _turn: SemaphorePermit<'static>,
}

impl Pair {
    async fn start() -> Self {
        static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
        let turn = TURNS.acquire().await.expect("it is never closed");
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::default();
        let [ill, well] = NAMES.map(|name| Endpoint::start(name, &ledger));
        // Nobody reads what it says after its start: a line for each request that fails would fill the pipe.
        let text = format!(
            "log.level = \"info,aqueduct::proxy=off\"\nlisten = [\"127.0.0.1:0\"]\nserver.workers = 2\nroutes.\"/\" = \"pair\"\n\
             defaults.timeout = {{ connect = \"500ms\", first_byte = \"500ms\" }}\n\
             [upstreams.pair]\nservers = [\"http://{}\", \"http://{}\"]\n\
             retry.on = [\"connect\", \"reset\", \"timeout\", \"502\", \"503\"]\n",
            ill.address, well.address
        );
        write(folder.path(), "a.toml", text);
        let proxy = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
        Self { ill, well, ledger, proxy, _folder: folder, _turn: turn }
    }

    /// One of them falls ill, until so many requests have met it, and recovers; some times.
    async fn through(&self, mood: Mood, met: usize) -> Rc<Told> {
        let load = Load::start(self.proxy.address);
        for _ in 0..ROUNDS {
            load.seconds_until_balanced(NAMES).await;
            self.ill.becomes(mood).await;
            load.until("it is met", |_| self.ill.met() >= met).await;
            load.another(200).await;
            self.recovers(&load).await;
        }
        self.end(load).await
    }

    async fn recovers(&self, load: &Load) {
        self.ill.becomes(Mood::Well).await;
        let seconds = load.seconds_until_balanced(NAMES).await;
        assert!(seconds < 3.0, "it was balanced again after {seconds} s");
    }

    /// What clients were told. No POST has come twice, and those that were answered have come.
    async fn end(&self, load: Load) -> Rc<Told> {
        let told = load.end().await;
        let ledger = self.ledger.lock().expect("nobody panics");
        let once = |path: &String| ledger.get(path) == Some(&1);
        assert!(told.posted.borrow().iter().all(once), "one that was answered has not come, or twice");
        for Failure { path, .. } in told.failed("POST") {
            assert!(ledger.get(&path).is_none_or(|times| *times == 1), "{path} has come twice");
        }
        told
    }
}

/// Nothing failed that can be sent again, and of the others only those on connections that the endpoint had when it fell
/// ill.
fn nothing_but_what_was_under_way(told: &Told) {
    assert_eq!(told.failed("GET"), []);
    let posts = told.failed("POST");
    assert!(posts.iter().all(has_left) && posts.len() <= ROUNDS * CLIENTS, "{posts:?}");
}

/// It was sent on a connection that had been made: who can say how far it came?
fn has_left(failure: &Failure) -> bool {
    ["connection_terminated", "http_response_timeout"].iter().any(|token| failure.why.contains(token))
}

#[actix_rt::test]
async fn refused_connections_fail_no_request() {
    let pair = Pair::start().await;

    let told = pair.through(Mood::Refuses, 0).await;

    nothing_but_what_was_under_way(&told);
}

#[actix_rt::test]
async fn connections_that_are_never_made_fail_no_request() {
    let pair = Pair::start().await;

    let told = pair.through(Mood::TakesNoConnection, 0).await;

    nothing_but_what_was_under_way(&told);
}

#[actix_rt::test]
async fn connections_that_break_before_an_answer_fail_no_get_and_send_no_post_twice() {
    let pair = Pair::start().await;

    let told = pair.through(Mood::Resets, 8).await;

    assert_eq!(told.failed("GET"), []);
}

#[actix_rt::test]
async fn connections_that_end_without_a_byte_fail_no_get_and_send_no_post_twice() {
    let pair = Pair::start().await;

    let told = pair.through(Mood::SaysNothing, 8).await;

    assert_eq!(told.failed("GET"), []);
}

#[actix_rt::test]
async fn endpoints_that_hang_fail_no_get_and_send_no_post_twice() {
    let pair = Pair::start().await;

    let told = pair.through(Mood::Hangs, 9).await;

    assert_eq!(told.failed("GET"), []);
    let posts = told.failed("POST");
    assert!(posts.iter().all(|failure| failure.status == Some(504)), "{posts:?}");
}

#[actix_rt::test]
async fn a_storm_of_503_fails_no_get_and_sends_no_post_twice() {
    let pair = Pair::start().await;

    let told = pair.through(Mood::IsOverloaded, 8).await;

    assert_eq!(told.failed("GET"), []);
    assert!(told.failed("POST").iter().all(|failure| failure.status == Some(503)));
}

#[actix_rt::test]
async fn an_answer_that_is_cut_short_does_not_look_whole() {
    let pair = Pair::start().await;

    let told = pair.through(Mood::CutsShort, 8).await;

    let failures = told.failures.borrow();
    assert!(failures.len() >= 2 * 8, "{failures:?}");
    assert!(failures.iter().all(|failure| failure.status.is_none()), "{failures:?}");
}

#[actix_rt::test]
async fn who_comes_late_and_is_slow_at_first_fails_no_request_and_gets_its_share() {
    let pair = Pair::start().await;
    let load = Load::start(pair.proxy.address);

    for _ in 0..ROUNDS {
        load.seconds_until_balanced(NAMES).await;
        pair.ill.becomes(Mood::TakesNoConnection).await;
        load.another(200).await;
        pair.ill.becomes(Mood::IsSlow(Duration::from_millis(30))).await;
        load.until("it is met", |_| pair.ill.met() >= 5).await;
        pair.recovers(&load).await;
    }

    nothing_but_what_was_under_way(&*pair.end(load).await);
}

#[actix_rt::test]
async fn endpoints_that_close_when_the_next_request_comes_fail_no_get_and_send_no_post_twice() {
    let pair = Pair::start().await;
    let load = Load::start(pair.proxy.address);

    pair.ill.becomes(Mood::Leaves).await;
    pair.well.becomes(Mood::Leaves).await;
    load.until("it is met", |_| pair.ill.met() + pair.well.met() >= 300).await;

    let told = pair.end(load).await;
    assert_eq!(told.failed("GET"), []);
    let posts = told.failed("POST");
    assert!(posts.iter().all(has_left), "{posts:?}");
}
