//! Several ways to prove who one is, and certificates of clients as one of them.

use std::fs;

use rustls::ClientConfig;

use super::{
    api_key,
    support::{
        client::Response,
        origin::Origin,
        proxy::TestProxy,
        tls::{Authority, over, shake_hands},
    },
};

/// `alice:hunter2` and `shop`.
const ALICE: &str = "Authorization: Basic YWxpY2U6aHVudGVyMg==\r\n";
const MALLORY: &str = "Authorization: Basic bWFsbG9yeTpodW50ZXIy\r\n";
const SHOP: &str = "X-Api-Key: secret-of-shop\r\n";

struct House {
    authority: Authority,
    origin: Origin,
    proxy: TestProxy,
}

impl House {
    /// Behind a listener that asks for certificates and lets in who has none.
    async fn with(filters: &str) -> Self {
        let authority = Authority::new();
        for name in ["alice", "bob"] {
            authority.introduce(name, name);
        }
        authority.issue("shop", &["shop.example"]);
        let (keys, users) = (authority.path("keys"), authority.path("users"));
        fs::write(&keys, api_key::KEYS).expect("a file");
        fs::write(&users, "alice:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n").expect("a file");
        let filters = filters.replace("KEYS", &format!("{keys:?}")).replace("USERS", &format!("{users:?}"));
        let origin = Origin::echo().start().await;
        let text = format!(
            "{}tls.main.client = {{ ca = {:?}, mode = \"optional\" }}\n[routes]\n\"/\" = {{ to = {:?}, {filters} }}\n",
            authority.listener(&["shop"]),
            authority.path("ca.pem"),
            origin.url(),
        );
        let proxy = TestProxy::with(&text).start().await;
        Self { authority, origin, proxy }
    }

    async fn ask(&self, config: &ClientConfig, fields: &str) -> Response {
        let stream = shake_hands(self.proxy.address, "shop.example", config.clone()).await.expect("a connection");
        let mut client = over(stream);
        client.send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n")).await;
        client.read_response().await
    }

    async fn come(&self, fields: &str) -> Response {
        self.ask(&self.authority.client(), fields).await
    }

    async fn come_as(&self, name: &str, fields: &str) -> Response {
        self.ask(&self.authority.client_as(name), fields).await
    }
}

#[actix_rt::test]
async fn only_whose_certificate_is_meant_is_let_in() {
    let house = House::with("client_cert = { subjects = [\"CN=alice\"], forward = { x-user = \"sub\" } }").await;
    let forged = "x-user: CN=root\r\nX_User: CN=root\r\nx-client-cert: CN=alice\r\n";

    let alice = house.come_as("alice", forged).await;
    let bob = house.come_as("bob", forged).await;
    let nobody = house.come(forged).await;

    assert_eq!((alice.status, bob.status, nobody.status), (200, 403, 403));
    assert!(alice.text().contains("x-user: CN=alice\n") && !alice.text().contains("root"), "{}", alice.text());
    assert_eq!(nobody.header("www-authenticate"), None, "no field could help");
    assert_eq!(house.origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn of_several_ways_one_will_do_and_none_is_made_good_by_another() {
    let house = House::with(
        "auth = { any = [{ api_key = { keys = KEYS, forward = { x-user = \"sub\" } } }, { client_cert = { subjects = [\"CN=alice\"] } }, \
         { basic_auth = { users = USERS } }] }",
    )
    .await;

    let by_key = house.come(SHOP).await;
    assert_eq!(by_key.status, 200);
    assert!(by_key.text().contains("x-user: shop\n"), "{}", by_key.text());
    let by_certificate = house.come_as("alice", "x-user: root\r\n").await;
    assert_eq!(by_certificate.status, 200);
    assert!(!by_certificate.text().contains("root"), "what only another proof may say is taken out, too");
    assert_eq!(house.come(ALICE).await.status, 200);
    assert_eq!(house.come_as("bob", SHOP).await.status, 200, "a certificate comes with every request");

    let nobody = house.come("").await;
    assert_eq!(nobody.status, 401);
    let challenges = ["ApiKey realm=\"restricted\"", "Basic realm=\"restricted\", charset=\"UTF-8\""];
    assert_eq!(nobody.headers("www-authenticate"), challenges);
    assert_eq!(house.come_as("bob", "").await.status, 403, "it is known who asks");
    let bad_key = house.come_as("alice", "X-Api-Key: guessed\r\n").await;
    assert_eq!(bad_key.status, 401, "what is there and bad stays bad");
    assert_eq!(house.come(MALLORY).await.status, 401);
    assert_eq!(house.origin.requests_seen(), 4);
}

#[actix_rt::test]
async fn where_all_are_needed_each_must_be_there() {
    let house = House::with(
        "auth = { all = [{ client_cert = {} }, { api_key = { keys = KEYS } }, { basic_auth = { users = USERS } }], \
         require = \"client_cert.subject == 'CN=alice' and claim('sub') == 'CN=alice'\" }",
    )
    .await;
    let both = format!("{SHOP}{ALICE}");

    assert_eq!(house.come_as("alice", &both).await.status, 200);
    for (what, answer, status) in [
        ("no certificate", house.come(&both).await, 401),
        ("no key", house.come_as("alice", ALICE).await, 401),
        ("no password", house.come_as("alice", SHOP).await, 401),
        ("a wrong password", house.come_as("alice", &format!("{SHOP}{MALLORY}")).await, 401),
        ("somebody else", house.come_as("bob", &both).await, 403),
    ] {
        assert_eq!(answer.status, status, "{what}");
    }
    assert_eq!(house.origin.requests_seen(), 1);
}
