//! Structured fields (RFC 9651), as far as caches read them: dictionaries, and lists of strings. Read strictly: one fault, and there
//! is no field.

use crate::http::HeaderValue;

/// What a member of a dictionary is, without its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Boolean(bool),
    Integer(i64),
    String(String),
    /// One that no directive of a cache is.
    Other,
}

/// The members of a dictionary over all lines of a field, each name once.
pub(super) fn dictionary<'h>(lines: impl Iterator<Item = &'h HeaderValue>) -> Option<Vec<(String, Item)>> {
    let text = joined(lines);
    let mut reader = Reader { rest: &text };
    let mut members: Vec<(String, Item)> = Vec::new();
    reader.list(|reader| {
        let name = reader.key()?;
        let item = if reader.take(b'=') { reader.member()? } else { Item::Boolean(true) };
        reader.parameters()?;
        // The last one counts, at the place of the first.
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = item,
            None => members.push((name, item)),
        }
        Some(())
    })?;
    Some(members)
}

/// The strings of a list over all lines of a field; `None` if a member is something else.
pub(super) fn strings<'h>(lines: impl Iterator<Item = &'h HeaderValue>) -> Option<Vec<String>> {
    let text = joined(lines);
    let mut reader = Reader { rest: &text };
    let mut strings = Vec::new();
    reader.list(|reader| {
        let Item::String(text) = reader.bare()? else { return None };
        reader.parameters()?;
        strings.push(text);
        Some(())
    })?;
    Some(strings)
}

/// One value of several lines (RFC 9651, 4.2).
fn joined<'h>(lines: impl Iterator<Item = &'h HeaderValue>) -> Vec<u8> {
    lines.map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..])
}

struct Reader<'t> {
    rest: &'t [u8],
}

impl<'t> Reader<'t> {
    /// All that is there, as members between commas.
    fn list(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip(b" ");
        while !self.rest.is_empty() {
            member(self)?;
            self.skip(b" \t");
            if self.rest.is_empty() {
                break;
            }
            if !self.take(b',') {
                return None;
            }
            self.skip(b" \t");
            if self.rest.is_empty() {
                return None;
            }
        }
        Some(())
    }

    fn member(&mut self) -> Option<Item> {
        if !self.take(b'(') {
            return self.bare();
        }
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Item::Other);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.rest.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.bare()?;
            }
        }
        Some(())
    }

    fn bare(&mut self) -> Option<Item> {
        match self.rest.first()? {
            b'"' => self.string().map(Item::String),
            b'?' => self.boolean(),
            b'-' | b'0'..=b'9' => self.number(),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.run(|byte| crate::http::headers::is_token(&[byte]) || matches!(byte, b':' | b'/'));
                Some(Item::Other)
            }
            b':' => {
                self.next()?;
                self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
                self.take(b':').then_some(Item::Other)
            }
            b'@' => {
                self.next()?;
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    fn key(&mut self) -> Option<String> {
        if !matches!(self.rest.first()?, b'*' | b'a'..=b'z') {
            return None;
        }
        let key = self.run(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*')
        });
        Some(String::from_utf8_lossy(key).into_owned())
    }

    fn string(&mut self) -> Option<String> {
        self.next()?;
        let mut text = String::new();
        loop {
            let byte = match self.next()? {
                b'"' => return Some(text),
                b'\\' => self.next().filter(|byte| matches!(byte, b'"' | b'\\'))?,
                byte @ 0x20..=0x7e => byte,
                _ => return None,
            };
            text.push(char::from(byte));
        }
    }

    fn display_string(&mut self) -> Option<Item> {
        self.next()?;
        if !self.take(b'"') {
            return None;
        }
        loop {
            match self.next()? {
                b'"' => return Some(Item::Other),
                b'%' => {
                    for _ in 0..2 {
                        self.next().filter(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))?;
                    }
                }
                0x20..=0x7e => {}
                _ => return None,
            }
        }
    }

    fn boolean(&mut self) -> Option<Item> {
        self.next()?;
        match self.next()? {
            b'0' => Some(Item::Boolean(false)),
            b'1' => Some(Item::Boolean(true)),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Item> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let whole = self.run(|byte| byte.is_ascii_digit());
        let value =
            whole.iter().fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
        if !self.take(b'.') {
            return matches!(whole.len(), 1..=15).then_some(Item::Integer(sign * value));
        }
        let fraction = self.run(|byte| byte.is_ascii_digit());
        (matches!(whole.len(), 1..=12) && matches!(fraction.len(), 1..=3)).then_some(Item::Other)
    }

    /// The bytes from here on for which it holds.
    fn run(&mut self, holds: impl Fn(u8) -> bool) -> &'t [u8] {
        let end = self.rest.iter().position(|byte| !holds(*byte)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn skip(&mut self, these: &[u8]) {
        self.run(|byte| these.contains(&byte));
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<HeaderValue> {
        texts.iter().map(|text| HeaderValue::from_str(text).expect("a value")).collect()
    }

    #[test]
    fn a_dictionary_is_read_over_all_lines() {
        let read = dictionary(lines(&["max-age=60;x=\"y\", no-store", "a=?0, b=\"q\\\"\", max-age=5"]).iter());

        let member = |name: &str, item| (name.to_owned(), item);
        let expected = [
            member("max-age", Item::Integer(5)),
            member("no-store", Item::Boolean(true)),
            member("a", Item::Boolean(false)),
            member("b", Item::String("q\"".to_owned())),
        ];
        assert_eq!(read.as_deref(), Some(&expected[..]));
    }

    #[test]
    fn each_type_is_known_and_each_fault_is_one_of_the_field() {
        for text in [
            "a=1.5",
            "a=tok/en:x*",
            "a=:aGk=:",
            "a=@12",
            "a=%\"x%c3%a9\"",
            "a=(1 \"b\";c d)",
            "a=()",
            "",
            "  a",
            "a;b;c=1",
        ] {
            assert!(dictionary(lines(&[text]).iter()).is_some(), "{text}");
        }
        for text in [
            "a, ",
            "A=1",
            "a=",
            "a = 1",
            "a= 1",
            "a=1 b",
            "a=\"x",
            "a=\"\\x\"",
            "a=1.",
            "a=1.2345",
            "a=1234567890123456",
            "a=?2",
            "a=:a",
            "a=@1.5",
            "a=%\"%C3\"",
            "a=(1",
            "a=(1\"b\")",
            "&&&&&",
            "a,,b",
            ",a",
            "a=\u{e9}",
        ] {
            assert_eq!(dictionary(lines(&[text]).iter()), None, "{text}");
        }
    }

    #[test]
    fn a_list_is_one_of_strings_or_none() {
        assert_eq!(strings(lines(&["\"a\";x, \"b c\"", "\"\""]).iter()).expect("a list"), ["a", "b c", ""]);
        for text in ["a", "\"a\", b", "\"a\" \"b\"", "1", "(\"a\")", "\"a\","] {
            assert_eq!(strings(lines(&[text]).iter()), None, "{text}");
        }
    }
}
