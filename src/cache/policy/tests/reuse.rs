//! RFC 9111, 4, 4.1, 4.2.4 and 5.2.1; RFC 5861; RFC 8246.

use std::time::Duration;

use super::super::{
    Ask, Rules, Use, WhyPass, WhyValidate, lookup,
    testing::{TARGET, at, fields, stored, stored_for, used},
};
use crate::http::Method;

const STALE: Use = Use::Validate { why: WhyValidate::Stale, stands_in: false };
const WISHED: Use = Use::Validate { why: WhyValidate::Request, stands_in: false };
const OR_STALE: Use = Use::Validate { why: WhyValidate::Stale, stands_in: true };

#[test]
fn an_answer_is_used_while_it_is_fresh() {
    let head = stored("cache-control: max-age=60 | age: 10");
    for (seconds, expected) in [(0, Use::Fresh), (49, Use::Fresh), (50, STALE), (5000, STALE)] {
        assert_eq!(used(&head, "", seconds), expected, "{seconds}");
    }
}

#[test]
fn one_that_wants_to_be_asked_about_is_not_used_unasked() {
    for answer in ["cache-control: no-cache, max-age=60", "cdn-cache-control: no-cache | cache-control: max-age=60"] {
        let head = stored(&format!("{answer} | etag: \"a\""));
        for request in ["", "cache-control: max-stale", "cache-control: stale-if-error=60"] {
            assert_eq!(used(&head, request, 1), STALE, "{answer}, {request}");
        }
    }
}

#[test]
fn clients_get_what_they_wish() {
    let head = stored("cache-control: max-age=60 | age: 10");
    for (request, seconds, expected) in [
        ("cache-control: no-cache", 1, WISHED),
        ("cache-control: No-Cache", 1, WISHED),
        ("pragma: no-cache", 1, WISHED),
        ("pragma: no-cache | cache-control: a", 1, Use::Fresh),
        ("pragma: other", 1, Use::Fresh),
        ("cache-control: no-store", 1, Use::Fresh),
        ("cache-control: max-age=0", 1, WISHED),
        ("cache-control: max-age=a", 1, WISHED),
        ("cache-control: max-age=11", 1, Use::Fresh),
        ("cache-control: max-age=11", 2, WISHED),
        ("cache-control: min-fresh=40", 10, Use::Fresh),
        ("cache-control: min-fresh=41", 10, WISHED),
        ("cache-control: max-stale", 5000, Use::Stale),
        ("cache-control: max-stale=10", 60, Use::Stale),
        ("cache-control: max-stale=10", 61, STALE),
        ("cache-control: max-stale=a", 61, STALE),
        ("cache-control: max-stale=10, max-stale", 61, STALE),
        ("cache-control: max-stale, max-age=5", 61, STALE),
        ("cache-control: max-stale, min-fresh=5", 61, STALE),
        ("cache-control: max-stale, no-cache", 61, STALE),
        ("cache-control: stale-if-error=20", 61, OR_STALE),
        ("cache-control: stale-if-error=10", 61, STALE),
    ] {
        assert_eq!(used(&head, request, seconds), expected, "{request} at {seconds}");
    }
}

#[test]
fn operators_need_not_obey_clients() {
    let rules = Rules { obeys_clients: false, ..Rules::default() };
    let head = stored("cache-control: max-age=60");
    for text in ["cache-control: no-cache", "pragma: no-cache", "cache-control: max-age=0, min-fresh=600"] {
        let request = fields(text);
        let ask = Ask::of(&Method::GET, TARGET, &request, false, &rules);
        assert_eq!(lookup(&ask, &head, at(1)), Use::Fresh, "{text}");
        assert_eq!(lookup(&ask, &head, at(61)), STALE, "{text}");
    }
    let request = fields("cache-control: no-store, only-if-cached, max-stale");
    let wishes = Ask::of(&Method::GET, TARGET, &request, false, &rules).wishes;
    assert!(wishes.no_store && wishes.only_if_cached && wishes.max_stale.is_none());
}

#[test]
fn a_stale_answer_is_used_as_long_as_it_allows() {
    for (answer, seconds, request, expected) in [
        ("max-age=10, stale-while-revalidate=5", 9, "", Use::Fresh),
        ("max-age=10, stale-while-revalidate=5", 14, "", Use::WhileRevalidating),
        ("max-age=10, stale-while-revalidate=5", 15, "", STALE),
        ("max-age=10, stale-while-revalidate=5", 14, "cache-control: no-cache", STALE),
        ("max-age=10, stale-while-revalidate=5", 14, "cache-control: max-age=5", STALE),
        ("max-age=10, stale-while-revalidate=5, must-revalidate", 14, "", STALE),
        ("s-maxage=10, stale-while-revalidate=5", 14, "", Use::WhileRevalidating),
        ("max-age=10, stale-while-revalidate=a", 10, "", STALE),
        ("max-age=10, stale-if-error=5", 14, "", OR_STALE),
        ("max-age=10, stale-if-error=5", 15, "", STALE),
        ("max-age=10, stale-if-error=5, must-revalidate", 14, "", STALE),
        ("max-age=10, stale-if-error=5, proxy-revalidate", 14, "", STALE),
        ("max-age=10, stale-while-revalidate=5, stale-if-error=60", 20, "", OR_STALE),
        ("max-age=10, must-revalidate", 11, "cache-control: max-stale, stale-if-error=60", STALE),
        ("max-age=10, proxy-revalidate", 11, "cache-control: max-stale, stale-if-error=60", STALE),
        ("s-maxage=10", 11, "cache-control: max-stale, stale-if-error=60", STALE),
    ] {
        let head = stored(&format!("etag: \"a\" | cache-control: {answer}"));
        assert_eq!(used(&head, request, seconds), expected, "{answer} at {seconds}, {request}");
    }
}

#[test]
fn operators_allow_it_where_the_answer_says_nothing() {
    let five = Duration::from_secs(5);
    let rules = Rules { stale_while_revalidate: five, stale_if_error: 2 * five, ..Rules::default() };
    for (answer, seconds, expected) in [
        ("max-age=10", 14, Use::WhileRevalidating),
        ("max-age=10", 15, OR_STALE),
        ("max-age=10", 20, STALE),
        ("max-age=10, stale-while-revalidate=0, stale-if-error=0", 10, STALE),
        ("max-age=10, must-revalidate", 11, STALE),
        ("s-maxage=10", 11, STALE),
        ("max-age=10, no-cache", 11, STALE),
    ] {
        let answer = format!("etag: \"a\" | cache-control: {answer}");
        let head = stored_for("", 200, &answer, &rules).expect("stored");
        assert_eq!(used(&head, "", seconds), expected, "{answer} at {seconds}");
    }
}

#[test]
fn what_does_not_change_is_not_reloaded_while_it_is_fresh() {
    let head = stored("cache-control: max-age=60, immutable | etag: \"a\"");
    for (request, seconds, expected) in [
        ("cache-control: max-age=0", 1, Use::Fresh),
        ("cache-control: no-cache", 1, WISHED),
        ("cache-control: max-age=0", 61, STALE),
    ] {
        assert_eq!(used(&head, request, seconds), expected, "{request} at {seconds}");
    }
}

#[test]
fn what_is_for_strangers_is_not_given_to_those_who_are_known() {
    let stranger = stored("cache-control: max-age=60");
    let all = stored("cache-control: max-age=60, public");
    assert_eq!(used(&stranger, "authorization: x", 1), Use::Impersonal);
    assert_eq!(used(&all, "authorization: x", 1), Use::Fresh);
    let (request, rules) = (fields("cookie: a=b"), Rules::default());
    let known = |is_identified| Ask::of(&Method::GET, TARGET, &request, is_identified, &rules);
    assert_eq!(lookup(&known(true), &stranger, at(1)), Use::Impersonal);
    assert_eq!(lookup(&known(false), &stranger, at(1)), Use::Fresh);
}

#[test]
fn a_soft_purge_makes_stale() {
    let mut head = stored("cache-control: max-age=60, stale-while-revalidate=10, stale-if-error=20 | etag: \"a\"");

    head.expire(at(5));
    assert_eq!((used(&head, "", 5), used(&head, "", 14)), (Use::WhileRevalidating, Use::WhileRevalidating));
    assert_eq!((used(&head, "", 15), used(&head, "", 25)), (OR_STALE, STALE));
}

#[test]
fn a_soft_purge_holds_also_where_a_clock_that_was_ahead_is_set_back() {
    for (purged, left_stale) in [(5, 3), (300, 20), (300, 70)] {
        let mut head = stored("cache-control: max-age=60, stale-while-revalidate=10 | etag: \"a\"");

        head.expire(at(purged));

        assert_ne!(used(&head, "", left_stale), Use::Fresh, "{purged} {left_stale}");
        assert_eq!(used(&head, "", 0), Use::WhileRevalidating);
        assert!(head.ttl(at(0)) <= 0);
    }
}

#[test]
fn fields_of_requests_choose_between_answers() {
    for (vary, first, second, expected) in [
        ("foo", "foo: 1", "foo: 1", true),
        ("foo", "foo: 1", "foo: 2", false),
        ("foo", "foo: 1", "", false),
        ("foo", "", "foo: 1", false),
        ("foo", "", "foo: ", false),
        ("foo", "foo: ", "foo: ", true),
        ("foo", "", "", true),
        ("foo", "foo: 1 | other: 2", "foo: 1 | other: 3", true),
        ("Foo, BAR", "foo: 1 | bar: a", "bar: a | foo: 1", true),
        ("foo | vary: bar, foo", "foo: 1 | bar: a", "foo: 1 | bar: b", false),
        ("foo, bar, baz", "foo: 1 | baz: 3", "foo: 1 | baz: 3", true),
        ("foo", "foo: 1,2", "foo:  1 ,  2 ", true),
        ("foo", "foo: 1, 2", "foo: 1 | foo: 2", true),
        ("foo", "foo: 1, 2", "foo: 2 | foo: 1", false),
        ("foo", "foo: 12", "foo: 1 | foo: 2", false),
        ("foo", "foo: a", "foo: A", false),
        ("foo", "foo: \"1 ,2\"", "foo: \"1,2\"", false),
        ("foo", "foo: \"1\", 2", "foo: \"1\", 2", true),
        ("foo", "foo: \"1\" | foo: 2", "foo: \"1\", 2", false),
        ("accept-language", "accept-language: en, de", "accept-language: De ,en", true),
        ("accept-language", "accept-language: en, de", "accept-language: en, en", false),
        ("accept-language", "accept-language: en, en, de", "accept-language: en, de, de", false),
        ("accept-language", "accept-language: en, de", "accept-language: en, de;q=0.5", false),
        ("accept-encoding", "accept-encoding: gzip, br", "accept-encoding: br | accept-encoding: gzip", true),
        ("accept", "accept: a/b, c/d", "accept: c/d, a/b", false),
        ("", "foo: 1", "foo: 2", true),
    ] {
        let answer = format!("cache-control: max-age=60 | vary: {vary}");
        let rules = Rules::default();
        let head = stored_for(first, 200, &answer, &rules).expect("stored");
        let expected_use = if expected { Use::Fresh } else { Use::OtherVariant };
        assert_eq!(used(&head, second, 1), expected_use, "{vary}: {first} / {second}");
        let other = stored_for(second, 200, &answer, &rules).expect("stored");
        assert!(expected || !head.vary.is_same(&other.vary), "{vary}: {first} / {second}");
        assert!(head.vary.is_same(&head.vary.clone()));
    }
}

#[test]
fn long_lists_are_compared_as_they_are() {
    let list = |order: &mut dyn Iterator<Item = u32>| {
        let names: Vec<_> = order.map(|number| format!("x{number}")).collect();
        format!("accept-language: {}", names.join(", "))
    };
    let (up, down) = (list(&mut (0..100)), list(&mut (0..100).rev()));
    let head =
        stored_for(&up, 200, "cache-control: max-age=60 | vary: accept-language", &Rules::default()).expect("stored");

    assert_eq!((used(&head, &up, 1), used(&head, &down, 1)), (Use::Fresh, Use::OtherVariant));
}

#[test]
fn some_requests_can_only_be_sent_on() {
    let rules = Rules { stores_query: true, ..Rules::default() };
    let passes = |method: &[u8], text: &str, rules: &Rules| {
        let (method, request) = (Method::from_bytes(method).expect("a method"), fields(text));
        Ask::of(&method, TARGET, &request, false, rules).passes(rules)
    };
    for (method, request, expected) in [
        (&b"GET"[..], "if-none-match: \"a\" | range: bytes=0-1 | if-range: \"a\"", None),
        (b"HEAD", "", None),
        (b"QUERY", "", None),
        (b"POST", "", Some(WhyPass::Method)),
        (b"get", "", Some(WhyPass::Method)),
        (b"GET", "if-match: \"a\"", Some(WhyPass::Precondition)),
        (b"GET", "if-unmodified-since: @0", Some(WhyPass::Precondition)),
    ] {
        assert_eq!(passes(method, request, &rules), expected, "{method:?} {request}");
    }
    assert_eq!(passes(b"QUERY", "", &Rules::default()), Some(WhyPass::Method));
}
