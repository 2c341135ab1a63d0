//! Names of fields with `_`, which endpoints behind gateway interfaces read as those with `-`.

use std::fs;

use actix_web::App;
use aqueduct::{Proxy, settings::Layers};
use bytes::Bytes;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::{
    api_key,
    support::{
        client::{self, Response},
        h2::{H2, request_with, whole},
        origin::Origin,
        proxy::TestProxy,
        tls::{Authority, over, shake_hands},
    },
};

/// What settings can say of them. Without a word they are dropped.
const WAYS: [&str; 4] = ["", "drop", "refuse", "pass"];

async fn proxy(origin: &Origin, way: &str, filter: &str) -> TestProxy {
    TestProxy::with(&settings(origin, way, filter)).start().await
}

fn settings(origin: &Origin, way: &str, filter: &str) -> String {
    let server = if way.is_empty() { String::new() } else { format!("server.http.underscores = \"{way}\"\n") };
    format!("{server}[routes]\n\"/\" = {{ to = {:?}{filter} }}\n", origin.url())
}

/// The values that a gateway interface finds under this name.
fn told(request: &str, name: &str) -> Vec<String> {
    let meta = |name: &str| name.to_ascii_uppercase().replace('-', "_");
    let fields = request.lines().skip(1).take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(": "));
    fields.filter(|(found, _)| meta(found) == meta(name)).map(|(_, value)| value.to_owned()).collect()
}

async fn ask(proxy: &TestProxy, fields: &[(&str, &str)]) -> Response {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    proxy.send(format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n")).await
}

/// Spellings that a gateway interface takes for `X-Staff-Role`, of which one has no `_`.
const SPELLINGS: [&[(&str, &str)]; 8] = [
    &[("x_staff_role", "admin")],
    &[("X_STAFF_ROLE", "admin")],
    &[("x-staff_role", "admin")],
    &[("x_staff-role", "admin")],
    &[("x-staff-role", "guest"), ("x_staff_role", "admin")],
    &[("x_staff_role", "admin"), ("x-staff-role", "guest")],
    &[("x_staff_role", "admin"), ("x_staff_role", "admin"), ("x-staff-role", "guest")],
    &[("connection", "x-staff-role"), ("x-staff-role", "guest"), ("x_staff_role", "admin")],
];

#[actix_rt::test]
async fn they_are_left_out_refused_or_let_through_as_is_said() {
    let origin = Origin::echo().start().await;
    for way in WAYS {
        let proxy = proxy(&origin, way, "").await;
        let mut h2 = H2::connect(proxy.address).await;
        for fields in SPELLINGS {
            let seen = origin.requests_seen();
            let in_h2: Vec<_> = fields.iter().filter(|(name, _)| *name != "connection").copied().collect();

            let first = ask(&proxy, fields).await;
            let second = h2.ask(request_with("GET", "/", &in_h2), b"").await;

            for (status, text) in [(first.status, first.text()), (second.status, second.text())] {
                let roles = told(&text, "x-staff-role");
                match way {
                    "refuse" => assert_eq!(status, 400, "{fields:?}: {text}"),
                    "pass" => assert!(status == 200 && roles.contains(&"admin".into()), "{fields:?}: {text}"),
                    _ => assert!(status == 200 && !roles.contains(&"admin".into()), "{fields:?}: {text}"),
                }
            }
            if way == "refuse" {
                let reason = first.header("proxy-status").unwrap_or_default();
                assert!(reason.contains("http_request_error"), "{reason}");
                assert!(first.text().contains("a field name with an underscore"), "{}", first.text());
                assert_eq!(origin.requests_seen(), seen);
            }
        }
        // What has none is nobody's business.
        let plain = ask(&proxy, &[("x-staff-role", "a_b"), ("cookie", "a_b=c_d")]).await;
        assert_eq!((plain.status, told(&plain.text(), "x-staff-role")), (200, vec!["a_b".into()]), "{way}");
        assert_eq!(told(&plain.text(), "cookie"), ["a_b=c_d"], "{way}");
    }
}

#[actix_rt::test]
async fn trailers_are_treated_as_fields_are() {
    for way in WAYS {
        let origin = Origin::script(|mut conn, number| async move {
            conn.read_head().await;
            let mut came = Vec::new();
            while !came.ends_with(b"\r\n\r\n") {
                let more = conn.read_some().await;
                if more.is_empty() {
                    return;
                }
                came.extend(more);
            }
            conn.tell(&format!("trailers {number}: {}", String::from_utf8_lossy(&came).replace("\r\n", "|")));
            conn.write("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        })
        .start()
        .await;
        let proxy = proxy(&origin, way, "").await;

        let first = proxy
            .send(
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nhi\r\n0\r\nx-sum: 1\r\nx_sum: 2\r\n\r\n",
            )
            .await;
        let mut h2 = H2::connect(proxy.address).await;
        let (answer, mut stream) = h2.begin(request_with("POST", "/", &[]), false).await;
        stream.send_data(Bytes::from_static(b"hi"), false).expect("it takes content");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        trailers.insert("x_sum", http::HeaderValue::from_static("2"));
        stream.send_trailers(trailers).expect("it takes trailers");
        let second = whole(answer).await;

        if way == "refuse" {
            assert_eq!((first.status, second.status), (400, 400));
            continue;
        }
        assert_eq!((first.status, second.status), (204, 204), "{way}");
        for number in 0..2 {
            let said = origin.said(&format!("trailers {number}:")).expect("it was asked");
            assert!(said.contains("|x-sum: 1|"), "{way}: {said}");
            assert_eq!(said.contains("|x_sum: 2|"), way == "pass", "{said}");
        }
    }
}

#[actix_rt::test]
async fn a_rule_that_was_not_broken_by_one_spelling_is_not_broken_by_another() {
    let origin = Origin::echo().start().await;
    for (rules, allowed) in [
        ("deny = [\"header('x-staff-role') == 'admin'\"]", true),
        ("allow = [\"not header('x-staff-role') == 'admin'\", \"not has(header('x-staff-role'))\"]", true),
        ("allow = [\"header('x-staff-role') == 'admin'\"]", false),
    ] {
        let proxy = proxy(&origin, "", &format!(", request_rules = {{ {rules} }}")).await;
        for fields in SPELLINGS {
            let answer = ask(&proxy, fields).await;

            assert_eq!(answer.status, if allowed { 200 } else { 403 }, "{rules} {fields:?}");
            let roles = told(&answer.text(), "x-staff-role");
            assert!(!roles.contains(&"admin".into()), "{rules} {fields:?}: {roles:?}");
        }
    }
}

#[actix_rt::test]
async fn nobody_says_of_himself_what_a_proof_would_whatever_is_let_through() {
    let authority = Authority::new();
    authority.introduce("alice", "alice");
    authority.issue("shop", &["shop.example"]);
    let (keys, users) = (authority.path("keys"), authority.path("users"));
    fs::write(&keys, api_key::KEYS).expect("a file");
    fs::write(&users, "alice:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n").expect("a file");
    let secret = "a secret that is as long as what it makes";
    let claims = json!({ "sub": "alice", "exp": 4_000_000_000_u64 });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token");
    let origin = Origin::echo().start().await;

    for way in ["drop", "pass"] {
        for (filter, proof, name) in [
            (format!("basic_auth = {{ users = {users:?}"), "Authorization: Basic YWxpY2U6aHVudGVyMg==\r\n", "alice"),
            (format!("api_key = {{ keys = {keys:?}"), "X-Api-Key: secret-of-shop\r\n", "shop"),
            (format!("jwt = {{ secret = {secret:?}"), &*format!("Authorization: Bearer {token}\r\n"), "alice"),
            ("client_cert = { subjects = [\"CN=alice\"]".into(), "", "CN=alice"),
        ] {
            let text = format!(
                "server.http.underscores = {way:?}\n{}tls.main.client = {{ ca = {:?}, mode = \"optional\" }}\n\
                 [routes]\n\"/\" = {{ to = {:?}, {filter}, forward = {{ x-user-id = \"sub\" }} }} }}\n",
                authority.listener(&["shop"]),
                authority.path("ca.pem"),
                origin.url(),
            );
            let proxy = TestProxy::with(&text).start().await;
            for forged in ["x_user_id", "X_User_Id", "x-user_id", "x_user-id", "X-USER-ID"] {
                let stream = shake_hands(proxy.address, "shop.example", authority.client_as("alice")).await;
                let mut client = over(stream.expect("a connection"));
                let twice = format!("{forged}: root\r\n").repeat(2);
                client.send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{twice}{proof}\r\n")).await;
                let answer = client.read_response().await;

                assert_eq!(answer.status, 200, "{way} {filter} {forged}");
                assert_eq!(told(&answer.text(), "x-user-id"), [name], "{way} {filter} {forged}");
            }
        }
    }
}

#[actix_rt::test]
async fn what_a_rule_of_ours_sets_goes_on() {
    let origin = Origin::echo().start().await;
    for way in WAYS {
        let proxy = proxy(&origin, way, ", header_rules = { request.set = { x_tier = \"gold\" } }").await;

        let answer = ask(&proxy, &[("x-tier", "lead")]).await;

        assert_eq!(told(&answer.text(), "x-tier"), ["gold"], "{way}");
    }
}

#[actix_rt::test]
async fn it_is_so_under_a_plain_server_too() {
    let origin = Origin::echo().start().await;
    for way in WAYS {
        let loaded = Layers::new().text("test.toml", settings(&origin, way, "")).load().expect("good settings");
        let proxy = Proxy::from_settings(loaded.settings).expect("good settings");
        let server = actix_test::start(move || App::new().default_service(proxy.clone()));

        let answer = client::request(
            server.addr(),
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Role: guest\r\nX_Role: admin\r\n\r\n",
        )
        .await;

        assert_eq!(answer.status, if way == "refuse" { 400 } else { 200 }, "{way}");
        assert_eq!(told(&answer.text(), "x-role").contains(&"admin".into()), way == "pass", "{way}");
    }
}

#[actix_rt::test]
async fn those_of_an_endpoint_go_on() {
    let bytes = "HTTP/1.1 200 OK\r\nX_Own: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX_Sum: 2\r\n\r\n";
    let origin = Origin::replying(bytes).start().await;
    let proxy = proxy(&origin, "refuse", "").await;

    let answer = ask(&proxy, &[("te", "trailers"), ("connection", "te")]).await;

    assert_eq!((answer.status, answer.header("x_own")), (200, Some("1")));
}
