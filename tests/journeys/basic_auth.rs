//! Who knows a name and its password.

use std::{fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;

use super::support::{client::Response, origin::Origin, proxy::TestProxy};

/// hunter2, hashed by libxcrypt in four ways.
const USERS: &str = "# staff\n\n\
    alice:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n\
    bob:$5$rounds=1400$anotherlongsalts$tewLpOIAC9B.dXOAYZ/6Zf4FpC.lx5ftUWAWNo.47w6\n\
    carol:$6$saltstring$q2.778Y7vt0Ij2OIl01VlxEE6SEh8ZCtgFbyJX8fYkl5S7gx32QO24FVg.rs4DkoAs9t6R19x4z8g69teXFxA0\n";

struct House {
    folder: TempDir,
    origin: Origin,
    proxy: TestProxy,
}

impl House {
    async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("users"), USERS).expect("a file");
        let origin = Origin::echo().start().await;
        let text = format!(
            "[routes]\n\"/\" = {{ to = {:?}, basic_auth = {{ users = {:?}, realm = \"internal\"{more} }} }}\n",
            origin.url(),
            folder.path().join("users"),
        );
        let proxy = TestProxy::with(&text).with_underscores().start().await;
        Self { folder, origin, proxy }
    }

    fn users(&self) -> PathBuf {
        self.folder.path().join("users")
    }

    async fn ask(&self, fields: &str) -> Response {
        self.proxy.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")).await
    }

    async fn come(&self, credentials: &str) -> u16 {
        self.ask(&line(credentials)).await.status
    }

    fn count(&self, event: &str) -> u64 {
        let events = self.proxy.proxy.plan().ledger.events();
        events.iter().find(|((_, name), _)| *name == event).map_or(0, |(_, count)| *count)
    }
}

fn line(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials))
}

#[actix_rt::test]
async fn who_knows_the_password_is_let_in_and_the_endpoint_does_not_see_it() {
    let house = House::with("").await;

    for name in ["alice", "bob", "carol"] {
        let answer = house.ask(&line(&format!("{name}:hunter2"))).await;

        assert_eq!(answer.status, 200, "{name}");
        assert!(!answer.text().to_lowercase().contains("authorization"), "{}", answer.text());
    }
}

#[actix_rt::test]
async fn who_does_not_is_asked_for_it() {
    let house = House::with("").await;

    let nobody = house.ask("").await;
    let wrong = house.ask(&line("alice:hunter3")).await;
    let unknown = house.ask(&line("mallory:hunter2")).await;

    for answer in [&nobody, &wrong, &unknown] {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"internal\", charset=\"UTF-8\""));
    }
    assert_eq!(wrong.header("proxy-status"), unknown.header("proxy-status"), "nobody learns whether a name is known");
    assert_eq!(house.count("wrong"), 2, "and an unknown one costs as much");
    assert_eq!(house.origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn a_password_that_was_right_is_hashed_once() {
    let house = House::with("").await;

    for _ in 0..3 {
        assert_eq!(house.come("alice:hunter2").await, 200);
        assert_eq!(house.come("alice:hunter3").await, 401);
    }

    assert_eq!((house.count("verified"), house.count("wrong")), (1, 3));
}

#[actix_rt::test]
async fn a_changed_file_is_read_again_and_a_wrong_one_is_not() {
    let house = House::with("").await;
    assert_eq!(house.come("alice:hunter2").await, 200);
    let plan = house.proxy.proxy.plan();
    let settings = &plan.settings;

    fs::write(house.users(), "bob:$apr1$abcdefgh$vhxKZ/s1ygZHyCEDPyqtQ/\n").expect("a file");
    assert!(house.proxy.proxy.reload(settings.clone()).is_err());
    assert_eq!(house.come("alice:hunter2").await, 200, "what was read stays");

    let users: Vec<_> = USERS.lines().filter(|line| !line.starts_with("alice")).collect();
    fs::write(house.users(), users.join("\n")).expect("a file");
    house.proxy.proxy.reload(settings.clone()).expect("good settings");
    assert_eq!(house.come("alice:hunter2").await, 401, "what was remembered is forgotten");
    assert_eq!(house.come("bob:hunter2").await, 200);
}

#[actix_rt::test]
async fn what_is_passed_on_is_what_settings_say() {
    let house = House::with(", pass_on = true, forward = { x-user = \"sub\" }").await;
    let forged = "X-User: root\r\nx_user: root\r\nX-USER: root\r\n";

    let seen = house.ask(&(line("alice:hunter2") + forged)).await.text();

    assert!(seen.contains("authorization: Basic"), "{seen}");
    assert!(seen.contains("x-user: alice"), "{seen}");
    assert!(!seen.contains("root"), "{seen}");
}

#[actix_rt::test]
async fn no_other_way_to_write_it_gets_in() {
    let house = House::with("").await;
    let right = STANDARD.encode("alice:hunter2");
    let cases = [
        ("Authorization: Basic\r\n".to_owned(), 401),
        ("Authorization: Basic !!!!\r\n".to_owned(), 401),
        (format!("Authorization: Basic {right}, Basic {right}\r\n"), 401),
        (format!("Authorization: Basic {right} {right}\r\n"), 401),
        (format!("Authorization: Bearer {right}\r\n"), 401),
        (format!("Authorization: {right}\r\n"), 401),
        (format!("Proxy-Authorization: Basic {right}\r\n"), 401),
        (format!("X-Authorization: Basic {right}\r\n"), 401),
        (format!("Authorization: Basic {right}\r\nConnection: authorization\r\n"), 401),
        (format!("Authorization: Basic {right}\r\nAuthorization: Basic {right}\r\n"), 400),
        (format!("Authorization: Basic {right}\r\nAuthorization: Bearer x\r\n"), 400),
        (line("Alice:hunter2"), 401),
        (line("alice :hunter2"), 401),
        (line("alice:hunter2\n"), 401),
        (line("alice:hunter2\0x"), 401),
        (line("alice:"), 401),
        (line(":hunter2"), 401),
        (line("alice"), 401),
        (line("# staff:hunter2"), 401),
        (line(&format!("alice:{}", "x".repeat(100_000))), 431),
        (line(&format!("alice:{}", "x".repeat(5_000))), 401),
    ];

    for (fields, status) in cases {
        let answer = house.ask(&fields).await;
        assert_eq!(answer.status, status, "{}", &fields[..fields.len().min(100)]);
    }
    assert_eq!(house.origin.requests_seen(), 0);
}
