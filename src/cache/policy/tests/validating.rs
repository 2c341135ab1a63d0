//! RFC 9111, 3.2, 4.3.1, 4.3.4 and 4.3.5.

use super::super::{
    Ask, Head, Refreshed, Rules, Use, WhyNot, refresh, refresh_by_head,
    testing::{TARGET, ask, fields, stored, times, used},
    unconditional, validate,
};
use crate::http::Method;

#[test]
fn the_endpoint_is_asked_with_what_is_stored_and_without_what_the_client_has() {
    let client = "if-none-match: \"own\" | if-modified-since: @-1 | if-match: x | if-unmodified-since: @0 | if-range: x | range: x | foo: 1";
    for (answer, expected) in [
        ("etag: \"a\"", "if-none-match: \"a\" | foo: 1"),
        ("etag: W/\"a\" | last-modified: @-50", "if-none-match: W/\"a\" | if-modified-since: @-50 | foo: 1"),
        ("last-modified: @-50", "if-modified-since: @-50 | foo: 1"),
        ("etag: \"a\" | last-modified: foo", "if-none-match: \"a\" | foo: 1"),
        ("cache-control: max-age=5", "foo: 1"),
        ("cache-control: max-age=5 | last-modified: foo", "foo: 1"),
    ] {
        let (mut headers, expected) = (fields(client), fields(expected));

        let is_asked = validate(&mut headers, &stored(answer));

        assert_eq!(is_asked, expected.len() > 1, "{answer}");
        assert_eq!(headers.len(), expected.len(), "{answer}");
        assert!(expected.iter().all(|(name, value)| headers.get(name) == Some(value)), "{answer}: {headers:?}");
    }
    let mut headers = fields(client);
    unconditional(&mut headers);
    assert_eq!(headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["foo"]);
}

fn refreshed(request: &str, stored_fields: &str, answer: &str) -> Refreshed {
    let (rules, request) = (Rules::default(), fields(request));
    refresh(&ask(&request, &rules), &stored(stored_fields), &fields(answer), times(100), &rules)
}

fn kept(stored_fields: &str, answer: &str) -> Head {
    match refreshed("", stored_fields, answer) {
        Refreshed::Kept(head) => head,
        other => panic!("{stored_fields} / {answer}: {other:?}"),
    }
}

const STORED: &str = "cache-control: max-age=2 | etag: \"a\" | date: @0 | x-kept: 1 | x-changed: 1 | x-changed: 2 | \
    content-encoding: gzip | content-type: a/b";

#[test]
fn a_304_makes_it_fresh_again_with_what_it_says() {
    let head = kept(
        STORED,
        "etag: \"a\" | date: @100 | cache-control: max-age=60 | x-changed: 3 | x-new: 4 | content-length: 7 | content-encoding: br | \
         content-range: x | connection: x-hop | x-hop: 1 | transfer-encoding: chunked | age: 3 | content-type: c/d",
    );

    let expected = "cache-control: max-age=60 | etag: \"a\" | date: @100 | x-kept: 1 | x-changed: 3 | x-new: 4 | \
        content-encoding: gzip | content-type: c/d";
    let expected = fields(expected);
    assert!(expected.iter().all(|(name, value)| head.fields.get(name) == Some(value)), "{:?}", head.fields);
    assert_eq!(head.fields.len(), expected.len() + 1, "x-hop: {:?}", head.fields);
    assert_eq!((used(&head, "", 156), head.status.as_u16()), (Use::Fresh, 200));
    assert_ne!(used(&head, "", 157), Use::Fresh);
}

#[test]
fn a_304_without_a_date_is_of_the_time_at_which_it_came() {
    let head = kept(STORED, "etag: \"a\"");

    assert_eq!(head.fields.get("date"), fields("date: @100").get("date"));
    assert_eq!((used(&head, "", 101), used(&head, "", 102) == Use::Fresh), (Use::Fresh, false));
}

#[test]
fn a_304_is_about_what_it_names() {
    for (stored_fields, answer, is_about) in [
        ("etag: \"a\"", "etag: \"a\"", true),
        ("etag: \"a\"", "etag: \"b\"", false),
        ("etag: \"a\"", "etag: W/\"a\"", true),
        ("etag: \"a\"", "etag: W/\"b\"", false),
        ("etag: W/\"a\"", "etag: \"a\"", false),
        ("etag: W/\"a\"", "etag: W/\"a\"", true),
        ("etag: \"a\"", "", true),
        ("etag: \"a\" | last-modified: @-50", "etag: \"a\" | last-modified: @-40", true),
        ("etag: \"a\" | last-modified: @-50", "last-modified: @-40", false),
        ("last-modified: @-50", "last-modified: @-50", true),
        ("last-modified: @-50", "last-modified: @-40", false),
        ("last-modified: @-50", "etag: \"a\" | last-modified: @-50", true),
        ("last-modified: @-50", "etag: \"a\" | last-modified: @-40", false),
        ("last-modified: @-50", "", true),
    ] {
        let outcome = refreshed("", stored_fields, answer);
        assert_eq!(!matches!(outcome, Refreshed::Mismatch), is_about, "{stored_fields} / {answer}: {outcome:?}");
    }
}

#[test]
fn what_may_no_longer_be_stored_answers_once() {
    for (answer, expected) in [
        ("cache-control: no-store", WhyNot::NoStore),
        ("cache-control: private", WhyNot::Private),
        ("vary: *", WhyNot::Vary),
        ("set-cookie: a=b", WhyNot::SetCookie),
    ] {
        let Refreshed::Once(head, why) = refreshed("", STORED, answer) else { panic!("{answer}") };
        assert_eq!(why, expected);
        let changed = fields(answer);
        let (name, value) = changed.iter().next().expect("a field");
        assert_eq!(head.fields.get(name), Some(value));
        assert_ne!(used(&head, "cache-control: max-stale", 100), Use::Fresh);
    }
}

#[test]
fn a_request_that_may_not_be_stored_changes_nothing() {
    let outcome = refreshed("cache-control: no-store", STORED, "cache-control: max-age=60 | x-changed: 3");

    let Refreshed::Aside(head) = outcome else { panic!("{outcome:?}") };
    assert_eq!(head.fields.get("x-changed"), fields("x: 3").get("x"));
}

#[test]
fn an_answer_to_head_tells_whether_it_has_changed() {
    let (rules, request) = (Rules::default(), fields(""));
    for (answer, expected) in [
        ("etag: \"a\" | content-length: 10 | cache-control: max-age=60", true),
        ("cache-control: max-age=60 | date: @100", true),
        ("etag: \"b\"", false),
        ("content-length: 11", false),
        ("content-length: a", false),
    ] {
        let ask = Ask::of(&Method::HEAD, TARGET, &request, false, &rules);
        let outcome = refresh_by_head(&ask, &stored(STORED), Some(10), &fields(answer), times(100), &rules);
        assert_eq!(matches!(outcome, Refreshed::Kept(_)), expected, "{answer}");
        assert_eq!(matches!(outcome, Refreshed::Mismatch), !expected, "{answer}");
    }
}
