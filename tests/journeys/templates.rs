//! Texts that are made of a request: what is proved and known goes on, what a client says stays its own.

use super::support::{origin::Origin, proxy::TestProxy};

fn told<'s>(seen: &'s str, name: &str) -> Vec<&'s str> {
    let named = |line: &'s str| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name));
    seen.lines().filter_map(named).map(|(_, value)| value.trim()).collect()
}

async fn ruled(origin: &Origin, rules: &str) -> TestProxy {
    let route = format!("[routes]\n\"/\" = {{ to = \"{}\", header_rules = {rules} }}\n", origin.url());
    TestProxy::with(&route).with_underscores().start().await
}

#[actix_rt::test]
async fn an_endpoint_is_told_what_a_rule_makes_of_the_request() {
    let origin = Origin::echo().start().await;
    let rules = "{ request = { set = { x-seen = '${method} ${scheme}://${host}${path}', x-from = '${client.ip}', \
                 x-shop = '${host.0}', x-literal = '$${path}', x-id = '${request_id}' }, \
                 add = { x-q = '${query.q}' } }, response = { set = { x-path = '${path}' } } }";
    let proxy = ruled(&origin, rules).await;

    let response = proxy
        .send("GET /%61/../b%20c?q=%C3%A9+x HTTP/1.1\r\nHost: Shop.Example:80\r\nX-From: 10.0.0.1\r\nX-Q: own\r\n\r\n")
        .await;

    let seen = response.text();
    assert_eq!(told(&seen, "x-seen"), ["GET http://shop.example/b%20c"]);
    assert_eq!(told(&seen, "x-from"), ["127.0.0.1"]);
    assert_eq!(told(&seen, "x-shop"), ["shop"]);
    assert_eq!(told(&seen, "x-literal"), ["${path}"]);
    assert_eq!(told(&seen, "x-id"), told(&seen, "x-request-id"));
    assert_eq!(told(&seen, "x-q"), ["own", "\u{e9} x"]);
    assert_eq!(response.header("x-path"), Some("/b%20c"));
}

#[actix_rt::test]
async fn nobody_says_of_himself_what_a_proof_would() {
    let origin = Origin::echo().start().await;
    let rules = "{ request = { set = { x-user = '${claim.sub}', x-client = '${client_cert.subject}' } } }";
    let proxy = ruled(&origin, rules).await;

    for forged in [
        "X-User: root",
        "x-user: root\r\nX-Client: root",
        "X-USER: a\r\nX-user: b",
        "claim.sub: root",
        "X_User: root",
        "x_user: root\r\nX_CLIENT: root",
    ] {
        let seen = proxy.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}\r\n\r\n")).await.text();

        let is_told = |name| !told(&seen, name).is_empty();
        assert!(!["x-user", "x-client", "x_user", "x_client"].into_iter().any(is_told), "{forged}: {seen}");
    }
}

#[actix_rt::test]
async fn no_client_writes_a_line_into_a_field_nor_a_host_into_a_redirect() {
    let origin = Origin::echo().start().await;
    let rules = "{ request = { set = { x-q = '<${query.q}>' } }, response = { set = { x-q = '<${query.q}>' } } }";
    let text = format!(
        "[routes]\n\"/\" = {{ to = \"{}\", header_rules = {rules} }}\n\"/go\" = {{ redirect = '${{query.q}}' }}\n\
         \"/in\" = {{ redirect = '/login?next=${{query.q}}&host=${{host}}' }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for (query, field, location, login) in [
        ("q=a", Some("<a>"), "a", "/login?next=a&host=127.0.0.1"),
        ("q=%0d%0aset-cookie:%20a=1", None, "/", "/login?next=&host=127.0.0.1"),
        ("q=a%00b", None, "/", "/login?next=&host=127.0.0.1"),
        ("q=a&q=b", None, "/", "/login?next=&host=127.0.0.1"),
        ("", None, "/", "/login?next=&host=127.0.0.1"),
        (
            "q=//evil.example/",
            Some("<//evil.example/>"),
            "%2F%2Fevil.example%2F",
            "/login?next=%2F%2Fevil.example%2F&host=127.0.0.1",
        ),
        ("q=x%26host=b%23", Some("<x&host=b#>"), "x%26host%3Db%23", "/login?next=x%26host%3Db%23&host=127.0.0.1"),
    ] {
        let answer = proxy.get(&format!("/?{query}")).await;
        assert_eq!(told(&answer.text(), "x-q"), Vec::from_iter(field), "{query}");
        assert_eq!(answer.headers("x-q"), Vec::from_iter(field), "{query}");
        assert_eq!(answer.header("set-cookie"), None, "{query}");
        let went = |answer: &super::support::client::Response| answer.header("location").map(str::to_owned);
        assert_eq!(went(&proxy.get(&format!("/in?{query}")).await).as_deref(), Some(login), "{query}");
        assert_eq!(went(&proxy.get(&format!("/go?{query}")).await).as_deref(), Some(location), "{query}");
    }
}
