//! Pages of other origins.

use super::support::{client::Response, origin::Origin, proxy::TestProxy};

async fn shop(origin: &Origin, cors: &str) -> TestProxy {
    TestProxy::with(&format!("[routes]\n\"/\" = {{ to = {:?}, cors = {{ {cors} }} }}\n", origin.url())).start().await
}

const CORS: &str = "origins = [\"https://shop.example\", \"https://*.shop.example\"], methods = [\"PUT\"], \
                    headers = [\"content-type\", \"x-tag\"], credentials = true, max_age = \"1h\"";

async fn ask(proxy: &TestProxy, method: &str, fields: &[&str]) -> Response {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    proxy.send(format!("{method} /x HTTP/1.1\r\nHost: api.example\r\n{fields}Connection: close\r\n\r\n")).await
}

#[actix_rt::test]
async fn a_browser_that_asks_first_is_answered_here() {
    let origin = Origin::answering("a").start().await;
    let proxy = shop(&origin, CORS).await;
    let fields = [
        "Origin: https://a.shop.example",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: x-tag,content-type",
    ];

    let answer = ask(&proxy, "OPTIONS", &fields).await;

    assert_eq!((answer.status, origin.requests_seen()), (204, 0));
    for (name, value) in [
        ("access-control-allow-origin", "https://a.shop.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "content-type, x-tag"),
        ("access-control-max-age", "3600"),
        ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ] {
        assert_eq!(answer.headers(name), [value], "{name}");
    }
}

#[actix_rt::test]
async fn who_may_not_is_told_nothing_that_a_browser_could_take_for_leave() {
    let origin = Origin::answering("a").start().await;
    let proxy = shop(&origin, CORS).await;
    let (from_shop, put) = ("Origin: https://shop.example", "Access-Control-Request-Method: PUT");
    for fields in [
        &["Origin: https://evil.example", put][..],
        &["Origin: https://shop.example.evil.example", put],
        &["Origin: https://shop.example.", put],
        &["Origin: https://shop.example/", put],
        &["Origin: https://shop.example, https://evil.example", put],
        &["Origin: http://shop.example", put],
        &["Origin: https://shop.example:444", put],
        &["Origin: https://evil.example/.shop.example", put],
        &["Origin: null", put],
        &["Origin: ", put],
        &[from_shop, "Origin: https://evil.example", put],
        &[from_shop, "Access-Control-Request-Method: DELETE"],
        &[from_shop, "Access-Control-Request-Method: put"],
        &[from_shop, "Access-Control-Request-Method: *"],
        &[from_shop, put, "Access-Control-Request-Method: DELETE"],
        &[from_shop, put, "Access-Control-Request-Headers: x-other"],
        &[from_shop, put, "Access-Control-Request-Headers: x_tag"],
        &[from_shop, put, "Access-Control-Request-Headers: x-tag", "Access-Control-Request-Headers: authorization"],
    ] {
        let answer = ask(&proxy, "OPTIONS", fields).await;

        assert_eq!(answer.status, 403, "{fields:?}");
        assert!(!answer.head.to_lowercase().contains("access-control-allow"), "{fields:?}: {}", answer.head);
        assert!(answer.headers("vary").iter().any(|vary| vary.contains("Origin")), "{fields:?}");
    }
    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn the_answer_to_a_page_is_for_its_origin_and_caches_know() {
    let origin = Origin::replying(
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\nContent-Length: 1\r\n\r\na",
    );
    let origin = origin.start().await;
    let proxy = shop(&origin, CORS).await;
    for (fields, allowed) in [
        (&["Origin: https://shop.example"][..], &["https://shop.example"][..]),
        (&["Origin: https://evil.example"], &[]),
        (&[], &[]),
    ] {
        for method in ["GET", "DELETE", "OPTIONS"] {
            let answer = ask(&proxy, method, fields).await;

            assert_eq!(answer.status, 200);
            assert_eq!(answer.headers("access-control-allow-origin"), allowed, "{method} {fields:?}");
            assert_eq!(answer.headers("vary"), ["Accept", "Origin"]);
        }
    }
}

#[actix_rt::test]
async fn what_is_for_all_is_without_credentials_and_the_same_for_all() {
    let origin =
        Origin::replying("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Credentials: true\r\nContent-Length: 1\r\n\r\na");
    let origin = origin.start().await;
    let proxy = shop(&origin, "origins = \"*\", headers = \"*\", private_network = true").await;

    let plain = ask(&proxy, "GET", &["Origin: null"]).await;
    let asked = ask(
        &proxy,
        "OPTIONS",
        &[
            "Origin: https://any.example",
            "Access-Control-Request-Method: GET",
            "Access-Control-Request-Headers: authorization, x-any",
            "Access-Control-Request-Private-Network: true",
        ],
    )
    .await;

    for answer in [&plain, &asked] {
        assert_eq!(answer.headers("access-control-allow-origin"), ["*"]);
        assert_eq!(answer.headers("access-control-allow-credentials"), [""; 0]);
    }
    assert_eq!(plain.header("vary"), None);
    assert_eq!(asked.header("access-control-allow-private-network"), Some("true"));
}

#[actix_rt::test]
async fn errors_can_be_read_by_the_page_that_asked() {
    let text = format!(
        "[routes]\n\"/\" = {{ to = \"http://{}\", cors = {{ origins = [\"https://shop.example\"] }} }}\n",
        super::support::client::refusing()
    );
    let proxy = TestProxy::with(&text).start().await;

    let answer = ask(&proxy, "GET", &["Origin: https://shop.example"]).await;

    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (502, Some("https://shop.example")));
}
