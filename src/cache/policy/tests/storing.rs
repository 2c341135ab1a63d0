//! RFC 9111, 3.

use super::super::{
    Ask, Rules, SetCookies, WhyNot, store,
    testing::{TARGET, ask, at, fields, status, stored, stored_for, times},
};
use crate::http::{HeaderValue, Method, header};

fn why(request: &str, code: u16, answer: &str) -> Option<WhyNot> {
    stored_for(request, code, answer, &Rules::default()).err()
}

#[test]
fn what_may_not_be_stored_is_not() {
    const FRESH: &str = "cache-control: max-age=60 | expires: @60";
    for (request, code, answer, expected) in [
        ("cache-control: no-store", 200, "", WhyNot::RequestNoStore),
        ("", 200, "cache-control: no-store", WhyNot::NoStore),
        ("", 200, "cache-control: No-StOrE", WhyNot::NoStore),
        ("", 200, "cache-control: no-store=x", WhyNot::NoStore),
        ("", 200, "cache-control: a , ,no-store", WhyNot::NoStore),
        ("", 200, "cache-control: private", WhyNot::Private),
        ("", 200, "cache-control: private=\"\"", WhyNot::Private),
        ("", 200, "cache-control: private=\"a b\"", WhyNot::Private),
        ("", 200, "cache-control: private=\"a\" | cache-control: private", WhyNot::Private),
        ("", 200, "cache-control: public, private", WhyNot::Private),
        ("", 200, "cdn-cache-control: private", WhyNot::Private),
        ("", 200, "cdn-cache-control: no-store", WhyNot::NoStore),
        ("", 200, "cache-control: a=\"b, no-store", WhyNot::Unreadable),
        ("", 200, "cache-control: private max-age=60", WhyNot::Unreadable),
        ("", 200, "cache-control: \"no-store", WhyNot::Unreadable),
        ("", 200, "cache-control: max-age=60 no-store", WhyNot::Unreadable),
        ("", 200, "cache-control: max-age=\"60\" no-store", WhyNot::Unreadable),
        ("", 200, "cache-control: a=b\"c, no-store\"", WhyNot::Unreadable),
        ("", 200, "cache-control: =, a", WhyNot::Unreadable),
        ("", 206, "", WhyNot::Status),
        ("", 304, "", WhyNot::Status),
        ("", 599, "cache-control: no-store, must-understand", WhyNot::NotUnderstood),
        ("", 200, "vary: *", WhyNot::Vary),
        ("", 200, "vary: a, *", WhyNot::Vary),
        ("", 200, "vary:  | vary: *, *", WhyNot::Vary),
        ("", 200, "vary: a b", WhyNot::Vary),
        ("", 200, "set-cookie: a=b", WhyNot::SetCookie),
        ("", 200, "set-cookie2: a=b", WhyNot::SetCookie),
        ("authorization: x", 200, "", WhyNot::Personal),
    ] {
        assert_eq!(why(request, code, &format!("{FRESH} | {answer}")), Some(expected), "{request} {code} {answer}");
    }
}

#[test]
fn what_is_of_no_use_is_not_stored() {
    for (code, answer, expected) in [
        (200, "", Some(WhyNot::Useless)),
        (200, "cache-control: max-age=0", Some(WhyNot::Useless)),
        (200, "cache-control: no-cache, max-age=60", Some(WhyNot::Useless)),
        (200, "cache-control: max-age=60 | age: 60", Some(WhyNot::Useless)),
        (201, "etag: \"a\"", Some(WhyNot::Status)),
        (200, "etag: \"a\"", None),
        (200, "last-modified: @-5 | expires: @-5", None),
        (200, "cache-control: no-cache | etag: \"a\"", None),
        (200, "cache-control: max-age=0, stale-while-revalidate=5", None),
        (200, "cache-control: max-age=0, stale-if-error=5", None),
    ] {
        assert_eq!(why("", code, answer), expected, "{code} {answer}");
    }
}

#[test]
fn any_final_status_is_stored_that_says_for_how_long() {
    for code in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599] {
        assert_eq!(why("", code, "cache-control: max-age=60"), None, "{code}");
    }
    assert_eq!(why("", 200, "cache-control: max-age=60, no-store, must-understand"), None);
}

#[test]
fn answers_to_those_who_are_known_are_theirs_unless_they_are_for_all() {
    for (answer, expected) in [
        ("cache-control: max-age=60, public", None),
        ("cache-control: max-age=60, must-revalidate", None),
        ("cache-control: s-maxage=60", None),
        ("cdn-cache-control: max-age=60 | cache-control: public", Some(WhyNot::Personal)),
        ("cache-control: max-age=60, proxy-revalidate", Some(WhyNot::Personal)),
        ("expires: @60", Some(WhyNot::Personal)),
    ] {
        assert_eq!(why("authorization: x", 200, answer), expected, "{answer}");
        let (rules, request) = (Rules::default(), fields(""));
        let known = Ask::of(&Method::GET, TARGET, &request, true, &rules);
        let stored = store(&known, status(200), &fields(answer), times(0), &rules);
        assert_eq!(stored.err(), expected, "{answer}, with another proof");
    }
}

#[test]
fn cookies_are_stored_only_where_somebody_says_so() {
    let kept = |cookies, answer: &str| {
        let rules = Rules { cookies, ..Rules::default() };
        let answer = format!("cache-control: max-age=60 | set-cookie: a=b | {answer}");
        stored_for("", 200, &answer, &rules).map(|head| head.fields.has("set-cookie"))
    };
    for (cookies, answer, expected) in [
        (SetCookies::Refused, "", Err(WhyNot::SetCookie)),
        (SetCookies::Refused, "cache-control: public", Ok(false)),
        (SetCookies::Refused, "cache-control: s-maxage=60", Ok(false)),
        (SetCookies::Refused, "cache-control: no-cache=\"set-cookie\"", Ok(false)),
        (SetCookies::Dropped, "", Ok(false)),
        (SetCookies::Dropped, "cache-control: private", Err(WhyNot::Private)),
        (SetCookies::Kept, "", Ok(true)),
        (SetCookies::Kept, "cache-control: no-cache=\"set-cookie\"", Ok(false)),
    ] {
        assert_eq!(kept(cookies, answer), expected, "{cookies:?} {answer}");
    }
}

#[test]
fn fields_that_may_not_be_stored_are_left_out() {
    let head = stored(
        "cache-control: max-age=60, no-cache=\"a, B\", private=c | a: 1 | b: 2 | c: 3 | d: 4 | d: 5 | connection: e, close | e: 6 | \
         keep-alive: x | proxy-authenticate: x | proxy-authentication-info: x | proxy-authorization: x | te: x | \
         transfer-encoding: x | upgrade: x | age: 1 | content-length: 5 | content-range: x | cache-status: far; hit",
    );

    let mut names: Vec<_> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "cache-status", "content-range", "d", "d", "date"]);
    assert_eq!(head.fields.get_all("d").collect::<Vec<_>>(), ["4", "5"]);
    assert_eq!(head.fields.get("date"), fields("date: @0").get("date"));
}

#[test]
fn a_date_that_is_there_stays() {
    for (given, expected) in [("@-20", "@-20"), ("foo", "@0")] {
        let head = stored(&format!("cache-control: max-age=60 | date: {given}"));
        assert_eq!(head.fields.get("date"), fields(&format!("date: {expected}")).get("date"));
    }
    assert!(stored("cache-control: max-age=60").fields.has("date"));
}

#[test]
fn other_methods_are_stored_only_where_that_means_something() {
    let rules = Rules { stores_query: true, ..Rules::default() };
    let request = fields("");
    let why = |method: &[u8], answer: &str, rules: &Rules| {
        let method = Method::from_bytes(method).expect("a method");
        let asked = Ask::of(&method, TARGET, &request, false, rules);
        store(&asked, status(200), &fields(answer), times(0), rules).err()
    };
    let fresh = "cache-control: max-age=60";
    for method in [&b"HEAD"[..], b"PUT", b"DELETE", b"OPTIONS", b"POST", b"get"] {
        assert_eq!(why(method, fresh, &rules), Some(WhyNot::Method), "{method:?}");
    }
    assert_eq!(why(b"QUERY", fresh, &rules), None);
    assert_eq!(why(b"QUERY", fresh, &Rules::default()), Some(WhyNot::Method));
    for (answer, expected) in [
        ("cache-control: max-age=60 | content-location: /dir/x?q=1", None),
        ("expires: @60 | content-location: https://A.example:443/dir/x?q=1", None),
        ("expires: @60 | content-location: ", None),
        ("cache-control: max-age=60 | content-location: /dir/x", Some(WhyNot::Method)),
        ("cache-control: max-age=60 | content-location: https://b.example/dir/x?q=1", Some(WhyNot::Method)),
        ("last-modified: @-5000 | content-location: /dir/x?q=1", Some(WhyNot::Method)),
    ] {
        assert_eq!(why(b"POST", answer, &rules), expected, "{answer}");
    }
}

#[test]
fn groups_are_those_that_can_be_read() {
    for (answer, expected) in [
        ("cache-groups: \"a\", \"B c\";x | cache-groups: \"d\"", vec!["a", "B c", "d"]),
        ("cache-groups: a", vec![]),
        ("cache-groups: \"a\", b", vec![]),
    ] {
        let head = stored(&format!("cache-control: max-age=60 | {answer}"));
        assert_eq!(head.groups.iter().map(|group| &**group).collect::<Vec<_>>(), expected, "{answer}");
    }
    let many: Vec<_> = (0..200).map(|number| format!("\"{number}\"")).collect();
    let head =
        stored(&format!("cache-control: max-age=60 | cache-groups: {}, \"{}\"", many.join(", "), "x".repeat(300)));
    assert_eq!(head.groups.len(), 128);
}

#[test]
fn a_head_holds_nothing_of_what_it_was_read_from() {
    let (rules, request) = (Rules::default(), fields(""));
    let read = bytes::Bytes::from(b"max-age=60".repeat(1000));
    let mut answer = fields("");
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_maybe_shared(read.slice(..10)).expect("a value"));

    let head = store(&ask(&request, &rules), status(200), &answer, times(0), &rules).expect("stored");
    drop(answer);

    assert!(read.is_unique(), "a small field holds a large buffer");
    assert_eq!(head.ttl(at(0)), 60);
    assert!(head.weight() > size_of_val(&head) + 10);
}
