//! Who has a key.

use std::fs;

use tempfile::TempDir;

use super::support::{client::Response, origin::Origin, proxy::TestProxy};

/// `secret-of-shop` and `secret-of-bill`, hashed by sha256sum.
pub const KEYS: &str = "[shop]\nsha256 = \"12f27fa94cbef259460ca7b4abf73b50ab8ade216ef714aeec3f7957ac270e63\"\nroles = [\"reader\", \"writer\"]\n\
    [bill]\nsha256 = \"AC17E96F07F9111B50154D3B7AB3C06DF5E2DB161782CC7A394771277E75EFDE\"\n";

struct House {
    _folder: TempDir,
    origin: Origin,
    proxy: TestProxy,
}

impl House {
    async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys");
        fs::write(&file, KEYS).expect("a file");
        let origin = Origin::echo().start().await;
        let text = format!("[routes]\n\"/\" = {{ to = {:?}, api_key = {{ keys = {file:?}{more} }} }}\n", origin.url());
        let proxy = TestProxy::with(&text).with_underscores().start().await;
        Self { _folder: folder, origin, proxy }
    }

    async fn ask(&self, target: &str, fields: &str) -> Response {
        self.proxy.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")).await
    }
}

#[actix_rt::test]
async fn who_has_a_key_is_let_in_and_the_endpoint_is_told_who_it_is() {
    let house = House::with(", forward = { x-user = \"sub\", x-roles = \"roles\" }").await;

    let answer = house.ask("/", "X-API-Key: secret-of-shop\r\nx-user: root\r\nX_Roles: root\r\n").await;

    let seen = answer.text();
    assert_eq!(answer.status, 200);
    assert!(seen.contains("x-user: shop\n") && seen.contains("x-roles: reader,writer\n"), "{seen}");
    assert!(!seen.contains("secret") && !seen.contains("root"), "{seen}");
}

#[actix_rt::test]
async fn who_has_none_is_asked_for_it_and_who_may_not_is_told_so() {
    let house = House::with(", require = \"any(claim('roles')) == 'writer'\"").await;

    let nobody = house.ask("/", "").await;
    let wrong = house.ask("/", "X-Api-Key: guessed\r\n").await;
    let other = house.ask("/", "X-Api-Key: secret-of-bill\r\n").await;

    for answer in [&nobody, &wrong] {
        let challenge = answer.header("www-authenticate");
        assert_eq!((answer.status, challenge), (401, Some("ApiKey realm=\"restricted\"")));
    }
    assert_eq!((other.status, other.header("www-authenticate")), (403, None));
    assert_eq!(house.origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn a_key_may_stand_in_the_query_or_a_cookie_and_does_not_go_on() {
    let house = House::with(", query = \"key\", cookie = \"key\"").await;

    let by_query = house.ask("/a?x=1&key=secret-of-shop&y=2", "").await.text();
    let encoded = house.ask("/a?%6bey=secret%2Dof-shop", "").await.text();
    let by_cookie = house.ask("/a?x", "Cookie: a=1; key=secret-of-shop\r\n").await.text();

    assert!(by_query.starts_with("GET /a?x=1&y=2 HTTP/1.1\n"), "{by_query}");
    assert!(encoded.starts_with("GET /a HTTP/1.1\n"), "{encoded}");
    assert!(by_cookie.starts_with("GET /a?x HTTP/1.1\n") && by_cookie.contains("cookie: a=1\n"), "{by_cookie}");
    for seen in [by_query, encoded, by_cookie] {
        assert!(!seen.contains("secret"), "{seen}");
    }
}

#[actix_rt::test]
async fn a_key_may_be_a_token() {
    let house = House::with(", header = \"Authorization\", pass_on = true").await;

    let answer = house.ask("/", "Authorization: bearer secret-of-shop\r\n").await;

    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("authorization: bearer secret-of-shop"), "{}", answer.text());
    assert_eq!(house.ask("/", "").await.header("www-authenticate"), Some("Bearer realm=\"restricted\""));
    assert_eq!(house.ask("/", "Authorization: secret-of-shop\r\n").await.status, 401);
}

#[actix_rt::test]
async fn no_other_way_to_write_it_gets_in() {
    let house = House::with(", header = \"x-api-key\", query = \"key\"").await;
    let hash = KEYS.split('"').nth(1).expect("a hash");

    for (target, fields, status) in [
        ("/", "x_api_key: secret-of-shop\r\n".to_owned(), 401),
        ("/", "x-api-key: Secret-of-shop\r\n".into(), 401),
        ("/", "x-api-key:\r\n".into(), 401),
        ("/", "x-api-key: secret-of-shop, secret-of-shop\r\n".into(), 401),
        ("/", "x-api-key: secret-of-shop\r\nConnection: x-api-key\r\n".into(), 401),
        ("/", format!("x-api-key: {hash}\r\n"), 401),
        ("/", "x-api-key: shop\r\n".into(), 401),
        ("/?Key=secret-of-shop", String::new(), 401),
        ("/?key[]=secret-of-shop", String::new(), 401),
        ("/?x=1;key=secret-of-shop", String::new(), 401),
        ("/?key", String::new(), 401),
        ("/?key=secret-of-shop%00", String::new(), 401),
        ("/", format!("x-api-key: {}\r\n", "x".repeat(2000)), 401),
        ("/", "x-api-key: secret-of-shop\r\nx-api-key: secret-of-shop\r\n".into(), 400),
        ("/", "x-api-key: secret-of-shop\r\nX-API-KEY: guessed\r\n".into(), 400),
        ("/?key=secret-of-shop&key=guessed", String::new(), 400),
        ("/?key=guessed&%6Bey=secret-of-shop", String::new(), 400),
        ("/?key=secret-of-shop", "x-api-key: secret-of-shop\r\n".into(), 400),
    ] {
        let answer = house.ask(target, &fields).await;
        assert_eq!(answer.status, status, "{target} {}", &fields[..fields.len().min(80)]);
    }
    assert_eq!(house.origin.requests_seen(), 0);
}
