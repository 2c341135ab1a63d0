//! `Cache-Control` (RFC 9111, 5.2). Where it cannot be read, or says two things, it means what allows less.

use super::{ask::lower, targeted};
use crate::http::{HeaderMap, HeaderName, HeaderValue, header, headers};

/// What an answer says of its being stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub max_age: Option<u32>,
    pub s_maxage: Option<u32>,
    pub stale_while_revalidate: Option<u32>,
    pub stale_if_error: Option<u32>,
    pub no_cache: bool,
    pub no_store: bool,
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    /// What `no-cache` and `private` name: to be stored without.
    pub withheld: Vec<HeaderName>,
    /// A member makes no sense, and may have been meant to forbid something.
    pub unreadable: bool,
    /// They are of a targeted field, and all that counts: `Expires` does not (RFC 9213, 2.2).
    pub targeted: bool,
}

/// One member of the field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'h> {
    pub name: &'h [u8],
    pub argument: Argument<'h>,
}

/// What stands behind the equals sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument<'h> {
    /// There is none.
    Absent,
    /// As it is meant: without quotes, escapes as they are.
    Given(&'h [u8]),
    /// Something that cannot be read.
    Broken,
    /// Something that other members may be in: words without commas, a text that never ends, or has something behind it.
    Torn,
}

/// The most that a number of seconds says (RFC 9111, 1.2.2).
pub(super) const MOST_SECONDS: u32 = 1 << 31;

impl Directives {
    /// Those that count here: our own targeted field's, that of all caches of this kind, or `Cache-Control`'s (RFC 9213, 2.2).
    pub fn of(headers: &HeaderMap) -> Self {
        targeted::directives(headers).unwrap_or_else(|| Self::read(headers.get_all(header::CACHE_CONTROL)))
    }

    fn read<'h>(lines: impl Iterator<Item = &'h HeaderValue>) -> Self {
        let mut directives = Self::default();
        for member in members(lines) {
            directives.take(&member);
        }
        directives
    }

    fn take(&mut self, member: &Member<'_>) {
        if !headers::is_token(member.name) || member.argument == Argument::Torn {
            self.unreadable = true;
            return;
        }
        let is = |name: &str| member.name.eq_ignore_ascii_case(name.as_bytes());
        if let Some(number) = self.number(member.name) {
            // What is no number is none: stale (RFC 9111, 4.2.1).
            lower(number, member.argument.seconds().unwrap_or(0));
        } else if is("no-cache") || is("private") {
            self.restrict(is("private"), member.argument.fields());
        } else if let Some(flag) = self.flag(member.name) {
            *flag = true;
        }
    }

    /// The directive of this name that is a number.
    pub fn number(&mut self, name: &[u8]) -> Option<&mut Option<u32>> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("max-age") {
            Some(&mut self.max_age)
        } else if is("s-maxage") {
            Some(&mut self.s_maxage)
        } else if is("stale-while-revalidate") {
            Some(&mut self.stale_while_revalidate)
        } else if is("stale-if-error") {
            Some(&mut self.stale_if_error)
        } else {
            None
        }
    }

    /// The directive of this name that is there or not.
    pub fn flag(&mut self, name: &[u8]) -> Option<&mut bool> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("no-store") {
            Some(&mut self.no_store)
        } else if is("public") {
            Some(&mut self.public)
        } else if is("must-revalidate") {
            Some(&mut self.must_revalidate)
        } else if is("proxy-revalidate") {
            Some(&mut self.proxy_revalidate)
        } else if is("must-understand") {
            Some(&mut self.must_understand)
        } else if is("immutable") {
            Some(&mut self.immutable)
        } else {
            None
        }
    }

    /// `no-cache` and `private`: of the answer, or of those of its fields alone that they name.
    pub fn restrict(&mut self, is_private: bool, named: Option<Vec<HeaderName>>) {
        match named {
            Some(named) => self.withheld.extend(named),
            None if is_private => self.private = true,
            None => self.no_cache = true,
        }
    }

    /// An answer to somebody who is known may be given to others (RFC 9111, 3.5).
    pub fn is_for_all(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }
}

impl<'h> Argument<'h> {
    pub fn is_none(self) -> bool {
        self == Self::Absent
    }

    /// A number of seconds; more than can be meant is the most.
    pub fn seconds(self) -> Option<u32> {
        let Self::Given(digits) = self else { return None };
        seconds(digits)
    }

    /// A list of names; `None` if it is not one, or empty.
    fn fields(self) -> Option<Vec<HeaderName>> {
        let Self::Given(list) = self else { return None };
        fields(list)
    }
}

/// Digits, as a number of seconds.
pub(super) fn seconds(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    Some(digits.iter().fold(0, add).min(MOST_SECONDS))
}

/// Names of fields between commas; `None` if they are none.
pub(super) fn fields(list: &[u8]) -> Option<Vec<HeaderName>> {
    let named = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
    let named: Option<Vec<_>> = named.map(|name| HeaderName::from_bytes(name).ok()).collect();
    named.filter(|named| !named.is_empty())
}

/// The members over all lines of the field.
pub(super) fn members<'h>(lines: impl Iterator<Item = &'h HeaderValue>) -> impl Iterator<Item = Member<'h>> {
    lines.flat_map(|line| Members { rest: line.as_bytes() })
}

struct Members<'h> {
    rest: &'h [u8],
}

impl<'h> Iterator for Members<'h> {
    type Item = Member<'h>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.rest.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        self.rest = &self.rest[start..];
        let end = self.rest.iter().position(|byte| matches!(byte, b',' | b'=' | b'"')).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        let argument = match rest.first() {
            Some(b'=') => {
                self.rest = &rest[1..];
                self.argument()
            }
            // A text where none belongs. Its end is looked for, that nothing in it is taken for a member.
            Some(b'"') => return Some(Member { name: b"", argument: self.argument() }),
            _ => Argument::Absent,
        };
        let trimmed = name.trim_ascii_end();
        let is_apart = trimmed.len() < name.len() && matches!(argument, Argument::Given(_));
        Some(Member { name: trimmed, argument: if is_apart { Argument::Broken } else { argument } })
    }
}

impl<'h> Members<'h> {
    /// What stands here, up to the next comma.
    fn argument(&mut self) -> Argument<'h> {
        let Some(quoted) = self.rest.strip_prefix(b"\"") else {
            let token = self.up_to_comma().trim_ascii_end();
            if headers::is_token(token) {
                return Argument::Given(token);
            }
            let is_torn = token.trim_ascii_start().iter().any(|byte| matches!(byte, b' ' | b'\t' | b'"'));
            return if is_torn { Argument::Torn } else { Argument::Broken };
        };
        let mut at = 0;
        while quoted.get(at).is_some_and(|byte| *byte != b'"') {
            at += if quoted[at] == b'\\' { 2 } else { 1 };
        }
        self.rest = quoted.get(at + 1..).unwrap_or_default();
        let is_ended = at < quoted.len() && self.up_to_comma().trim_ascii().is_empty();
        if is_ended { Argument::Given(&quoted[..at]) } else { Argument::Torn }
    }

    fn up_to_comma(&mut self) -> &'h [u8] {
        let end = self.rest.iter().position(|byte| *byte == b',').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text
    }
}
