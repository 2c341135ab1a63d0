use super::*;
use crate::http::RequestBody;

fn exchange(method: &str, target: &str, fields: &[(&'static str, &str)]) -> Exchange {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    let client = Client::at(Peer::Tcp("192.0.2.7:1000".parse().expect("an address")), false);
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    Exchange::new(method, target.parse().expect("a target"), Version::HTTP_11, headers, RequestBody::empty(), client)
}

fn verdict(mut exchange: Exchange) -> Result<Exchange, Error> {
    check(&mut exchange, &Limits::of(&Settings::default())).map(|()| exchange)
}

fn told(exchange: Exchange) -> String {
    verdict(exchange).map(|_| ()).expect_err("it is refused").to_string()
}

#[test]
fn what_two_readers_could_read_two_ways_is_refused() {
    let host = ("host", "a.example");
    for (method, target, fields, expected) in [
        ("GET", "/", &[][..], "no Host"),
        ("GET", "/", &[host, host], "more than one Host"),
        ("GET", "/", &[("host", "a/b")], "malformed Host"),
        ("GET", "http://a@b/", &[host], "malformed Host"),
        ("POST", "/", &[host, ("content-length", "1"), ("transfer-encoding", "chunked")], "both Content-Length"),
        ("POST", "/", &[host, ("content-length", "+1")], "malformed Content-Length"),
        ("GET", "/%2e%2e/", &[host], "climbs above the root"),
        ("GET", "/a%2fb", &[host], "an encoded slash"),
        ("BREW", "/", &[host], "method"),
        ("GET", "/", &[host, ("expect", "tea")], "unknown expectation"),
        ("GET", "*", &[host], "refused path"),
        ("GET", "/", &[host, ("upgrade", "websocket")], "Connection does not name"),
        ("GET", "/", &[host, ("upgrade", "websocket/1"), ("connection", "upgrade")], "Sec-WebSocket-Key"),
        ("POST", "/", &[host, ("upgrade", "websocket"), ("connection", "upgrade")], "not a GET"),
        ("GET", "/", &[host, ("upgrade", "websocket"), ("connection", "upgrade")], "Sec-WebSocket-Key"),
        ("GET", "/", &[host, ("upgrade", "")], "names no protocol"),
        ("GET", "/", &[host, ("upgrade", "a b;c"), ("connection", "upgrade")], "names no protocol"),
        ("GET", "/", &[host, ("upgrade", "x, /1"), ("connection", "upgrade")], "names no protocol"),
        ("POST", "/", &[host, ("upgrade", "x, websocket"), ("connection", "upgrade")], "WebSocket or something else"),
    ] {
        let told = told(exchange(method, target, fields));
        assert!(told.contains(expected), "{method} {target} {fields:?}: {told}");
    }
}

#[test]
fn an_absolute_target_wins_over_host() {
    let exchange = verdict(exchange("GET", "http://Good.Example:81/a/../b?q", &[("host", "evil.example")]));

    let exchange = exchange.expect("it is fine");
    assert_eq!(exchange.authority.as_str(), "good.example:81");
    assert_eq!(exchange.authority.host(), "good.example");
    assert_eq!((exchange.path.as_str(), exchange.query()), ("/b", "?q"));
}

#[test]
fn a_request_of_http_1_0_needs_no_host() {
    let mut exchange = exchange("GET", "/", &[]);
    exchange.version = Version::HTTP_10;
    assert!(verdict(exchange).expect("it is fine").authority.is_empty());
}

#[test]
fn options_may_ask_for_the_whole_server() {
    assert_eq!(verdict(exchange("OPTIONS", "*", &[("host", "a")])).expect("it is fine").path, "*");
}

#[test]
fn a_proper_websocket_is_let_through() {
    let fields = [
        ("host", "a"),
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    assert!(verdict(exchange("GET", "/chat", &fields)).is_ok());
}

#[test]
fn a_request_that_was_here_before_is_a_loop_and_another_proxy_of_the_same_name_is_none() {
    let limits = Limits::of(&Settings::default());
    let own = format!("1.1 someone, 1.1 {}", limits.via);
    assert!(matches!(verdict(exchange("GET", "/", &[("host", "a"), ("via", &own)])), Err(Error::Loop)));
    assert!(verdict(exchange("GET", "/", &[("host", "a"), ("via", "1.1 aqueduct (00000000)")])).is_ok());
}

#[test]
fn only_a_trusted_peer_speaks_for_another_client() {
    let claim = [("host", "a"), ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")];
    let mut settings = Settings::default();

    let stranger = verdict(exchange("GET", "/", &claim)).expect("it is fine").client;
    settings.trusted_proxies = vec!["192.0.2.0/24".parse().expect("a network")];
    let mut friend = exchange("GET", "/", &claim);
    check(&mut friend, &Limits::of(&settings)).expect("it is fine");

    assert_eq!(stranger.address, Some("192.0.2.7".parse().expect("an address")));
    assert!(!stranger.secure && !stranger.trusted);
    assert_eq!(friend.client.address, Some("203.0.113.9".parse().expect("an address")));
    assert!(friend.client.secure && friend.client.trusted);
}

#[test]
fn an_upgrade_is_what_connection_names_and_never_cleartext_http_2() {
    for (lines, expected) in [
        (&["foo"][..], Some("foo")),
        (&["foo/1, bar"], Some("foo/1, bar")),
        (&["foo", "bar"], Some("foo, bar")),
        (&["h2c"], None),
        (&["H2C/1"], None),
        (&["foo, h2c"], Some("foo")),
        (&[",h2c", "foo,"], Some("foo")),
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("upgrade", *line)).collect();
        for (connection, expected) in [("Upgrade", expected), ("close", None)] {
            let fields = [&[("host", "a"), ("connection", connection)], &fields[..]].concat();

            let exchange = verdict(exchange("GET", "/", &fields)).expect("nothing wrong");

            assert_eq!(exchange.upgrade.as_ref().and_then(|value| value.to_str().ok()), expected, "{lines:?}");
        }
    }
}
