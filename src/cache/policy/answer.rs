//! What is sent of a stored answer: all of it, a part, or that it has not changed.

use std::time::SystemTime;

use super::{Ask, Head, freshness::http_date, range::Range, tags};
use crate::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// What is sent of a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// All of it.
    Whole,
    /// 304: the client has it (RFC 9111, 4.3.2).
    NotModified,
    /// 206: from the first to the last byte, both included.
    Part {
        /// The first byte.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// 416: nothing of what it asks for is there.
    Unsatisfiable,
}

/// What this request gets of a stored answer that may be used for it. `length` is that of its whole body; while it is not known, there
/// are no parts.
pub fn answer(ask: &Ask<'_>, head: &Head, length: Option<u64>) -> Answer {
    // What was posted was done, and this is what came of it.
    if *ask.method == Method::POST {
        return Answer::Whole;
    }
    if head.status.is_success() && is_not_modified(ask, head) {
        return Answer::NotModified;
    }
    let Some(length) = length else { return Answer::Whole };
    let is_for_parts = *ask.method == Method::GET && head.status == StatusCode::OK;
    if !is_for_parts || !ask.headers.contains_key(header::RANGE) || !if_range_holds(ask.headers, head) {
        return Answer::Whole;
    }
    match Range::of(ask.headers, length) {
        Range::Ignored => Answer::Whole,
        Range::Part { first, last } => Answer::Part { first, last },
        Range::Unsatisfiable => Answer::Unsatisfiable,
    }
}

impl Answer {
    /// What is sent before the body. The edge writes how long that is.
    pub fn head(self, head: &Head, length: Option<u64>, now: SystemTime) -> (StatusCode, HeaderMap) {
        let all = || length.map_or_else(|| "*".to_owned(), |length| length.to_string());
        let (status, mut headers) = match self {
            Self::Whole => (head.status, head.fields.to_map(&[])),
            Self::NotModified => (StatusCode::NOT_MODIFIED, head.fields.to_map(&NOT_WITH_304)),
            Self::Part { first, last } => {
                let mut headers = head.fields.to_map(&NOT_WITH_206);
                headers.insert(header::CONTENT_RANGE, value(&format!("bytes {first}-{last}/{}", all())));
                (StatusCode::PARTIAL_CONTENT, headers)
            }
            Self::Unsatisfiable => {
                let mut headers = HeaderMap::new();
                headers.insert(header::CONTENT_RANGE, value(&format!("bytes */{}", all())));
                (StatusCode::RANGE_NOT_SATISFIABLE, headers)
            }
        };
        headers.insert(header::AGE, age_value(head, now));
        (status, headers)
    }
}

fn age_value(head: &Head, now: SystemTime) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    value(digits.format(head.age(now).as_secs()))
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and letters")
}

/// What a 304 does not tell again (RFC 9110, 15.4.5).
const NOT_WITH_304: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("accept-ranges"),
];

/// What is of all the bytes that were sent.
pub(super) const NOT_WITH_206: [HeaderName; 3] =
    [header::CONTENT_RANGE, HeaderName::from_static("content-md5"), HeaderName::from_static("content-digest")];

/// RFC 9110, 13.2.2: dates count where there are no tags.
fn is_not_modified(ask: &Ask<'_>, head: &Head) -> bool {
    let headers = ask.headers;
    if headers.contains_key(header::IF_NONE_MATCH) {
        return tags::listed(headers.get_all(header::IF_NONE_MATCH)).any(|tag| tag == b"*" || head.has_tag(tag));
    }
    let mut dates = headers.get_all(header::IF_MODIFIED_SINCE);
    let (Some(since), None) = (dates.next(), dates.next()) else { return false };
    // What was not modified at a time that is known was so when it was made (RFC 9111, 4.3.2).
    http_date(since).is_some_and(|since| head.terms.modified.unwrap_or(head.terms.dated) <= since)
}

/// The client has the rest of the very same bytes (RFC 9110, 13.1.5).
fn if_range_holds(headers: &HeaderMap, head: &Head) -> bool {
    let mut lines = headers.get_all(header::IF_RANGE);
    let Some(line) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    let text = line.as_bytes();
    if text.starts_with(b"\"") || text.starts_with(b"W/") {
        return head.tag.as_ref().is_some_and(|tag| tags::is_strongly_same(tag.as_bytes(), text));
    }
    // A date is as good as a tag if it could not have been modified once more in that second (RFC 9110, 8.8.2.2).
    let is_strong = |modified: &u64| modified + 1_000 <= head.terms.dated;
    head.terms.modified.filter(is_strong).is_some_and(|modified| http_date(line) == Some(modified))
}
