//! RFC 9111, 4.3.2; RFC 9110, 13, 14 and 15.4.5.

use super::super::{
    Answer, Ask, Head, Rules, answer,
    testing::{TARGET, at, fields, status, stored, stored_for},
};
use crate::http::Method;

const FRESH: &str = "cache-control: max-age=60 | ";

fn answered(head: &Head, method: &Method, request: &str, length: Option<u64>) -> Answer {
    let request = fields(request);
    answer(&Ask::of(method, TARGET, &request, false, &Rules::default()), head, length)
}

#[test]
fn clients_that_have_it_are_told_so() {
    for (stored_fields, request, expected) in [
        ("etag: \"a\"", "if-none-match: \"a\"", true),
        ("etag: \"a\"", "if-none-match: W/\"a\"", true),
        ("etag: W/\"a\"", "if-none-match: \"a\"", true),
        ("etag: \"a\"", "if-none-match: \"x\", \"a\", \"y\"", true),
        ("etag: \"a\"", "if-none-match: \"x\" | if-none-match: \"a\"", true),
        ("etag: \"a,b\"", "if-none-match: \"x\",\"a,b\"", true),
        ("etag: \"b\"", "if-none-match: \"a,\"b\"", false),
        ("etag: \"a\"", "if-none-match: *", true),
        ("", "if-none-match: *", true),
        ("etag: \"a\"", "if-none-match: \"b\"", false),
        ("etag: \"a\"", "if-none-match: a", false),
        ("", "if-none-match: \"a\"", false),
        ("etag: \"a\" | last-modified: @-50", "if-none-match: \"b\" | if-modified-since: @0", false),
        ("etag: \"a\" | last-modified: @-50", "if-none-match: \"a\" | if-modified-since: @-90", true),
        ("last-modified: @-50", "if-modified-since: @-50", true),
        ("last-modified: @-50", "if-modified-since: @-40", true),
        ("last-modified: @-50", "if-modified-since: @-51", false),
        ("last-modified: @-50", "if-modified-since: foo", false),
        ("last-modified: @-50", "if-modified-since: @0 | if-modified-since: @0", false),
        ("last-modified: Wed, 01 Jan 2020 00:00:00 GMT", "if-modified-since: Wednesday, 01-Jan-20 00:00:00 GMT", true),
        ("date: @-50", "if-modified-since: @-50", true),
        ("date: @-50", "if-modified-since: @-51", false),
    ] {
        let head = stored(&format!("{FRESH}{stored_fields}"));
        let expected = if expected { Answer::NotModified } else { Answer::Whole };
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(answered(&head, &method, request, Some(10)), expected, "{stored_fields}: {request}");
        }
    }
}

#[test]
fn only_what_is_there_can_be_unmodified() {
    let gone = stored_for("", 404, "cache-control: max-age=60 | etag: \"a\"", &Rules::default()).expect("stored");

    assert_eq!(answered(&gone, &Method::GET, "if-none-match: \"a\" | range: bytes=0-1", Some(10)), Answer::Whole);
}

#[test]
fn parts_are_cut_from_the_whole() {
    let part = |first, last| Answer::Part { first, last };
    let head = stored("cache-control: max-age=60 | etag: \"a\" | last-modified: @-50");
    for (request, length, expected) in [
        ("range: bytes=2-4", Some(10), part(2, 4)),
        ("range: bytes=-1", Some(10), part(9, 9)),
        ("range: bytes=10-", Some(10), Answer::Unsatisfiable),
        ("range: bytes=0-1, 3-4", Some(10), Answer::Whole),
        ("range: bytes=2-4", None, Answer::Whole),
        ("range: bytes=2-4", Some(0), Answer::Whole),
        ("range: bytes=2-4 | if-range: \"a\"", Some(10), part(2, 4)),
        ("range: bytes=2-4 | if-range: \"b\"", Some(10), Answer::Whole),
        ("range: bytes=2-4 | if-range: W/\"a\"", Some(10), Answer::Whole),
        ("range: bytes=2-4 | if-range: @-50", Some(10), part(2, 4)),
        ("range: bytes=2-4 | if-range: @-49", Some(10), Answer::Whole),
        ("range: bytes=2-4 | if-range: \"a\" | if-range: \"a\"", Some(10), Answer::Whole),
        ("range: bytes=99- | if-range: \"b\"", Some(10), Answer::Whole),
        ("range: bytes=2-4 | if-none-match: \"a\"", Some(10), Answer::NotModified),
    ] {
        assert_eq!(answered(&head, &Method::GET, request, length), expected, "{request}");
    }
    assert_eq!(answered(&head, &Method::HEAD, "range: bytes=2-4", Some(10)), Answer::Whole);
    assert_eq!(answered(&head, &Method::POST, "if-none-match: \"a\"", Some(10)), Answer::Whole);
}

#[test]
fn a_weak_validator_joins_no_parts() {
    for (stored_fields, condition) in [("etag: W/\"a\"", "W/\"a\""), ("last-modified: @0 | date: @0", "@0")] {
        let head = stored(&format!("{FRESH}{stored_fields}"));
        let request = format!("range: bytes=2-4 | if-range: {condition}");
        assert_eq!(answered(&head, &Method::GET, &request, Some(10)), Answer::Whole, "{request}");
    }
}

#[test]
fn what_is_sent_says_how_old_it_is_and_which_part() {
    let head = stored(
        "cache-control: max-age=60 | etag: \"a\" | date: @0 | age: 5 | content-type: a/b | vary: x | content-md5: x | x-other: 1",
    );
    for (answer, code, there, missing) in [
        (Answer::Whole, 200, "age: 12 | content-md5: x | x-other: 1 | date: @0", "content-range"),
        (
            Answer::NotModified,
            304,
            "age: 12 | etag: \"a\" | vary: x | date: @0 | cache-control: max-age=60",
            "content-type",
        ),
        (
            Answer::Part { first: 2, last: 4 },
            206,
            "age: 12 | content-range: bytes 2-4/10 | content-type: a/b",
            "content-md5",
        ),
        (Answer::Unsatisfiable, 416, "content-range: bytes */10", "etag"),
    ] {
        let (sent, headers) = answer.head(&head, Some(10), at(7));

        assert_eq!(sent, status(code));
        for (name, value) in fields(there).iter() {
            assert_eq!(headers.get(name), Some(value), "{code}: {name}");
        }
        assert!(!headers.contains_key(missing), "{code}: {missing}");
    }
}
