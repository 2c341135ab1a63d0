//! What must hold for any answer and any request.

use proptest::prelude::*;

use super::super::{
    Ask, Head, Refreshed, Rules, Times, Use, lookup, refresh, store,
    testing::{TARGET, at},
};
use crate::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// Pieces of which fields are made: directives as they should be, and as they should not.
const PIECES: [&str; 36] = [
    "max-age",
    "s-maxage",
    "=",
    "=60",
    "=0",
    "=\"",
    "\"",
    "\\",
    ",",
    ", ",
    " ",
    "no-store",
    "private",
    "no-cache",
    "public",
    "=\"a\"",
    "must-revalidate",
    "proxy-revalidate",
    "stale-while-revalidate=30",
    "stale-if-error=30",
    "immutable",
    "max-stale",
    "min-fresh=5",
    "only-if-cached",
    "99999999999999999999",
    "-1",
    "*",
    "a",
    "\"a\"",
    "W/",
    "Thu, 18 Aug 2050 02:01:18 GMT",
    "bytes=",
    "0-",
    "(",
    ")",
    ";",
];

const NAMES: [&str; 18] = [
    "cache-control",
    "cache-control",
    "cache-control",
    "cdn-cache-control",
    "aqueduct-cache-control",
    "expires",
    "date",
    "age",
    "vary",
    "etag",
    "last-modified",
    "set-cookie",
    "authorization",
    "pragma",
    "range",
    "if-range",
    "if-none-match",
    "cache-groups",
];

fn any_fields() -> impl Strategy<Value = HeaderMap> {
    let value = prop_oneof![
        4 => prop::collection::vec(prop::sample::select(&PIECES[..]), 0..8).prop_map(|pieces| pieces.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec((prop::sample::select(&NAMES[..]), value), 0..7).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    })
}

fn any_status() -> impl Strategy<Value = StatusCode> {
    prop_oneof![3 => Just(200), 1 => 100_u16..1000].prop_map(|code| StatusCode::from_u16(code).expect("a status"))
}

fn any_times() -> impl Strategy<Value = Times> {
    (0_u64..5000, 0_u64..5000).prop_map(|(asked, answered)| Times { asked: at(asked), answered: at(answered) })
}

fn says(headers: &HeaderMap, text: &str) -> bool {
    let mut lines = headers.get_all("cache-control");
    lines.any(|line| line.as_bytes().to_ascii_lowercase().windows(text.len()).any(|part| part == text.as_bytes()))
}

/// No quotes hide anything, and no targeted field overrules it.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all("cache-control");
    !headers.contains_key("cdn-cache-control")
        && !headers.contains_key("aqueduct-cache-control")
        && lines.all(|line| !line.as_bytes().contains(&b'"'))
}

fn check(
    request: &HeaderMap,
    status: StatusCode,
    answer: &HeaderMap,
    times: Times,
    seconds: u64,
) -> Result<Option<Head>, TestCaseError> {
    let rules = Rules::default();
    let ask = Ask::of(&Method::GET, TARGET, request, false, &rules);
    let Ok(head) = store(&ask, status, answer, times, &rules) else { return Ok(None) };
    prop_assert!(!ask.wishes.no_store);
    prop_assert!(!head.fields.has("age") && head.fields.has("date"));
    prop_assert!(!head.fields.has("set-cookie"));
    if is_plain(answer) {
        let listed = |name: &str| {
            let lines = answer.get_all("cache-control");
            lines
                .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
                .any(|member| member.trim_ascii() == name.as_bytes())
        };
        prop_assert!(!listed("no-store") && !listed("private"));
        if request.contains_key("authorization") {
            prop_assert!(["public", "s-maxage", "must-revalidate"].iter().any(|name| says(answer, name)));
        }
    }
    let now = at(seconds);
    match lookup(&ask, &head, now) {
        Use::Fresh => {
            prop_assert!(head.ttl(now) >= 0, "{}", head.ttl(now));
        }
        Use::Stale => prop_assert!(ask.wishes.max_stale.is_some()),
        Use::WhileRevalidating => prop_assert!(says(answer, "stale-while-revalidate") || !is_plain(answer)),
        Use::Validate { stands_in: true, .. } => {
            prop_assert!(says(answer, "stale-if-error") || !is_plain(answer) || ask.wishes.stale_if_error.is_some());
        }
        Use::Validate { .. } | Use::Impersonal => {}
        Use::OtherVariant => prop_assert!(false, "it is the request that it was stored for"),
    }
    Ok(Some(head))
}

proptest! {
    #[test]
    fn nothing_is_stored_or_used_without_permission(
        request in any_fields(),
        answer in any_fields(),
        status in any_status(),
        times in any_times(),
        seconds in 0_u64..10_000,
    ) {
        check(&request, status, &answer, times, seconds)?;
    }

    #[test]
    fn an_answer_only_grows_older(answer in any_fields(), times in any_times(), one in 0_u64..100_000, more in 0_u64..100_000) {
        let request = HeaderMap::new();
        if let Some(head) = check(&request, StatusCode::OK, &answer, times, one)? {
            let one = one.max(5000);
            prop_assert!(head.age(at(one)) <= head.age(at(one + more)));
            prop_assert!(head.ttl(at(one)) >= head.ttl(at(one + more)));
            let (rules, later) = (Rules::default(), at(one + more));
            let ask = Ask::of(&Method::GET, TARGET, &request, false, &rules);
            let was_stale = lookup(&ask, &head, at(one)) != Use::Fresh;
            prop_assert!(!was_stale || lookup(&ask, &head, later) != Use::Fresh);
        }
    }

    #[test]
    fn a_304_gives_no_permission_that_the_answer_would_not(
        request in any_fields(),
        answer in any_fields(),
        update in any_fields(),
        times in any_times(),
    ) {
        let rules = Rules::default();
        if let Some(head) = check(&request, StatusCode::OK, &answer, times, 6000)? {
            let ask = Ask::of(&Method::GET, TARGET, &request, false, &rules);
            let times = Times { asked: at(6000), answered: at(6001) };
            if let Refreshed::Kept(head) = refresh(&ask, &head, &update, times, &rules) {
                let merged = head.fields.to_map(&[]);
                prop_assert!(store(&ask, head.status, &merged, times, &rules).is_ok());
                prop_assert_ne!(lookup(&ask, &head, at(6001)), Use::OtherVariant);
            }
        }
    }
}
