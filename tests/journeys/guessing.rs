//! Who guesses passwords.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;

use super::support::{client::Response, origin::Origin, proxy::TestProxy};

/// hunter2, twice.
const USERS: &str = "alice:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n\
    bob:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";
const BEHIND_A_PROXY: &str = "trusted_proxies = [\"127.0.0.1\"]\n";
const FEW: &str = ", failures = \"3/1h\"";

struct House {
    _folder: TempDir,
    origin: Origin,
    proxy: TestProxy,
}

impl House {
    async fn with(first: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let users = folder.path().join("users");
        fs::write(&users, USERS).expect("a file");
        let origin = Origin::answering("hello").start().await;
        let route = format!("\"/\" = {{ to = {:?}, basic_auth = {{ users = {users:?}{more} }} }}", origin.url());
        let proxy = TestProxy::with(&format!("{first}[routes]\n{route}\n")).start().await;
        Self { _folder: folder, origin, proxy }
    }

    async fn ask(&self, credentials: &str, fields: &str) -> Response {
        let credentials = STANDARD.encode(credentials);
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n{fields}");
        self.proxy.send(format!("{head}Connection: close\r\n\r\n")).await
    }

    async fn come(&self, credentials: &str) -> u16 {
        self.ask(credentials, "").await.status
    }

    async fn come_from(&self, address: &str, credentials: &str) -> u16 {
        self.ask(credentials, &format!("X-Forwarded-For: {address}\r\n")).await.status
    }

    /// So many guesses, all of them wrong.
    async fn guess(&self, count: usize) {
        for number in 0..count {
            assert_eq!(self.come(&format!("alice:guess {number}")).await, 401, "guess {number}");
        }
    }

    fn count(&self, event: &str) -> u64 {
        let events = self.proxy.proxy.plan().ledger.events();
        events.iter().find(|((_, name), _)| *name == event).map_or(0, |(_, count)| *count)
    }
}

#[actix_rt::test]
async fn who_was_wrong_too_often_has_to_wait_and_what_it_tries_is_not_hashed() {
    let house = House::with("", FEW).await;
    house.guess(3).await;

    let wrong = house.ask("alice:guess", "").await;
    let right = house.ask("alice:hunter2", "").await;
    let unknown = house.ask("mallory:guess", "").await;

    for answer in [&wrong, &right, &unknown] {
        assert_eq!(answer.status, 429);
        let wait: u64 = answer.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=1200).contains(&wait), "{wait}");
        assert_eq!(
            answer.header("proxy-status"),
            Some("aqueduct; error=http_request_denied; details=\"basic_auth: too many wrong passwords\""),
            "nobody learns whether it was right"
        );
    }
    assert_eq!((house.count("wrong"), house.count("verified"), house.count("held_off")), (3, 0, 3));
    assert_eq!(house.origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn who_was_right_before_stays_in() {
    let house = House::with("", FEW).await;
    assert_eq!(house.come("alice:hunter2").await, 200);
    house.guess(3).await;

    assert_eq!(house.come("alice:hunter2").await, 200);
    assert_eq!(house.come("bob:hunter2").await, 429);
}

#[actix_rt::test]
async fn passwords_that_are_right_count_for_nothing() {
    let house = House::with("", ", failures = \"1/1h\"").await;

    for credentials in ["alice:hunter2", "bob:hunter2"] {
        assert_eq!(house.come(credentials).await, 200, "{credentials}");
    }
    assert_eq!((house.come("alice:guess").await, house.come("alice:guess").await), (401, 429));
}

#[actix_rt::test]
async fn nobody_else_has_to_wait() {
    let house = House::with(BEHIND_A_PROXY, FEW).await;
    for address in ["192.0.2.1", "2001:db8::1"] {
        for number in 0..3 {
            assert_eq!(house.come_from(address, "alice:guess").await, 401, "{address} {number}");
        }
    }

    for (address, expected) in [
        ("192.0.2.1", 429),
        ("::ffff:192.0.2.1", 429),
        ("192.0.2.7, 192.0.2.1", 429),
        ("2001:db8::1", 429),
        ("2001:DB8:0:0:ffff::1", 429),
        ("192.0.2.2", 401),
        ("2001:db8:0:1::1", 401),
    ] {
        assert_eq!(house.come_from(address, "alice:guess").await, expected, "{address}");
    }
    assert_eq!(house.come_from("192.0.2.3", "alice:hunter2").await, 200);
}

#[actix_rt::test]
async fn nobody_is_somebody_else_by_saying_so() {
    let house = House::with("", FEW).await;
    house.guess(3).await;

    for forged in [
        "X-Forwarded-For: 192.0.2.2\r\n",
        "x_forwarded_for: 192.0.2.2\r\n",
        "Forwarded: for=192.0.2.2\r\n",
        "X-Real-IP: 192.0.2.2\r\n",
        "X-Forwarded-For: 192.0.2.2\r\nX-Forwarded-For: 192.0.2.3\r\n",
        "Via: 1.1 192.0.2.2\r\n",
    ] {
        assert_eq!(house.ask("alice:hunter2", forged).await.status, 429, "{forged}");
    }
}

#[actix_rt::test]
async fn what_was_counted_goes_on_over_a_reload() {
    let house = House::with("", FEW).await;
    house.guess(3).await;

    let plan = house.proxy.proxy.plan();
    house.proxy.proxy.reload(plan.settings.clone()).expect("good settings");

    assert_eq!(house.come("alice:hunter2").await, 429);
}

#[actix_rt::test]
async fn it_is_so_where_settings_do_not_say_and_can_be_turned_off() {
    let house = House::with("", "").await;
    house.guess(10).await;
    // One more is let in every six seconds.
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(house.come("alice:guess").await);
    }
    assert!(answers.contains(&429), "{answers:?}");

    let house = House::with("", ", failures = false").await;
    house.guess(20).await;
}
