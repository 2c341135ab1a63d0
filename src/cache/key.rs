//! What an answer is stored under.
//!
//! A key is text, and compared whole: no two requests share one because a digest of both is the same.

use std::{
    fmt::{self, Write},
    iter,
};

use aws_lc_rs::digest;
use smallvec::SmallVec;

use crate::http::{HeaderMap, HeaderName, cookies, header, query};

/// What an answer is stored under: scheme, authority, path and query, and what rules add. Made without an allocation while it is
/// not long.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    text: SmallVec<[u8; INLINE]>,
    /// So much of it is the target.
    target: usize,
}

/// Most keys are shorter.
const INLINE: usize = 128;

/// Where a request goes, normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'t> {
    /// It came encrypted.
    pub secure: bool,
    /// Name and port, in lower case.
    pub authority: &'t str,
    /// Still percent-encoded, beginning with a slash.
    pub path: &'t str,
    /// Without its question mark.
    pub query: Option<&'t str>,
}

impl Target<'_> {
    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// What of a request is in its key.
#[derive(Debug, Clone, Default)]
pub struct KeyRules {
    /// Which parameters of the query.
    pub query: QueryRule,
    /// They are the same in any order. That of several with one name stays.
    pub sorts: bool,
    /// Fields that are part of it, whether answers name them in `Vary` or not.
    pub headers: Vec<HeaderName>,
    /// The same for cookies.
    pub cookies: Vec<String>,
}

/// Which parameters of a query make a difference.
#[derive(Debug, Clone, Default)]
pub enum QueryRule {
    /// All, as they are written.
    #[default]
    Whole,
    /// None.
    Ignored,
    /// All but these.
    Without(Vec<Parameter>),
    /// None but these.
    Only(Vec<Parameter>),
}

/// The name of a parameter, as forms read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// This one.
    Exactly(String),
    /// All that begin so.
    Beginning(String),
}

/// What is between the parts of a key: neither a target nor a field can have one in it.
const PART: u8 = b'\n';
/// The same, after each of several values.
const VALUE: u8 = 0;

impl Key {
    /// That of a request without a body.
    pub fn of(rules: &KeyRules, target: Target<'_>, headers: &HeaderMap) -> Self {
        let mut text = SmallVec::new();
        text.extend_from_slice(target.scheme().as_bytes());
        text.extend_from_slice(b"://");
        text.extend_from_slice(target.authority.as_bytes());
        text.extend_from_slice(target.path.as_bytes());
        if let Some(query) = target.query {
            rules.put_query(query.as_bytes(), &mut text);
        }
        let target = text.len();
        let mut key = Self { text, target };
        for name in &rules.headers {
            key.put(name.as_str().as_bytes(), headers.get_all(name).map(|value| value.as_bytes()));
        }
        for name in &rules.cookies {
            key.put(
                header::COOKIE.as_str().as_bytes(),
                iter::once(name.as_bytes()).chain(cookies::values(headers, name)),
            );
        }
        key
    }

    /// That of a QUERY with this body: what it is, and how it is to be read, is part of it.
    #[must_use]
    pub fn with_query(mut self, headers: &HeaderMap, body: &[u8]) -> Self {
        let meaning = [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE];
        for name in &meaning {
            self.put(name.as_str().as_bytes(), headers.get_all(name).map(|value| value.as_bytes()));
        }
        let digest = sha256(&[body]);
        self.text.push(PART);
        self.text.extend_from_slice(b"QUERY=");
        for byte in digest {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            self.text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        self
    }

    /// That of a piece of an answer: an item of its own, which no request asks for.
    pub(super) fn of_piece(target: &[u8], answer: u64, piece: u64) -> Self {
        let mut text = SmallVec::from_slice(target);
        text.push(PART);
        text.extend_from_slice(b"piece=");
        for number in [answer, piece] {
            text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            text.push(VALUE);
        }
        Self { target: text.len(), text }
    }

    /// It is that of a piece.
    pub fn is_of_piece(&self) -> bool {
        is_of_piece(self.target())
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The same for what is kept outside of this process: what clients have said in fields and cookies is there as a digest of all of it
    /// (SHA-256), so that nobody can read it, and no two keys are the same by accident or design.
    pub fn sealed(&self) -> Vec<u8> {
        let (target, rest) = self.text.split_at(self.target);
        let mut sealed = target.to_vec();
        if !rest.is_empty() {
            sealed.push(PART);
            sealed.extend_from_slice(&sha256(&[rest]));
        }
        sealed
    }

    /// The target in it, such as `https://shop.example/a?b=c`: what is invalidated and purged, with all keys that begin so and end
    /// there, or go on with a line feed.
    pub fn target(&self) -> &[u8] {
        &self.text[..self.target]
    }

    /// The names of the fields that are part of it: of cookies, `cookie`.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let parts = self.text[self.target..].split(|byte| *byte == PART);
        parts.filter_map(|part| part.split(|byte| *byte == b'=').next())
    }

    /// One more part: nothing is not the same as an empty value.
    fn put<'v>(&mut self, name: &[u8], values: impl Iterator<Item = &'v [u8]>) {
        self.text.push(PART);
        self.text.extend_from_slice(name);
        self.text.push(b'=');
        for value in values {
            self.text.extend_from_slice(value);
            self.text.push(VALUE);
        }
    }
}

/// Of these, one behind the other.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("it has so many bytes")
}

/// This target is that of a piece.
pub(super) fn is_of_piece(target: &[u8]) -> bool {
    target.contains(&PART)
}

impl fmt::Debug for Key {
    /// Fields and cookies may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(")?;
        f.write_str(&String::from_utf8_lossy(self.target()))?;
        f.write_char(')')
    }
}

impl KeyRules {
    fn put_query(&self, query: &[u8], text: &mut SmallVec<[u8; INLINE]>) {
        if matches!(self.query, QueryRule::Ignored) {
            return;
        }
        let is_whole = matches!(self.query, QueryRule::Whole) && !self.sorts;
        // Where semicolons separate parameters, another one may hide behind an ignored name: nothing is left out there.
        if is_whole || query.contains(&b';') || query.windows(3).any(|bytes| bytes.eq_ignore_ascii_case(b"%3b")) {
            text.push(b'?');
            text.extend_from_slice(query);
            return;
        }
        let counts = |pair: &&[u8]| self.query.counts(&name_of(pair));
        let mut pairs: SmallVec<[&[u8]; 16]> = query.split(|byte| *byte == b'&').filter(counts).collect();
        if self.sorts {
            pairs.sort_by(|one, other| name_of(one).cmp(&name_of(other)));
        }
        for (index, pair) in pairs.iter().enumerate() {
            text.push(if index == 0 { b'?' } else { b'&' });
            text.extend_from_slice(pair);
        }
    }
}

fn name_of(pair: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
    query::form_text(&pair[..end])
}

impl QueryRule {
    /// All of it makes a difference.
    pub fn has_all(&self) -> bool {
        matches!(self, Self::Whole)
    }

    /// This parameter does.
    pub fn has(&self, name: &str) -> bool {
        self.counts(name.as_bytes())
    }

    fn counts(&self, name: &[u8]) -> bool {
        let is_one_of = |names: &[Parameter]| names.iter().any(|parameter| parameter.is(name));
        match self {
            Self::Whole => true,
            Self::Ignored => false,
            Self::Without(names) => !is_one_of(names),
            Self::Only(names) => names.iter().any(|parameter| parameter.may_be(name)),
        }
    }
}

impl Parameter {
    /// As it is written: `utm_*` is all that begin so. `None` if it is no name.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            Some(beginning) if !beginning.contains('*') => Some(Self::Beginning(beginning.to_owned())),
            None if !text.is_empty() && !text.contains('*') => Some(Self::Exactly(text.to_owned())),
            _ => None,
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        match self {
            Self::Exactly(own) => name == own.as_bytes(),
            Self::Beginning(own) => name.starts_with(own.as_bytes()),
        }
    }

    /// Somebody could read that name for it: in another case, behind spaces, as an array (`id[]`), with an underscore for a
    /// dot. What an endpoint reads must be in the key.
    fn may_be(&self, name: &[u8]) -> bool {
        let end = name.iter().position(|byte| matches!(byte, b'[' | 0)).unwrap_or(name.len());
        let name = name[..end].trim_ascii();
        let (own, length) = match self {
            Self::Exactly(own) => (own.as_bytes(), name.len()),
            Self::Beginning(own) => (own.as_bytes(), own.len().min(name.len())),
        };
        let plain = |byte: &u8| if b". ".contains(byte) { b'_' } else { byte.to_ascii_lowercase() };
        own.iter().map(plain).eq(name[..length].iter().map(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderValue;

    fn target(query: Option<&str>) -> Target<'_> {
        Target { secure: true, authority: "a.example", path: "/x", query }
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn key(rules: &KeyRules, query: Option<&str>) -> String {
        String::from_utf8_lossy(Key::of(rules, target(query), &HeaderMap::new()).as_bytes()).into_owned()
    }

    fn names(names: &[&str]) -> Vec<Parameter> {
        names.iter().map(|name| Parameter::parse(name).expect("a name")).collect()
    }

    #[test]
    fn a_key_is_what_was_asked_for() {
        let rules = KeyRules::default();
        for (query, expected) in [
            (None, "https://a.example/x"),
            (Some(""), "https://a.example/x?"),
            (Some("b=2&a=1"), "https://a.example/x?b=2&a=1"),
        ] {
            assert_eq!(key(&rules, query), expected);
        }
        let plain = Target { secure: false, ..target(None) };
        assert_eq!(Key::of(&rules, plain, &HeaderMap::new()).as_bytes(), b"http://a.example/x");
    }

    #[test]
    fn parameters_count_by_rules() {
        for (rule, sorts, query, expected) in [
            (QueryRule::Ignored, false, "a=1", ""),
            (QueryRule::Without(names(&["utm_*", "x"])), false, "b=1&utm_a=2&x=3&x=4&c", "?b=1&c"),
            (QueryRule::Without(names(&["x"])), false, "x=1", ""),
            (QueryRule::Without(names(&["x"])), false, "%78=1&X=2", "?X=2"),
            (QueryRule::Only(names(&["id"])), false, "a=1&id=2&%69d=3&idx=4", "?id=2&%69d=3"),
            (
                QueryRule::Only(names(&["a_b"])),
                false,
                "A.B=1&+a%20b[x]=2&a_b%00c=3&c=4",
                "?A.B=1&+a%20b[x]=2&a_b%00c=3",
            ),
            (QueryRule::Only(names(&["f_*"])), false, "F.x=1&f=2&g=3", "?F.x=1"),
            (QueryRule::Whole, true, "b=2&a=1&b=1&a", "?a=1&a&b=2&b=1"),
            (QueryRule::Only(names(&["b", "a"])), true, "b=2&c=3&a=1", "?a=1&b=2"),
        ] {
            let rules = KeyRules { query: rule, sorts, ..KeyRules::default() };
            assert_eq!(key(&rules, Some(query)), format!("https://a.example/x{expected}"), "{rules:?} {query}");
        }
    }

    #[test]
    fn nothing_hides_behind_an_ignored_parameter() {
        let rules = KeyRules { query: QueryRule::Without(names(&["utm"])), sorts: true, ..KeyRules::default() };
        for query in ["z=1&utm=1;id=2", "utm=1%3Bid=2", "utm=1%3bid=2"] {
            assert_eq!(key(&rules, Some(query)), format!("https://a.example/x?{query}"));
        }
    }

    #[test]
    fn fields_and_cookies_can_be_part_of_it() {
        let rules = KeyRules {
            headers: vec![HeaderName::from_static("x-a"), HeaderName::from_static("x-b")],
            cookies: vec!["c".to_owned()],
            ..KeyRules::default()
        };
        let requests: [&[(&str, &str)]; 8] = [
            &[],
            &[("x-a", "")],
            &[("x-a", "1")],
            &[("x-b", "1")],
            &[("x-a", "1"), ("x-a", "")],
            &[("x-a", "1"), ("x-b", "")],
            &[("cookie", "b=0; c=1")],
            &[("cookie", "b=0; c=2")],
        ];

        let keys: Vec<_> = requests.iter().map(|lines| Key::of(&rules, target(None), &fields(lines))).collect();

        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{:?} is another request", requests[index]);
            assert_eq!(key.target(), b"https://a.example/x");
        }
        let other = fields(&[("x-a", "1"), ("x-c", "1"), ("cookie", "d=1")]);
        assert_eq!(Key::of(&rules, target(None), &other), keys[2]);
        assert!(!format!("{keys:?}").contains("c="), "a cookie is no text for logs");
    }

    #[test]
    fn what_clients_say_cannot_be_read_in_what_is_kept_elsewhere_and_makes_a_difference_there() {
        let rules = KeyRules { headers: vec![HeaderName::from_static("x-api-key")], ..KeyRules::default() };
        let sealed = |rules: &KeyRules, value| Key::of(rules, target(None), &fields(&[("x-api-key", value)])).sealed();
        let (one, other, none) =
            (sealed(&rules, "hunter2"), sealed(&rules, "hunter3"), sealed(&KeyRules::default(), ""));

        assert_eq!(none, b"https://a.example/x");
        assert!(one.starts_with(b"https://a.example/x\n") && !one.windows(6).any(|part| part == b"hunter"));
        assert!(one != other && one == sealed(&rules, "hunter2"));
    }

    #[test]
    fn what_a_query_asks_with_is_part_of_its_key() {
        let key = |kind: &'static str, body: &[u8]| {
            let headers = fields(&[("content-type", kind)]);
            Key::of(&KeyRules::default(), target(None), &headers).with_query(&headers, body)
        };
        let one = key("a/b", b"x");
        assert_eq!(one, key("a/b", b"x"));
        for other in
            [key("a/b", b"y"), key("a/c", b"x"), Key::of(&KeyRules::default(), target(None), &HeaderMap::new())]
        {
            assert_ne!(one, other);
        }
        assert_eq!(one.target(), b"https://a.example/x");
    }
}
