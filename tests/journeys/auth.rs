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
        let proxy = TestProxy::with(&text).with_underscores().start().await;
        Self { authority, origin, proxy }
    }

    async fn ask(&self, config: &ClientConfig, fields: &str) -> Response {
        self.ask_for("/", config, fields).await
    }

    async fn ask_for(&self, target: &str, config: &ClientConfig, fields: &str) -> Response {
        let stream = shake_hands(self.proxy.address, "shop.example", config.clone()).await.expect("a connection");
        let mut client = over(stream);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n")).await;
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

/// What a client says of itself that no proof has said: each is as if it was not there, or a bad proof.
const FORGED: &[&str] = &[
    "",
    "X_Api_Key: secret-of-shop\r\n",
    "X-Api_Key: secret-of-shop\r\n",
    "X-Api-Key: SECRET-OF-SHOP\r\n",
    "X-Api-Key: secret%2Dof-shop\r\n",
    "X-Api-Key: secret-of-shop,guessed\r\n",
    "X-Api-Key: guessed\r\nX-Api-Key: secret-of-shop\r\n",
    "X-Api-Key: secret-of-shop\r\nConnection: x-api-key\r\n",
    "X-Api-Key : secret-of-shop\r\n",
    "X-Other: a\r\n X-Api-Key: secret-of-shop\r\n",
    "Cookie: x-api-key=secret-of-shop\r\n",
    "Api-Key: secret-of-shop\r\n",
    "Authorization: Bearer secret-of-shop\r\n",
    "Authorization: Basic YWxpY2U6aHVudGVyMg\r\nAuthorization: Basic YWxpY2U6aHVudGVyMg==\r\n",
    "Authorization: Basic YWxpY2U6aHVudGVyMg==, Basic YWxpY2U6aHVudGVyMg==\r\n",
    "Authorization: Basic\u{a0}YWxpY2U6aHVudGVyMg==\r\n",
    "Authorization: YWxpY2U6aHVudGVyMg==\r\n",
    "Authorization: Basic QWxpY2U6aHVudGVyMg==\r\n",
    "Authentication: Basic YWxpY2U6aHVudGVyMg==\r\n",
    "Proxy-Authorization: Basic YWxpY2U6aHVudGVyMg==\r\n",
    "Client-Cert: :MIIB:\r\n",
    "Client-Cert: CN=alice\r\nClient_Cert: CN=alice\r\n",
    "X-Client-Cert: CN=alice\r\n",
    "X-SSL-Client-S-DN: CN=alice\r\nX-SSL-Client-Verify: SUCCESS\r\n",
    "X-Forwarded-Client-Cert: Hash=1;Subject=\"CN=alice\"\r\n",
    "X-Forwarded-User: alice\r\nX-User: alice\r\nRemote-User: alice\r\n",
];

/// Other spellings of what is asked for.
const SPELLINGS: &[&str] = &[
    "//",
    "/.",
    "/%2e",
    "/%2E%2E/",
    "/x/../",
    "/;a=b",
    "/.;/",
    "/%00",
    "/?x-api-key=secret-of-shop",
    "/?X-Api-Key=secret-of-shop",
    "https://shop.example/",
    "https://SHOP.example.:443/",
    "http://a.example/",
];

#[actix_rt::test]
async fn nothing_that_a_client_says_in_another_way_is_a_proof() {
    const ONE: &str = "{ api_key = { keys = KEYS } }, { basic_auth = { users = USERS } }, { client_cert = { subjects = [\"CN=alice\"] } }";
    for filter in [
        &format!("auth = {{ any = [{ONE}] }}"),
        &format!("auth = {{ all = [{ONE}] }}"),
        "client_cert = { subjects = [\"CN=alice\"] }",
    ] {
        let house = House::with(filter).await;

        for fields in FORGED {
            for (who, answer) in [("nobody", house.come(fields).await), ("bob", house.come_as("bob", fields).await)] {
                assert!([400, 401, 403].contains(&answer.status), "{filter}, {who}: {fields}: {answer:?}");
            }
        }
        for target in SPELLINGS {
            let answer = house.ask_for(target, &house.authority.client(), "").await;
            assert!([400, 401, 403, 404, 421].contains(&answer.status), "{filter}, {target}: {answer:?}");
        }
        assert_eq!(house.origin.requests_seen(), 0, "{filter}");
        let alice = house.come_as("alice", &format!("{SHOP}{ALICE}")).await;
        assert_eq!(alice.status, 200, "{filter}: there is a way in");
    }
}

#[actix_rt::test]
async fn a_certificate_of_almost_that_name_is_somebody_elses() {
    let house = House::with("client_cert = { subjects = [\"CN=alice\"] }").await;
    let almost = [
        "Alice",
        "alice ",
        " alice",
        "alice,CN=alice",
        "alice\\",
        "alice+CN=alice",
        "CN=alice",
        "\u{430}lice",
        "alice.",
    ];
    for (number, name) in almost.iter().enumerate() {
        let file = format!("almost{number}");
        house.authority.introduce(&file, name);
        assert_eq!(house.come_as(&file, "").await.status, 403, "{name:?}");
    }
    assert_eq!(house.come_as("alice", "").await.status, 200);

    let house = House::with("client_cert = { names = [\"DNS:*.ops.example\"] }").await;
    for (file, name, status) in [
        ("one", "ops.example", 403),
        ("two", "a.b.ops.example", 403),
        ("three", "a.ops.example.evil.example", 403),
        ("four", "xops.example", 403),
        ("five", "a.ops.example", 200),
    ] {
        house.authority.issue(file, &[name]);
        assert_eq!(house.come_as(file, "").await.status, status, "{name}");
    }
    assert_eq!(house.origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn what_is_behind_a_proof_has_no_other_spelling() {
    let strict = Origin::replying("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").start().await;
    let keys = "api_key = { keys = \"settings/recipes/shop.keys\" }";
    for filters in [
        keys.to_owned(),
        "basic_auth = { users = \"settings/recipes/users.htpasswd\" }".into(),
        "jwt = { secret = \"0123456789abcdef0123456789abcdef\" }".into(),
        format!("forward_auth = {{ url = {:?} }}", strict.url()),
        format!("auth = {{ any = [{{ {keys} }}, {{ jwt = {{ secret = \"0123456789abcdef0123456789abcdef\" }} }}] }}"),
        format!("{keys}, authorize = {{ allow = [\"has(claim('sub'))\"] }}"),
    ] {
        has_no_other_spelling(&filters).await;
    }
}

async fn has_no_other_spelling(filters: &str) {
    let origin = Origin::echo().start().await;
    let text = format!("[routes]\n\"/\" = {:?}\n\"/admin\" = {{ to = {:?}, {filters} }}\n", origin.url(), origin.url());
    let proxy = TestProxy::with(&text).start().await;
    let mut let_in = Vec::new();
    for target in [
        "/admin",
        "/admin/",
        "/admin?x",
        "/admin/x",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/%61dmin",
        "/%2e/admin",
        "/x/%2e%2e/admin",
        "/admin/.",
        "/admin//",
        "/x//../admin",
        "/admin/..%2fadmin",
        "/..%2fadmin",
        "/x/..%5cadmin",
        "/x/..\\admin",
        "http://a/admin",
        "http://a//admin",
        "/admin#x",
        "/%2fadmin",
        "/.%00/admin",
        "/admin%00",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = proxy.send(request).await;
        if ![400, 401, 403].contains(&answer.status) {
            let_in.push((target, answer.text()));
        }
    }
    assert_eq!(let_in, [], "{filters}");
    assert_eq!(origin.requests_seen(), 0, "{filters}");
    assert_eq!(proxy.get("/administration").await.status, 200, "the tests can fail");
}
