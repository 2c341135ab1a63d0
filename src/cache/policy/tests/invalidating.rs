//! RFC 9111, 4.4; RFC 9875, 3.

use super::super::{
    Ask, Invalidated, Rules, invalidates,
    testing::{TARGET, fields, status},
};
use crate::http::Method;

fn invalidated(method: &str, code: u16, answer: &str) -> Invalidated {
    let (method, request) = (Method::from_bytes(method.as_bytes()).expect("a method"), fields(""));
    invalidates(&Ask::of(&method, TARGET, &request, false, &Rules::default()), status(code), &fields(answer))
}

fn places(answer: &str) -> Vec<String> {
    let invalidated = invalidated("POST", 200, answer);
    let text = |place: &super::super::Place| {
        let target = place.at(TARGET);
        assert_eq!((target.secure, target.authority), (true, "a.example"));
        target.query.map_or_else(|| target.path.to_owned(), |query| format!("{}?{query}", target.path))
    };
    invalidated.places.iter().map(text).collect()
}

#[test]
fn a_change_that_was_made_invalidates_what_was_asked_for() {
    for (method, code, expected) in [
        ("POST", 200, true),
        ("PUT", 204, true),
        ("DELETE", 303, true),
        ("PATCH", 200, true),
        ("M-SEARCH", 200, true),
        ("get", 200, true),
        ("POST", 404, false),
        ("POST", 500, false),
        ("GET", 200, false),
        ("HEAD", 200, false),
        ("OPTIONS", 200, false),
        ("TRACE", 200, false),
        ("QUERY", 200, false),
    ] {
        assert_eq!(!invalidated(method, code, "").places.is_empty(), expected, "{method} {code}");
    }
}

#[test]
fn so_is_what_the_answer_names_at_the_same_origin() {
    for (named, expected) in [
        ("/b", Some("/b")),
        ("b?c=d", Some("/dir/b?c=d")),
        ("../b", Some("/b")),
        ("./b#there", Some("/dir/b")),
        ("?c", Some("/dir/x?c")),
        ("/", Some("/")),
        ("/%7eb", Some("/~b")),
        ("https://a.example/b", Some("/b")),
        ("HTTPS://A.Example:443/b?c", Some("/b?c")),
        ("https://a.example", Some("/")),
        ("https://a.example?c", Some("/?c")),
        ("//a.example/b", Some("/b")),
        ("/b:c", Some("/b:c")),
        ("https://a.example/dir/x?q=1", None),
        ("", None),
        ("#there", None),
        ("http://a.example/b", None),
        ("https://a.example:8443/b", None),
        ("https://b.example/b", None),
        ("https://a.example@b.example/b", None),
        ("https://u@a.example/b", None),
        ("//b.example/b", None),
        ("mailto:a@a.example", None),
        ("https:/b", None),
    ] {
        let both = places(&format!("location: {named} | content-location: {named}"));
        let expected: Vec<_> = ["/dir/x?q=1"].into_iter().chain(expected).collect();
        assert_eq!(both, expected, "{named}");
    }
    assert_eq!(places("location: /b | content-location: /c"), ["/dir/x?q=1", "/b", "/c"]);
    assert_eq!(places("location: /b | location: /c"), ["/dir/x?q=1"]);
}

#[test]
fn groups_are_invalidated_by_unsafe_methods_alone() {
    let answer = "cache-group-invalidation: \"a\", \"b\";x";
    assert_eq!(invalidated("POST", 200, answer).groups, ["a", "b"]);
    assert_eq!(invalidated("POST", 500, answer).groups, ["a", "b"]);
    assert_eq!(invalidated("GET", 200, answer), Invalidated::default());
    assert!(invalidated("POST", 200, "cache-group-invalidation: a").groups.is_empty());
}
