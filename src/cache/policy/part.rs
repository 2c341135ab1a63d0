//! Parts of one answer (RFC 9110, 14): where they stand in it, and whether two are of the same one (RFC 9111, 3.4).

use super::{
    Head,
    answer::NOT_WITH_206,
    freshness::date,
    range::{first_asked_for, number},
    tags,
};
use crate::http::{HeaderMap, header};

/// Where a part stands in the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its first byte.
    pub first: u64,
    /// Its last one.
    pub last: u64,
    /// How long the whole is.
    pub total: u64,
}

impl Part {
    /// What an answer with 206 says; `None` if it is not one part of bytes, or leaves open of how many.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::CONTENT_RANGE);
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let (unit, rest) = line.to_str().ok()?.split_once(' ')?;
        let (range, total) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let [first, last, total] = [first, last, total].map(|digits| number(digits.as_bytes()));
        let part = Self { first: first?, last: last?, total: total? };
        (unit.eq_ignore_ascii_case("bytes") && part.first <= part.last && part.last < part.total).then_some(part)
    }

    /// There is nothing else.
    pub fn is_all(self) -> bool {
        self.first == 0 && self.last + 1 == self.total
    }

    /// How long the whole is, as an answer says that there is no such part of it.
    pub fn total_without(headers: &HeaderMap) -> Option<u64> {
        number(headers.get(header::CONTENT_RANGE)?.as_bytes().strip_prefix(b"bytes */")?)
    }

    /// How long it is.
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// Leaves of the fields of a part those that are of the whole.
pub fn make_whole(headers: &mut HeaderMap) {
    for name in NOT_WITH_206 {
        headers.remove(name);
    }
}

/// The first byte that a client asks for, as far as that can be told while nobody knows how many there are.
pub fn first_wanted(headers: &HeaderMap) -> u64 {
    first_asked_for(headers).unwrap_or(0)
}

impl Head {
    /// Parts of the answer can be told from those of another one.
    pub fn identifies_parts(&self) -> bool {
        self.strong_tag().is_some() || self.modified_for_sure().is_some()
    }

    /// These are the fields of a part of the very same answer.
    pub fn is_of_same(&self, part: &HeaderMap) -> bool {
        let has_same_tag = self.tag.as_ref() == part.get(header::ETAG);
        let is_same = has_same_tag
            && (self.strong_tag().is_some() || {
                let modified = self.modified_for_sure();
                modified.is_some() && modified == date(part, &header::LAST_MODIFIED)
            });
        is_same && self.is_coded_as(part)
    }

    /// These are fields of another answer for sure: they say so. What says nothing may be of any.
    pub fn is_of_another(&self, fields: &HeaderMap) -> bool {
        match (&self.tag, fields.get(header::ETAG)) {
            (Some(own), Some(other)) => own != other,
            _ => match (self.terms.modified, date(fields, &header::LAST_MODIFIED)) {
                (Some(own), Some(other)) => own != other,
                _ => false,
            },
        }
    }

    /// In the same coding.
    pub fn is_coded_as(&self, fields: &HeaderMap) -> bool {
        self.fields.get_all(header::CONTENT_ENCODING).eq(fields.get_all(header::CONTENT_ENCODING))
    }

    fn strong_tag(&self) -> Option<&[u8]> {
        self.tag.as_ref().map(|tag| tag.as_bytes()).filter(|tag| tags::is_strong(tag))
    }

    /// It cannot have been modified once more in the same second (RFC 9110, 8.8.2.2).
    fn modified_for_sure(&self) -> Option<u64> {
        self.terms.modified.filter(|modified| modified + 1_000 <= self.terms.dated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::policy::testing, http::HeaderValue};

    #[test]
    fn a_part_says_where_it_stands_or_is_none() {
        for (text, expected) in [
            ("bytes 0-9/20", Some((0, 9, 20))),
            ("Bytes 10-19/20", Some((10, 19, 20))),
            ("bytes 0-0/1", Some((0, 0, 1))),
            ("bytes 0-9/*", None),
            ("bytes */20", None),
            ("bytes 9-0/20", None),
            ("bytes 0-20/20", None),
            ("bytes 0-9", None),
            ("bytes=0-9/20", None),
            ("bytes -9/20", None),
            ("bytes +0-9/20", None),
            ("pages 0-9/20", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(header::CONTENT_RANGE, HeaderValue::from_static(text));
            let part = Part::of(&headers).map(|part| (part.first, part.last, part.total));
            assert_eq!(part, expected, "{text}");
            headers.append(header::CONTENT_RANGE, HeaderValue::from_static(text));
            assert_eq!(Part::of(&headers), None, "twice {text}");
        }
        let part = Part { first: 0, last: 9, total: 10 };
        assert!(part.is_all() && !Part { total: 11, ..part }.is_all() && part.length() == 10);
    }

    #[test]
    fn parts_are_of_one_answer_if_it_could_be_no_other() {
        let (tag, other, weak, old, new) =
            ("etag: \"a\"", "etag: \"b\"", "etag: W/\"a\"", "last-modified: @-5", "last-modified: @0");
        let (weak_old, coded) = (format!("{weak} | {old}"), format!("{tag} | content-encoding: gzip"));
        let of = |lines: &str| testing::stored(&format!("cache-control: max-age=60 | date: @0 | {lines}"));
        for (one, two, expected) in [
            (tag, tag, true),
            (tag, other, false),
            (tag, weak, false),
            (tag, old, false),
            (weak, weak, false),
            (old, old, true),
            (new, new, false),
            (old, new, false),
            (&weak_old, &weak_old, true),
            (&weak_old, old, false),
            (tag, &coded, false),
            ("", "", false),
        ] {
            assert_eq!(of(one).is_of_same(&of(two).fields.to_map(&[])), expected, "{one} / {two}");
        }
        for (lines, expected) in [(tag, true), (old, true), (&weak_old, true), (weak, false), (new, false), ("", false)]
        {
            assert_eq!(of(lines).identifies_parts(), expected, "{lines}");
        }
    }

    #[test]
    fn what_a_client_wants_first_is_known_if_it_says_it() {
        for (line, expected) in [
            ("range: bytes=7-9", 7),
            ("range: bytes=7-", 7),
            ("range: bytes=-7", 0),
            ("range: bytes=7-8,9-9", 0),
            ("", 0),
        ] {
            assert_eq!(first_wanted(&testing::fields(line)), expected, "{line}");
        }
    }
}
