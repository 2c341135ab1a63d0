//! Entries for the tests of what keeps them.

use std::sync::Arc;

use super::{
    content::Content,
    entry::{Entry, moment, now},
    key::{Key, KeyRules, Target},
    policy::{self, Ask, Rules, Times},
};
use crate::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn target(path: &str) -> Target<'_> {
    Target { secure: false, authority: "a.example", path, query: None }
}

/// Of a path; with `x-key` part of it.
pub fn key(path: &str, x_key: Option<&str>) -> Key {
    let headers = x_key.into_iter().map(|_| HeaderName::from_static("x-key")).collect();
    let lines: Vec<_> = x_key.into_iter().map(|value| ("x-key", value)).collect();
    Key::of(&KeyRules { headers, ..KeyRules::default() }, target(path), &fields(&lines))
}

/// A whole one of so many bytes, for requests that have this in `x-a`.
pub fn entry(bytes: usize, x_a: &str) -> Arc<Entry> {
    answered(bytes, x_a, &[("cache-control", "max-age=60"), ("vary", "x-a")])
}

/// One with the tag `t-` and in the group `g-`, each with the path behind it.
pub fn tagged(path: &str) -> Arc<Entry> {
    let (tag, group) = (format!("all t-{path}"), format!("\"g-{path}\""));
    answered(5, "a", &[("cache-control", "max-age=60"), ("surrogate-key", &tag), ("cache-groups", &group)])
}

/// One that is for all, and varies by this field of the request.
pub fn varied(field: &'static str, value: &str) -> Arc<Entry> {
    answered_to(5, &[(field, value)], &[("cache-control", "public, max-age=60"), ("vary", field)])
}

fn answered(bytes: usize, x_a: &str, answer: &[(&'static str, &str)]) -> Arc<Entry> {
    answered_to(bytes, &[("x-a", x_a)], answer)
}

fn answered_to(bytes: usize, request: &[(&'static str, &str)], answer: &[(&'static str, &str)]) -> Arc<Entry> {
    let (request, method) = (fields(request), Method::GET);
    let rules = Rules::default();
    let ask = Ask::of(&method, target("/"), &request, false, &rules);
    let answer = fields(answer);
    let times = Times { asked: now(), answered: now() };
    let head = policy::store(&ask, StatusCode::OK, &answer, times, &rules).expect("it may be stored");
    let (content, writer) = Content::begin(None);
    writer.push(&vec![b'.'; bytes]);
    assert!(writer.finish(None));
    Entry::new(head, content, moment())
}
