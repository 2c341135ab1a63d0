//! What the tests of the rules share. Fields are written as `name: value | name: value`; a value `@-5` is the date five seconds
//! before [`at`]`(0)`.

use std::time::{Duration, SystemTime};

use super::{Ask, Head, Rules, Times, Use, WhyNot, lookup, store};
use crate::{
    cache::key::Target,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
};

pub(super) const TARGET: Target<'static> =
    Target { secure: true, authority: "a.example", path: "/dir/x", query: Some("q=1") };

/// So many seconds after all tests begin.
pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
}

/// The endpoint was asked and has answered at once, so many seconds after.
pub(super) fn times(seconds: u64) -> Times {
    Times { asked: at(seconds), answered: at(seconds) }
}

pub(super) fn fields(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split('|').map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a name and a value");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(&dated(value.trim())).expect("a value"));
    }
    headers
}

fn dated(value: &str) -> String {
    let Some(offset) = value.strip_prefix('@') else { return value.to_owned() };
    let offset: i64 = offset.parse().expect("seconds");
    let by = Duration::from_secs(offset.unsigned_abs());
    httpdate::fmt_http_date(if offset < 0 { at(0) - by } else { at(0) + by })
}

pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).expect("a status")
}

/// A GET with these fields.
pub(super) fn ask<'r>(headers: &'r HeaderMap, rules: &Rules) -> Ask<'r> {
    Ask::of(&Method::GET, TARGET, headers, false, rules)
}

/// What is stored of this answer to a GET with these fields.
pub(super) fn stored_for(request: &str, code: u16, answer: &str, rules: &Rules) -> Result<Head, WhyNot> {
    store(&ask(&fields(request), rules), status(code), &fields(answer), times(0), rules)
}

/// What is stored of this 200 to a plain GET.
pub(super) fn stored(answer: &str) -> Head {
    stored_for("", 200, answer, &Rules::default()).unwrap_or_else(|why| panic!("{answer}: {why:?}"))
}

/// How what is stored is used for a GET with these fields, so many seconds after.
pub(super) fn used(head: &Head, request: &str, seconds: u64) -> Use {
    lookup(&ask(&fields(request), &Rules::default()), head, at(seconds))
}
