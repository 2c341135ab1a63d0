//! So often and no more, whoever tries how.

use aqueduct::settings::{Layers, Settings};

use super::support::{
    client::{self, Response},
    origin::Origin,
    proxy::TestProxy,
};

/// One route to this origin, with these filters.
fn route(origin: &Origin, filters: &str) -> String {
    format!("[routes.\"/\"]\nto = \"{}\"\n{filters}\n", origin.url())
}

fn settings(text: &str) -> Settings {
    let loaded = Layers::new().text("test.toml", text).load();
    loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings
}

#[actix_rt::test]
async fn a_client_is_told_what_it_may_and_is_refused_what_it_may_not() {
    let origin = Origin::answering("hello").start().await;
    let limit = "rate_limit = { rate = \"60/1h\", burst = 2, name = \"hourly\" }";
    let proxy = TestProxy::with(&route(&origin, limit)).start().await;
    let first = proxy.get("/").await;
    proxy.get("/").await;

    let refused =
        proxy.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nConnection: close\r\n\r\n").await;

    assert_eq!((first.status, first.text().as_str()), (200, "hello"));
    assert_eq!(first.header("ratelimit-policy"), Some("\"hourly\";q=60;w=3600"));
    assert_eq!(first.header("ratelimit"), Some("\"hourly\";r=1;t=60"));
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(refused.header("ratelimit"), Some("\"hourly\";r=0;t=60"));
    assert_eq!(
        refused.header("proxy-status"),
        Some("aqueduct; error=http_request_denied; details=\"rate_limit: too many requests\"")
    );
    let problem: serde_json::Value = serde_json::from_str(&refused.text()).expect("a problem");
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"], serde_json::json!(["hourly"]));
    assert_eq!(origin.requests_seen(), 2);
    assert!(proxy.proxy.plan().ledger.events().contains(&(("rate_limit", "refused"), 1)));
}

#[actix_rt::test]
async fn no_other_spelling_is_another_client() {
    let origin = Origin::answering("hello").start().await;
    let get =
        |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n");
    let hosts = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    for (key, first, second) in [
        (
            "\"ip\"",
            get("/", ""),
            get("/", "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.2\r\nX-Real-IP: 10.0.0.3\r\n"),
        ),
        ("\"host\"", hosts("a.test"), hosts("A.TEST")),
        ("\"host\"", hosts("a.test"), hosts("a.test.")),
        ("\"host\"", hosts("a.test"), hosts("a.test:80")),
        (
            "\"host\"",
            hosts("a.test"),
            "GET http://A.Test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".into(),
        ),
        ("\"path\"", get("/a~b!", ""), get("/a%7Eb%21", "")),
        ("\"path\"", get("/a~b", ""), get("/x/../a~b?x=1", "")),
        ("\"path\"", get("/a/b", ""), get("/a/./b#x", "")),
        ("\"route\"", get("/", ""), get("/other", "")),
        ("\"header:x-key\"", get("/", "X-Key: a\r\n"), get("/", "x-KEY:  a \r\n")),
        // What is written twice, or as another field, is as if it were not there.
        ("\"header:x-key\"", get("/", ""), get("/", "X-Key: a\r\nX-Key: b\r\n")),
        ("\"header:x-key\"", get("/", "X-Key: a\r\nX-Key: b\r\n"), get("/", "X-Key: a\r\nX-Key: c\r\n")),
        ("\"header:x-key\"", get("/", ""), get("/", "X_Key: a\r\n")),
        ("\"cookie:s\"", get("/", "Cookie: s=1\r\n"), get("/", "Cookie: t=2;  s=1\r\n")),
        ("\"cookie:s\"", get("/", ""), get("/", "Cookie: s=1\r\nCookie: s=2\r\n")),
        ("[\"ip\", \"header:x-key\"]", get("/", ""), get("/", "x-other: 1\r\n")),
    ] {
        let limit = format!("rate_limit = {{ rate = \"1/1h\", key = {key} }}");
        let proxy = TestProxy::with(&route(&origin, &limit)).start().await;

        assert_eq!(proxy.send(&first).await.status, 200, "{key} {first}");
        let status = proxy.send(&second).await.status;
        // What can be read two ways is refused before anybody counts it.
        assert!([400, 429].contains(&status), "{key} {second}: {status}");
    }
}

#[actix_rt::test]
async fn behind_a_trusted_proxy_each_client_is_one_however_its_address_is_written() {
    let origin = Origin::answering("hello").start().await;
    let text = format!(
        "trusted_proxies = [\"127.0.0.1\"]\n{}",
        route(&origin, "rate_limit = { rate = \"1/1h\", key = \"ip\" }")
    );
    let proxy = TestProxy::with(&text).start().await;
    let from = async |address: &str| -> Response {
        let field = format!("X-Forwarded-For: {address}\r\n");
        proxy.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}Connection: close\r\n\r\n")).await
    };

    for (address, expected) in [
        ("192.0.2.1", 200),
        ("::ffff:192.0.2.1", 429),
        ("::ffff:c000:201", 429),
        ("192.0.2.2", 200),
        ("2001:db8::1", 200),
        ("2001:db8::ffff:0:1", 429),
        ("2001:DB8:0:0::7", 429),
        ("2001:db8:0:1::1", 200),
        ("192.0.2.9, 192.0.2.2", 429),
    ] {
        assert_eq!(from(address).await.status, expected, "{address}");
    }
}

#[actix_rt::test]
async fn a_limit_of_a_policy_is_one_for_all_routes_and_goes_on_over_a_reload() {
    let origin = Origin::answering("hello").start().await;
    let url = origin.url();
    let text = |rate: &str, burst: u32| {
        format!(
            "[policies.few]\nrate_limit = {{ rate = \"{rate}\", burst = {burst} }}\n[routes]\n\
             \"/a\" = {{ to = \"{url}\", use = \"few\" }}\n\"/b\" = {{ to = \"{url}\", use = \"few\" }}\n"
        )
    };
    let proxy = TestProxy::with(&text("1/1h", 2)).start().await;
    let get = async |path: &str| client::get(proxy.address, path).await.status;
    assert_eq!((get("/a").await, get("/b").await, get("/a").await), (200, 200, 429));

    proxy.proxy.reload(settings(&text("1/1h", 2))).expect("good settings");
    assert_eq!(get("/b").await, 429, "the same limit");

    proxy.proxy.reload(settings(&text("1/1h", 3))).expect("good settings");
    assert_eq!((get("/a").await, get("/a").await), (200, 429), "one more, and what was used before still counts");
}

#[actix_rt::test]
async fn all_workers_count_together() {
    let origin = Origin::answering("hello").start().await;
    let text = format!("[server]\nworkers = 3\n{}", route(&origin, "rate_limit = { rate = \"1/1h\", burst = 20 }"));
    let proxy = TestProxy::with(&text).start().await;

    let answers = futures_util::future::join_all((0..60).map(|_| proxy.get("/"))).await;

    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 20);
}

#[actix_rt::test]
async fn of_ipv6_as_many_bits_are_one_client_as_settings_say() {
    let origin = Origin::answering("hello").start().await;
    for (prefix, addresses) in [
        (48, &[("2001:db8:1::1", 200), ("2001:db8:1:ffff::1", 429), ("2001:db8:2::1", 200)][..]),
        (56, &[("2001:db8:1:100::1", 200), ("2001:db8:1:1ff::2", 429), ("2001:db8:1:200::1", 200)]),
        (128, &[("2001:db8::1", 200), ("2001:db8::2", 200), ("2001:db8:0::1", 429)]),
        // Of IPv4 all bits are, whatever is said of IPv6, also where it is written as that.
        (
            16,
            &[
                ("2001:db8::1", 200),
                ("2001:dead::1", 429),
                ("192.0.2.1", 200),
                ("::ffff:192.0.2.2", 200),
                ("::ffff:192.0.2.1", 429),
            ],
        ),
    ] {
        let limit = format!("rate_limit = {{ rate = \"1/1h\", ipv6_prefix = {prefix} }}");
        let text = format!("trusted_proxies = [\"127.0.0.1\"]\n{}", route(&origin, &limit));
        let proxy = TestProxy::with(&text).start().await;
        for (address, expected) in addresses {
            let field = format!("X-Forwarded-For: {address}\r\n");
            let answer = proxy.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}Connection: close\r\n\r\n")).await;

            assert_eq!(answer.status, *expected, "{prefix} {address}");
        }
    }
}

#[actix_rt::test]
async fn a_dry_run_refuses_nobody_tells_nobody_and_counts() {
    let origin = Origin::answering("hello").start().await;
    for filter in ["rate_limit", "quota"] {
        let limit = format!("{filter} = {{ rate = \"1/1h\", key = \"ip\", dry_run = true }}");
        let proxy = TestProxy::with(&route(&origin, &limit)).start().await;

        for _ in 0..3 {
            let answer = proxy.get("/").await;
            assert_eq!((answer.status, answer.header("ratelimit"), answer.header("retry-after")), (200, None, None));
        }

        let events = proxy.proxy.plan().ledger.events();
        assert!(events.contains(&((filter, "would_refuse"), 2)), "{events:?}");
        assert!(!events.iter().any(|((_, event), count)| *event == "refused" && *count > 0), "{events:?}");
    }
}
