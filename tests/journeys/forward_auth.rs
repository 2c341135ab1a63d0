//! Somebody else is asked whether a request may pass.

use std::fs;

use super::{
    api_key,
    support::{
        client::Response,
        origin::{Origin, Script},
        proxy::TestProxy,
    },
};

const ALICE: &str = "Authorization: Bearer alice\r\n";
const BOB: &str = "Authorization: Bearer bob\r\n";

/// A proxy that asks, and what is behind it.
struct House {
    auth: Origin,
    origin: Origin,
    proxy: TestProxy,
}

impl House {
    async fn asking(auth: Script, more: &str) -> Self {
        let auth = auth.start().await;
        let filter = format!("forward_auth = {{ url = \"{}/verify?a=b\"{more} }}", auth.url());
        Self::with(auth, &filter).await
    }

    async fn with(auth: Origin, filter: &str) -> Self {
        let origin = Origin::echo().start().await;
        let proxy = TestProxy::with(&format!("[routes]\n\"/\" = {{ to = {:?}, {filter} }}\n", origin.url()));
        Self { auth, origin, proxy: proxy.with_underscores().start().await }
    }

    async fn ask(&self, fields: &str) -> Response {
        self.get("/", fields).await
    }

    async fn get(&self, target: &str, fields: &str) -> Response {
        self.proxy.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")).await
    }

    fn count(&self, event: &str) -> u64 {
        let events = self.proxy.proxy.plan().ledger.events();
        events.iter().find(|((_, name), _)| *name == event).map_or(0, |(_, count)| *count)
    }
}

/// Knows Alice and Bob, forbids Mallory, and sends everybody else to a page.
fn auth() -> Script {
    Origin::serving(|head, _| {
        let head = head.to_ascii_lowercase();
        let answer = if head.contains("bearer alice\r\n") {
            "200 OK\r\nX-User: alice\r\nX-Groups: staff\r\nX-Groups: admin\r\nX-Other: no\r\nContent-Length: 2\r\n\r\nok"
        } else if head.contains("bearer bob\r\n") {
            "204 No Content\r\nX-User: bob\r\n\r\n"
        } else if head.contains("bearer mallory\r\n") {
            "403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nnot you"
        } else if head.contains("bearer") {
            "401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"theirs\"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n0\r\n\r\n"
        } else {
            "302 Found\r\nLocation: https://id.example/login\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\n\r\nthere"
        };
        format!("HTTP/1.1 {answer}").into_bytes()
    })
}

#[actix_rt::test]
async fn whom_the_service_knows_is_let_in_and_the_endpoint_is_told_only_what_it_says() {
    let house = House::asking(auth(), ", copy = [\"X-User\", \"x-groups\"]").await;
    let forged = "X-User: root\r\nx_user: root\r\nX-User: root\r\nX-Groups: root\r\nX_GROUPS: root\r\n";

    let alice = house.ask(&format!("{ALICE}{forged}")).await;
    let bob = house.ask(&format!("{BOB}{forged}")).await;

    assert_eq!((alice.status, bob.status), (200, 200));
    let (alice, bob) = (alice.text(), bob.text());
    assert!(alice.contains("x-user: alice\n") && alice.contains("x-groups: staff\nx-groups: admin\n"), "{alice}");
    assert!(alice.contains("authorization: Bearer alice\n") && !alice.contains("x-other"), "{alice}");
    assert!(bob.contains("x-user: bob\n") && !bob.to_lowercase().contains("groups"), "{bob}");
    assert!(!alice.contains("root") && !bob.contains("root"), "{alice} {bob}");
    assert!(!house.auth.request(0).contains("root"), "{}", house.auth.request(0));
}

#[actix_rt::test]
async fn who_is_turned_away_gets_the_answer_of_the_service() {
    let house = House::asking(auth(), ", copy = [\"x-user\"], cache = \"1m\"").await;

    let forbidden = house.ask("Authorization: Bearer mallory\r\n").await;
    let unknown = house.ask("Authorization: Bearer carol\r\n").await;
    let nobody = house.ask("").await;
    let again = house.ask("").await;

    assert_eq!((forbidden.status, &*forbidden.text()), (403, "not you"));
    assert_eq!(forbidden.header("content-type"), Some("text/plain"));
    assert_eq!((unknown.status, &*unknown.text()), (401, "who"));
    assert_eq!(unknown.header("www-authenticate"), Some("Bearer realm=\"theirs\""));
    assert_eq!((nobody.status, &*nobody.text()), (302, "there"));
    assert_eq!(nobody.header("location"), Some("https://id.example/login"));
    assert!(nobody.head.contains("a=1\r\n") && nobody.head.contains("b=2\r\n"), "{}", nobody.head);
    assert_eq!(again.status, 302, "no answer but a good one is kept");
    assert_eq!((house.auth.requests_seen(), house.origin.requests_seen()), (4, 0));
    assert_eq!(house.count("turned_away"), 4);
}

#[actix_rt::test]
async fn nobody_is_let_in_while_nobody_can_say_whether_he_may() {
    let long = format!("HTTP/1.1 200 OK\r\nX-User: a\r\nContent-Length: 70000\r\n\r\n{}", "a".repeat(70_000));
    let silent = || Origin::script(|mut conn, _| async move { conn.wait_closed().await });
    let half = || {
        Origin::script(|mut conn, _| async move {
            conn.read_head().await;
            conn.write("HTTP/1.1 200 OK\r\nX-User: a\r\nContent-Length: 5\r\n\r\nab").await;
            conn.wait_closed().await;
        })
    };
    let cases = [
        ("an error", Origin::replying("HTTP/1.1 500 Oops\r\nX-User: a\r\nContent-Length: 0\r\n\r\n")),
        ("too much", Origin::replying(long)),
        ("another protocol", Origin::replying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")),
        ("no HTTP", Origin::replying("200 OK\r\n\r\n")),
        ("a status that is none", Origin::replying("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n")),
        ("the end", Origin::script(|mut conn, _| async move { drop(conn.read_head().await) })),
        ("nothing", silent()),
        ("half of it", half()),
    ];

    for (case, script) in cases {
        let house = House::asking(script, ", copy = [\"x-user\"], timeout = \"200ms\", cache = \"1m\"").await;
        let answers = [house.ask(ALICE).await, house.ask(ALICE).await];

        assert_eq!(answers.map(|answer| answer.status), [503, 503], "{case}");
        assert_eq!((house.origin.requests_seen(), house.count("failed")), (0, 2), "{case}");
    }
}

#[actix_rt::test]
async fn nobody_is_let_in_while_the_service_is_down() {
    let auth = auth().start().await;
    let down = "forward_auth = { url = \"http://127.0.0.1:9/\" }";
    let house = House::with(auth, down).await;

    let answer = house.ask(ALICE).await;

    assert_eq!((answer.status, house.origin.requests_seen()), (503, 0));
    assert!(answer.header("proxy-status").is_some_and(|status| status.contains("forward_auth")), "{}", answer.head);
    assert!(!answer.text().contains("127.0.0.1:9"), "{}", answer.text());
}

#[actix_rt::test]
async fn the_service_is_told_by_us_what_is_asked_for() {
    let house = House::asking(auth(), ", send = [\"x-device\"]").await;
    let forged = "X-Forwarded-For: 198.51.100.9\r\nX_Forwarded_For: 198.51.100.9\r\nX-Forwarded-Method: FORGED\r\n\
                  X-Forwarded-Uri: /forged\r\nX_Forwarded_Uri: /forged\r\nX-Forwarded-Host: forged\r\n\
                  X-Forwarded-Proto: forged\r\nForwarded: for=198.51.100.9\r\nX-Secret: forged\r\n";
    let told = "Cookie: a=1\r\nCookie: b=2\r\nX-Device: 7\r\nContent-Length: 4\r\n\r\nbody";

    let request = format!("POST /a/../b/%63?d=/public HTTP/1.1\r\nHost: Shop.example:81\r\n{ALICE}{forged}{told}");
    let answer = house.proxy.send(request).await;

    assert_eq!(answer.status, 200);
    let (asked, sent) = (house.auth.request(0), house.origin.request(0));
    let target = sent.split(' ').nth(1).expect("a target");
    let lines = [
        "x-forwarded-method: POST".to_owned(),
        format!("x-forwarded-uri: {target}"),
        "x-forwarded-host: shop.example:81".into(),
        "x-forwarded-proto: http".into(),
        "x-forwarded-for: 127.0.0.1".into(),
        format!("host: {}", house.auth.address()),
        "authorization: Bearer alice".into(),
        "cookie: a=1".into(),
        "cookie: b=2".into(),
        "x-device: 7".into(),
    ];
    assert!(asked.starts_with("GET /verify?a=b HTTP/1.1\r\n"), "{asked}");
    for line in lines {
        assert!(asked.to_lowercase().contains(&format!("\r\n{}\r\n", line.to_lowercase())), "{line} in {asked}");
    }
    assert!(target.starts_with("/b/"), "{target}");
    assert!(!asked.to_lowercase().contains("forged") && !asked.contains("198.51.100.9"), "{asked}");
    assert!(asked.ends_with("\r\n\r\n") && sent.ends_with("body"), "{asked} {sent}");
}

#[actix_rt::test]
async fn who_was_let_in_is_asked_about_once_and_nobody_goes_in_by_the_proof_of_another() {
    let house = House::asking(auth(), ", copy = [\"x-user\"], cache = \"1m\"").await;

    for _ in 0..3 {
        let answer = house.ask(&format!("{ALICE}X-User: root\r\n")).await;
        assert!(answer.text().contains("x-user: alice\n") && !answer.text().contains("root"), "{}", answer.text());
    }
    assert_eq!((house.auth.requests_seen(), house.count("remembered")), (1, 2));

    for (fields, status) in [
        ("", 302),
        ("Authorization: Bearer Alice2\r\n", 401),
        ("Cookie: alice\r\n", 302),
        ("Authorization: Bearer mallory\r\n", 403),
        ("Proxy-Authorization: Bearer alice\r\n", 302),
    ] {
        let before = house.auth.requests_seen();
        assert_eq!(house.ask(fields).await.status, status, "{fields}");
        assert_eq!(house.auth.requests_seen(), before + 1, "{fields}");
    }
    let before = house.auth.requests_seen();
    assert!(house.ask(BOB).await.text().contains("x-user: bob\n"));
    for (target, fields) in [("/other", ALICE), ("/?a", ALICE), ("/", "Authorization: Bearer alice\r\nCookie: a=1\r\n")]
    {
        assert_eq!(house.get(target, fields).await.status, 200, "{target} {fields}");
    }
    assert_eq!(house.auth.requests_seen(), before + 4, "each of them is another question");
}

#[actix_rt::test]
async fn without_a_time_to_keep_them_each_request_is_asked_about() {
    let house = House::asking(auth(), "").await;

    for _ in 0..3 {
        assert_eq!(house.ask(ALICE).await.status, 200);
    }

    assert_eq!((house.auth.requests_seen(), house.count("asked")), (3, 3));
    assert_eq!(house.auth.connections_seen(), 1, "its connection is kept");
}

#[actix_rt::test]
async fn two_credentials_are_refused_and_nobody_is_asked() {
    let house = House::asking(auth(), "").await;

    let answer = house.ask(&format!("{ALICE}Authorization: Bearer mallory\r\n")).await;

    assert_eq!((answer.status, house.auth.requests_seen(), house.origin.requests_seen()), (400, 0, 0));
}

#[actix_rt::test]
async fn what_the_service_says_of_a_client_can_be_required() {
    let house = House::asking(auth(), ", copy = [\"x-user\"], require = \"claim('x-user') == 'alice'\"").await;

    assert_eq!(house.ask(ALICE).await.status, 200);
    assert_eq!(house.ask(BOB).await.status, 403);
    assert_eq!(house.ask(&format!("{BOB}X-User: alice\r\n")).await.status, 403);
}

#[actix_rt::test]
async fn the_service_is_asked_last_where_another_proof_will_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    fs::write(&keys, api_key::KEYS).expect("a file");
    let auth = auth().start().await;
    let ways = format!(
        "auth = {{ any = [{{ api_key = {{ keys = {keys:?} }} }}, {{ forward_auth = {{ url = {:?}, copy = [\"x-user\"] }} }}] }}",
        auth.url()
    );
    let house = House::with(auth, &ways).await;

    let by_key = house.ask("X-Api-Key: secret-of-shop\r\nX-User: root\r\n").await;
    let bad_key = house.ask(&format!("X-Api-Key: guessed\r\n{ALICE}")).await;
    assert_eq!((by_key.status, bad_key.status, house.auth.requests_seen()), (200, 401, 0));
    assert!(!by_key.text().contains("root"), "{}", by_key.text());

    assert!(house.ask(ALICE).await.text().contains("x-user: alice\n"));
    assert_eq!(house.ask("").await.status, 302);
}
