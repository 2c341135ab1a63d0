//! What rules say of requests, without a socket; tests/journeys/request_rules.rs has what clients try.

use serde_json::{Value, json};

use super::*;
use crate::{
    filters::testing::{self, request},
    http::RequestBody,
};

/// Its status, if it is refused.
fn refused(rules: &Value, exchange: &Exchange) -> Option<u16> {
    let settings = serde_json::from_value(rules.clone()).expect("settings");
    let rules = RequestRules::read(settings).unwrap_or_else(|problems| panic!("{problems}"));
    rules.check(exchange).err().map(|refusal| refusal.status.as_u16())
}

#[test]
fn a_query_has_the_names_it_may_have_and_each_once() {
    let rules = json!({ "query_names": ["page", "sort by"], "max_query": "20B" });
    for (target, expected) in [
        ("/", None),
        ("/?", None),
        ("/?page=1&sort+by=a", None),
        ("/?sort%20by=a&%70age=1", None),
        ("/?page", None),
        ("/?page=1&&", None),
        ("/?page=1&page=2", Some(400)),
        ("/?page=1&%70age=2", Some(400)),
        ("/?page=1;debug=1", Some(400)),
        ("/?debug=1", Some(400)),
        ("/?Page=1", Some(400)),
        ("/?page[]=1", Some(400)),
        ("/?=1", Some(400)),
        ("/?page=123456789012345", None),
        ("/?page=1234567890123456", Some(414)),
    ] {
        assert_eq!(refused(&rules, &request(&format!("GET {target}"), &[])), expected, "{target}");
    }
}

#[test]
fn content_is_of_a_listed_type_or_there_is_none() {
    let rules = json!({ "content_types": ["application/json", "text/*"] });
    for (types, length, expected) in [
        (&["application/json"][..], Length::Exact(1), None),
        (&["Application/JSON; charset=utf-8"], Length::Chunked, None),
        (&["text/plain"], Length::Exact(1), None),
        (&[], Length::None, None),
        (&["image/png"], Length::Exact(0), None),
        (&[], Length::Exact(1), Some(415)),
        (&[], Length::Chunked, Some(415)),
        (&["image/png"], Length::Exact(1), Some(415)),
        (&["application/jsonp"], Length::Exact(1), Some(415)),
        (&["application/json, image/png"], Length::Exact(1), Some(415)),
        (&["application/json", "text/plain"], Length::Exact(1), Some(415)),
        (&["text/"], Length::Exact(1), Some(415)),
        (&["text/a/b"], Length::Exact(1), Some(415)),
        (&["text/plain, x"], Length::Exact(1), Some(415)),
        (&[""], Length::Exact(1), Some(415)),
    ] {
        let fields: Vec<_> = types.iter().map(|value| ("content-type", *value)).collect();
        let mut exchange = request("POST /", &fields);
        exchange.body = RequestBody::stream(Box::new(RequestBody::empty()), length);

        assert_eq!(refused(&rules, &exchange), expected, "{types:?} {length:?}");
    }
}

#[test]
fn names_of_clients_are_compared_whole_and_without_case() {
    let deny = json!({ "user_agents": { "deny": ["*bot*", "curl/*", "a.b"] } });
    let allow = json!({ "user_agents": { "allow": ["shop/*"], "deny": ["*/0"] } });
    for (names, by_deny, by_allow) in [
        (&[][..], None, Some(403)),
        (&["Mozilla/5.0"], None, Some(403)),
        (&["Googlebot/2.1"], Some(403), Some(403)),
        (&["EvilBOT"], Some(403), Some(403)),
        (&["CURL/8.1"], Some(403), Some(403)),
        (&["libcurl/8.1"], None, Some(403)),
        (&["axb"], None, Some(403)),
        (&["Shop/1"], None, None),
        (&["Shop/0"], None, Some(403)),
        (&["Shop/1", "a bot"], Some(403), Some(403)),
        (&["a bot", "Shop/1"], Some(403), Some(403)),
        (&[""], None, Some(403)),
    ] {
        let fields: Vec<_> = names.iter().map(|name| ("user-agent", *name)).collect();

        assert_eq!(refused(&deny, &request("GET /", &fields)), by_deny, "{names:?}");
        assert_eq!(refused(&allow, &request("GET /", &fields)), by_allow, "{names:?}");
    }
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let told = testing::problems::<RequestRules>(json!({
        "methods": ["GET", "get", "P T"],
        "content_types": ["application/json", "Text/html", "json", "*/*", "text/html; charset=x"],
        "deny": ["path == '/a'", "pth == '/a'"],
        "allow": ["client.ip == 'here'", "not (method == 'GET' and has(claim('sub')))"],
        "user_agents": { "deny": ["a", "b\u{7}"], "allow_files": ["no/such/file"] },
    }));

    let told: Vec<_> = told.iter().map(|problem| (problem.key.join("."), problem.help.is_some())).collect();
    let expected = [
        "methods.1",
        "methods.2",
        "content_types.1",
        "content_types.2",
        "content_types.3",
        "content_types.4",
        "user_agents.deny.1",
        "user_agents.allow_files.0",
        "deny.1",
        "allow.0",
        "allow.1",
    ];
    assert_eq!(told, expected.map(|key| (key.to_owned(), true)));
    assert!(!testing::problems::<RequestRules>(json!({ "query_names": vec!["x"; 129] })).is_empty());
    assert!(!testing::problems::<RequestRules>(json!({})).is_empty());
}
