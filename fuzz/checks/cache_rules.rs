//! Whatever client and endpoint write, the rules of the cache come to a decision, and it is one that can be carried out.

use std::time::{Duration, SystemTime};

use aqueduct::{
    cache::{
        key::{Key, KeyRules, Parameter, QueryRule, Target},
        policy::{self, Answer, Ask, Refreshed, Rules, Times, Use},
    },
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
};

const NAMES: [&str; 24] = [
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
    "if-modified-since",
    "cache-groups",
    "cache-group-invalidation",
    "location",
    "content-location",
    "connection",
    "content-length",
    "cookie",
    "x-a",
];

/// A byte for what is asked, one for the status, then lines: a byte for the name, and the value; the request's up to an empty one.
pub fn check(data: &[u8]) {
    let [choice, code, lines @ ..] = data else { return };
    let mut lines = lines.split(|byte| *byte == b'\n');
    let request = fields(lines.by_ref().take_while(|line| !line.is_empty()));
    let answer = fields(lines.by_ref().take_while(|line| !line.is_empty()));
    let update = fields(lines);
    let status =
        StatusCode::from_u16([200, 404, 599, 100 + u16::from(*code)][usize::from(*code) % 4]).expect("a status");
    let method = [Method::GET, Method::POST, Method::HEAD][usize::from(choice >> 6) % 3].clone();
    let target = Target { secure: choice & 1 == 0, authority: "a.example", path: "/dir/x", query: Some("b=1&a=2") };
    let rules = Rules { obeys_clients: choice & 2 == 0, ..Rules::default() };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let times = Times { asked: now, answered: now + Duration::from_millis(u64::from(*code)) };

    check_key(&request, target);
    let ask = Ask::of(&method, target, &request, choice & 4 == 0, &rules);
    for place in &policy::invalidates(&ask, status, &answer).places {
        assert!(place.path.starts_with('/'), "{place:?}");
    }
    let Ok(head) = policy::store(&ask, status, &answer, times, &rules) else { return };
    assert!(!ask.wishes.no_store && head.fields.has("date"), "{head:?}");
    for seconds in [0, 1, 60, 100_000] {
        let now = now + Duration::from_secs(seconds);
        let usage = policy::lookup(&ask, &head, now);
        assert!(usage != Use::OtherVariant, "it is the request that it is stored for");
        assert!(usage != Use::Fresh || head.ttl(now) >= 0);
        for length in [None, Some(0), Some(10)] {
            let sent = policy::answer(&ask, &head, length);
            if let Answer::Part { first, last } = sent {
                assert!(first <= last && Some(last) < length, "{sent:?} of {length:?}");
            }
            sent.head(&head, length, now);
        }
    }
    let mut conditions = request.clone();
    assert_eq!(policy::validate(&mut conditions, &head), head.has_validator());
    if let Refreshed::Kept(head) = policy::refresh(&ask, &head, &update, times, &rules) {
        assert!(head.vary.is_same(&head.vary.clone()) && head.vary.matches(&request));
    }
}

fn check_key(request: &HeaderMap, target: Target<'_>) {
    for query in [QueryRule::Whole, QueryRule::Ignored, QueryRule::Only(vec![Parameter::Exactly("a".to_owned())])] {
        let text = request.get("x-a").and_then(|value| value.to_str().ok()).or(target.query);
        let rules = KeyRules {
            query,
            sorts: true,
            headers: vec![HeaderName::from_static("x-a")],
            cookies: vec!["c".to_owned()],
        };
        let key = Key::of(&rules, Target { query: text, ..target }, request);
        assert!(key.as_bytes().starts_with(key.target()) && !key.target().contains(&b'\n'), "{key:?}");
    }
}

fn fields<'d>(lines: impl Iterator<Item = &'d [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.take(16) {
        let Some((name, value)) = line.split_first() else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]), value);
        }
    }
    headers
}
