//! What conditions say of requests, and what is told of those that are wrong.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use super::{Condition, Template};
use crate::{
    exchange::{Authority, Client, Exchange, Identity},
    http::{
        ClientCertificate, Downstream, HeaderMap, HeaderName, HeaderValue, Method, RequestBody, StatusCode, Uri,
        Version, body::Length, downstream::Peer,
    },
};

mod laws;

/// A request in words: `POST /a?x=1`, its fields, and where it comes from.
pub(super) fn request(line: &str, fields: &[(&str, &str)], from: &str) -> Exchange {
    let (method, target) = line.split_once(' ').expect("a method and a target");
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::try_from(*name).expect("a name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    let (method, uri) =
        (Method::from_bytes(method.as_bytes()).expect("a method"), target.parse::<Uri>().expect("a target"));
    let peer = Peer::Tcp((from.parse::<IpAddr>().expect("an address"), 1).into());
    let mut exchange =
        Exchange::new(method, uri, Version::HTTP_11, headers, RequestBody::empty(), Client::at(peer, false));
    exchange.path = exchange.uri.path().to_owned();
    exchange.authority = Authority::new("shop.example.:8080".into(), "shop.example.".len());
    exchange
}

/// A connection whose client has shown a certificate.
pub(super) struct Shown(Arc<ClientCertificate>);
impl Downstream for Shown {
    fn peer(&self) -> Peer {
        Peer::Unix
    }
    fn local(&self) -> Option<SocketAddr> {
        None
    }
    fn is_tls(&self) -> bool {
        true
    }
    fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        Some(&self.0)
    }
    fn informational(&self, _: StatusCode, _: &HeaderMap) {}
    fn request_trailers(&self) -> Option<HeaderMap> {
        None
    }
    fn response_trailers(&self, _: HeaderMap) {}
}

impl Shown {
    pub(super) fn certificate() -> Rc<dyn Downstream> {
        Rc::new(Self(Arc::new(ClientCertificate {
            subject: "CN=alice".into(),
            issuer: "CN=ca".into(),
            serial: "0a".into(),
            names: vec!["DNS:a".into(), "DNS:b".into()],
            fingerprint: "ff".into(),
        })))
    }
}

fn get(target: &str) -> Exchange {
    request(&format!("GET {target}"), &[], "192.0.2.1")
}

fn with(fields: &[(&str, &str)]) -> Exchange {
    request("GET /", fields, "192.0.2.1")
}

fn proved(claims: serde_json::Value) -> Exchange {
    let serde_json::Value::Object(claims) = claims else { panic!("claims are an object") };
    let mut exchange = get("/");
    exchange.identities.push(Identity { scheme: "jwt", subject: Some("alice".into()), claims });
    exchange
}

fn condition(text: &str) -> Condition {
    Condition::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault} at {:?}", fault.at))
}

/// What lets in, and what refuses.
fn verdicts(text: &str, exchange: &Exchange) -> (bool, bool) {
    let condition = condition(text);
    (condition.holds(exchange), condition.may_hold(exchange))
}

#[track_caller]
fn all_hold(exchange: &Exchange, texts: &[&str]) {
    for text in texts {
        assert_eq!(verdicts(text, exchange), (true, true), "{text}");
        assert_eq!(verdicts(&format!("not ({text})"), exchange), (false, false), "{text}");
    }
}

#[track_caller]
fn none_holds(exchange: &Exchange, texts: &[&str]) {
    for text in texts {
        assert_eq!(verdicts(text, exchange), (false, false), "{text}");
    }
}

#[test]
fn words_combine_as_they_read() {
    let exchange = get("/a");
    all_hold(
        &exchange,
        &[
            "method == 'GET'",
            "method == 'POST' or path == '/a'",
            "method == 'GET' || path == '/b' && method == 'POST'",
            "not (method == 'POST')",
            "!!(method == \"GET\")",
            "not method == 'POST' and not path == '/b'",
            "method in ['POST', 'GET'] and (path == '/a' or path == '/b')",
            "scheme == 'http'",
            "host == 'shop.example' and host ends_with '.example' and host contains 'p.e'",
        ],
    );
    none_holds(
        &exchange,
        &[
            "method == 'GET' and path == '/b'",
            "(method == 'GET' or path == '/b') and method == 'POST'",
            "host != 'shop.example'",
        ],
    );
}

#[test]
fn paths_are_one_in_every_spelling() {
    for target in ["/a!b/c", "/a%21b/c", "//a!b//c", "/a!b/c?x=/d"] {
        all_hold(
            &get(target),
            &[
                "path == '/a!b/c'",
                "path starts_with '/a!b/'",
                "path matches '^/a.b/c$'",
                "path contains '!' and path ends_with 'c'",
            ],
        );
    }
    all_hold(&get("/caf%C3%A9%20x"), &["path == '/caf\u{e9} x'"]);
    none_holds(&get("/a%2Fb"), &["path == '/a/b'", "path starts_with '/a/'"]);
}

#[test]
fn a_clients_address_is_in_networks_and_ipv4_in_ipv6_is_ipv4() {
    for from in ["10.1.2.3", "::ffff:10.1.2.3"] {
        all_hold(
            &request("GET /", &[], from),
            &[
                "client.ip in cidr('10.0.0.0/8', 'fd00::/8')",
                "client.ip in cidr('::ffff:10.0.0.0/104')",
                "client.ip in cidr('10.1.2.3')",
                "client.ip == '10.1.2.3'",
                "client.ip in ['::ffff:10.1.2.3', '192.0.2.9']",
                "client.ip != '10.1.2.4'",
                "not client.ip in cidr('11.0.0.0/8', '::/0')",
            ],
        );
    }
    let mut local = get("/");
    local.client = Client::at(Peer::Unix, false);
    all_hold(&local, &["not has(client.ip)", "client.ip != '10.1.2.3'", "not client.ip in cidr('0.0.0.0/0', '::/0')"]);
}

#[test]
fn who_hides_behind_a_proxy_may_be_anybody_and_surely_is_nobody() {
    let mut hidden = request("GET /", &[], "10.0.0.5");
    hidden.client.is_hidden = true;
    for text in ["client.ip in cidr('10.0.0.0/8')", "not client.ip in cidr('10.0.0.0/8')", "client.ip == '192.0.2.1'"] {
        let condition = condition(text);
        assert_eq!((condition.holds(&hidden), condition.may_hold(&hidden)), (false, true), "{text}");
    }
}

#[test]
fn what_is_missing_is_not_empty_and_equals_nothing() {
    let empty = request("GET /?x", &[("x", ""), ("cookie", "x=")], "192.0.2.1");
    all_hold(
        &empty,
        &["has(header('x')) and header('x') == ''", "query('x') == ''", "cookie('x') == '' and has(cookie('x'))"],
    );

    let missing = get("/");
    for value in ["header('x')", "query('x')", "cookie('x')", "claim('x')", "content_type", "client_cert.subject"] {
        let texts = [
            format!("{value} == ''"),
            format!("{value} in ['', 'a']"),
            format!("{value} matches ''"),
            format!("has({value})"),
        ];
        none_holds(&missing, &texts.each_ref().map(String::as_str));
        all_hold(&missing, &[&format!("{value} != ''"), &format!("not has({value})")]);
    }
}

#[test]
fn what_came_twice_must_be_so_in_both_to_let_in_and_in_one_to_refuse() {
    let twice = request("GET /?x=a&x=b", &[("x", "a"), ("x", "b"), ("cookie", "x=a; x=b")], "192.0.2.1");
    for value in ["header('x')", "query('x')", "cookie('x')"] {
        for (text, expected) in [
            (format!("{value} == 'a'"), (false, true)),
            (format!("{value} != 'a'"), (false, true)),
            (format!("not {value} == 'a'"), (false, true)),
            (format!("not not {value} != 'a'"), (false, true)),
            (format!("{value} in ['a', 'b']"), (true, true)),
            (format!("{value} == 'c'"), (false, false)),
            (format!("{value} != 'c'"), (true, true)),
            (format!("any({value}) == 'a'"), (true, true)),
            (format!("any({value}) != 'a'"), (false, false)),
            (format!("'b' in {value}"), (true, true)),
            (format!("not {value} == 'a' or {value} == 'a'"), (false, true)),
        ] {
            assert_eq!(verdicts(&text, &twice), expected, "{text}");
        }
    }
}

#[test]
fn quotes_around_a_cookie_are_and_are_not_a_part_of_it() {
    let quoted = with(&[("cookie", "x=\"a\"; y=\"")]);
    for (text, expected) in [
        ("cookie('x') == 'a'", (false, true)),
        ("cookie('x') == '\"a\"'", (false, true)),
        ("cookie('x') contains 'a'", (true, true)),
        ("cookie('x') == 'b'", (false, false)),
        ("cookie('y') == '\"'", (true, true)),
    ] {
        assert_eq!(verdicts(text, &quoted), expected, "{text}");
    }
}

#[test]
fn fields_are_those_of_their_name_alone() {
    let exchange = with(&[("x_tier", "gold"), ("X-Level", "1"), ("Content-Type", "Application/JSON; charset=x")]);

    all_hold(
        &exchange,
        &["header('x_tier') == 'gold'", "header('X-LEVEL') == '1'", "content_type == 'application/json'"],
    );
    none_holds(&exchange, &["has(header('x-tier'))", "has(header('x_level'))", "header('x_tier') == 'GOLD'"]);
}

#[test]
fn a_length_that_nobody_knows_may_be_any() {
    let mut exchange = get("/");
    for (length, text, expected) in [
        (Length::Exact(10), "content_length > 9 and content_length <= 10", (true, true)),
        (Length::Exact(10), "content_length < 10 or content_length >= 11", (false, false)),
        (Length::None, "content_length == 0", (true, true)),
        (Length::Chunked, "content_length > 1_000", (false, true)),
        (Length::Chunked, "not content_length > 1_000", (false, true)),
    ] {
        exchange.body = RequestBody::stream(Box::new(RequestBody::empty()), length);

        assert_eq!(verdicts(text, &exchange), expected, "{length:?} {text}");
    }
}

#[test]
fn claims_are_what_they_are() {
    let exchange = proved(serde_json::json!({
        "roles": ["admin", "dev"], "level": 3, "share": 0.5, "verified": true, "realm": { "roles": ["x"] }, "none": null,
        "https://a.example/t": "gold", "empty": [],
    }));
    all_hold(
        &exchange,
        &[
            "claim('sub') == 'alice'",
            "'admin' in claim('roles') and not 'root' in claim('roles')",
            "claim('level') == 3 and claim('level') > 2 and claim('share') < 1",
            "claim('verified') == true and claim('verified') != false",
            "'x' in claim('realm.roles') and has(claim('realm'))",
            "claim('https://a.example/t') starts_with 'go'",
            "claim('level') != '3' and claim('verified') != 'true'",
            "not has(claim('none')) and not has(claim('empty'))",
        ],
    );
    none_holds(&exchange, &["claim('realm') == 'x'", "claim('roles') == 'root'", "claim('sub') > 1"]);
    assert_eq!(verdicts("claim('roles') == 'admin'", &exchange), (false, true));
    none_holds(&with(&[("sub", "alice"), ("claim", "admin")]), &["has(claim('sub'))"]);
}

#[test]
fn a_certificate_is_what_the_connection_tells_not_what_a_field_says() {
    let texts =
        ["client_cert.subject == 'CN=alice'", "'DNS:b' in client_cert.names", "client_cert.issuer matches '^CN=ca$'"];
    none_holds(&with(&[("client-cert", "CN=alice"), ("client_cert.subject", "CN=alice")]), &texts);
    let mut exchange = get("/");
    exchange.downstream = Some(Shown::certificate());
    all_hold(&exchange, &texts);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_a_way_out() {
    for (text, at, what, help) in [
        ("", "", "it ends where a value", "such as"),
        ("pth == '/a'", "pth", "no value `pth`", "did you mean `path`?"),
        ("heder('x') == 'a'", "heder", "no value `heder`", "did you mean `header`?"),
        ("header.x == 'a'", "header.x", "no value", "did you mean `header('x')`?"),
        ("path('x') == 'a'", "path", "takes nothing in parentheses", ""),
        ("header == 'a'", "header", "no value `header`", "header"),
        ("header('a b') == 'a'", "'a b'", "not a header field name", "such as"),
        ("header('Host') == 'a'", "'Host'", "is settled", "`host`"),
        ("cookie('a=b') == 'a'", "'a=b'", "not the name of a cookie", "such as"),
        ("path = '/a'", "=", "`=` means nothing", "did you mean `==`?"),
        ("path =~ '/a'", "=~", "means nothing", "did you mean `matches`?"),
        ("path == /a", "/", "means nothing", ""),
        ("path == '/a", "'/a", "a string that does not end", "a ' is missing"),
        ("path == path", "path", "`path` where something to compare with", "a string"),
        ("'GET' == method", "'GET'", "begins with a value of the request", "`method == 'GET'`"),
        ("path startswith '/a'", "startswith", "compares nothing", "did you mean `starts_with`?"),
        ("path not in ['/a']", "not", "compares nothing", "`not` comes first"),
        ("path", "path", "`path` alone is not a condition", "`has(path)`"),
        ("path matches '('", "'('", "not a regular expression: unclosed group", "regex"),
        ("path matches '(?:a{1000}){1000}'", "'(?:a{1000}){1000}'", "too much memory", "regex"),
        ("method == 'get'", "'get'", "in capitals", "did you mean 'GET'?"),
        ("method == 5", "5", "`method` is a text", "in quotes"),
        ("scheme == 'htps'", "'htps'", "no such scheme", "'https'"),
        ("host == 'A.example'", "'A.example'", "in lower case", "'a.example'"),
        ("host == 'a.example:80'", "'a.example:80'", "no request has such a host", "without its port"),
        ("host in ['a.example.']", "'a.example.'", "no request has such a host", "the dot"),
        ("path == 'a'", "'a'", "begins with a slash", "'/a'"),
        ("path == '/a%20b'", "'/a%20b'", "compared decoded", "did you mean '/a b'?"),
        ("path starts_with '/a//b'", "'/a//b'", "one slash for many", "'/a/b'"),
        ("path starts_with '/a/../b'", "'/a/../b'", "no request has such a path", "dots are resolved"),
        ("path == '/a?x=1'", "'/a?x=1'", "no request has such a path", "query"),
        ("path contains '%41'", "'%41'", "compared decoded", "'A'"),
        ("content_type == 'Text/html'", "'Text/html'", "lower case", "such as"),
        ("client.ip == 'localhost'", "'localhost'", "is an address", "such as"),
        ("client.ip == '10.0.0.0/8'", "'10.0.0.0/8'", "is not a network", "in cidr"),
        ("client.ip starts_with '10.'", "starts_with", "is not a text", "in cidr"),
        ("client.ip in cidr('10.0.0.1/8')", "'10.0.0.1/8'", "more bits than its network", "'10.0.0.0/8'"),
        ("client.ip in cidr('10.0.0')", "'10.0.0'", "is not a network", "such as"),
        ("client.ip in '10.0.0.0/8'", "'10.0.0.0/8'", "where `[` is expected", "cidr"),
        ("client.ip cidr('10.0.0.0/8')", "cidr", "compares nothing", "`in` comes before"),
        ("header('x') in cidr('10.0.0.0/8')", "'10.0.0.0/8'", "is not an address", "client.ip"),
        ("header('x') > 5", ">", "is not a number", "content_length"),
        ("content_length > '5'", "'5'", "not a number", "digits"),
        ("content_length > 5k", "5k", "not a whole number", "digits"),
        ("content_length > 99999999999999999999", "99999999999999999999", "not a whole number", "digits"),
        ("path in []", "]", "`]` where something to compare with", "a string"),
        ("path in ['/a' '/b']", "'/b'", "where `]` is expected", ""),
        ("(path == '/a'", "", "it ends where `)` is expected", ""),
        ("path == '/a')", ")", "`)` is not expected here", "`and` or `or`"),
        ("path == '/a' AND path == '/b'", "AND", "not expected here", "lower case"),
        ("path == '/a' path == '/b'", "path", "not expected here", "`and` or `or`"),
        ("any(path == '/a')", "==", "where `)` is expected", ""),
    ] {
        let fault = Condition::parse(text).expect_err(text);

        assert!(fault.what.contains(what), "{text}: {}", fault.what);
        assert!(fault.help.as_deref().unwrap_or_default().contains(help), "{text}: {:?}", fault.help);
        assert_eq!(&text[fault.at.clone()], at, "{text}");
        assert!(!help.is_empty() || fault.help.is_none(), "{text}: {:?}", fault.help);
    }
}

#[test]
fn a_text_is_bounded_in_length_and_depth() {
    let deep = |depth: usize| format!("{}path == '/'{}", "(".repeat(depth), ")".repeat(depth));

    assert!(Condition::parse(&deep(31)).is_ok());
    assert!(Condition::parse(&deep(32)).expect_err("too deep").what.contains("within each other"));
    assert!(Condition::parse(&"not ".repeat(2_000)).expect_err("too deep").what.contains("within each other"));
    assert!(Condition::parse(&" ".repeat(9_000)).expect_err("too long").what.contains("longer than"));
}

#[test]
fn the_examples_of_the_docs_can_be_read() {
    let docs = include_str!("../../docs/conditions.md");
    let examples = |kind: &str| -> Vec<&str> {
        let block = docs.split(&format!("```{kind}\n")).nth(1).and_then(|rest| rest.split("```").next());
        block.expect("examples").lines().collect()
    };

    for example in examples("condition") {
        condition(example);
    }
    for example in examples("template") {
        assert!(Template::parse(example).is_ok(), "{example}");
    }
}
