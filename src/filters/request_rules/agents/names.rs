//! Names with `*` for anything, and however many there are: a name that is asked for is walked once.

use aho_corasick::AhoCorasick;
use regex::bytes::{RegexSet, RegexSetBuilder};
use smallvec::SmallVec;

use crate::filters::patterns;

/// Bytes that the compiled expressions of one list may take.
const MAX_EXPRESSIONS: usize = 8 << 20;

/// Patterns of names.
pub struct Names {
    /// Of those with one text: found anywhere in a framed name, for a text that must stand at an end has the frame there.
    texts: AhoCorasick,
    /// Those with several texts.
    expressions: RegexSet,
}

/// A name in lower case between two bytes that are in none.
pub struct Framed(SmallVec<[u8; 256]>);

const FRAME: u8 = 0;

impl Names {
    /// # Errors
    /// They take too much memory.
    pub fn of(patterns: &[String]) -> Result<Self, &'static str> {
        let (mut texts, mut expressions) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match text(pattern) {
                Some(text) => texts.push(text),
                None => expressions.push(patterns::expression(pattern)),
            }
        }
        let too_much = "the list takes too much memory";
        let texts = AhoCorasick::new(texts).map_err(|_| too_much)?;
        let expressions = RegexSetBuilder::new(expressions).size_limit(MAX_EXPRESSIONS).build();
        Ok(Self { texts, expressions: expressions.map_err(|_| too_much)? })
    }

    /// One of them fits.
    pub fn has(&self, name: &Framed) -> bool {
        self.texts.is_match(&name.0) || self.expressions.is_match(name.own())
    }
}

impl Framed {
    pub fn new(name: &[u8]) -> Self {
        let lower = name.iter().map(u8::to_ascii_lowercase);
        Self([FRAME].into_iter().chain(lower).chain([FRAME]).collect())
    }

    /// The name without its frame.
    fn own(&self) -> &[u8] {
        &self.0[1..self.0.len() - 1]
    }
}

/// What a framed name has in it if the pattern fits, and else not; `None` for one with several texts.
fn text(pattern: &str) -> Option<Vec<u8>> {
    let lower = pattern.to_ascii_lowercase();
    let mut texts = lower.split('*').filter(|text| !text.is_empty());
    let (only, more) = (texts.next().unwrap_or_default(), texts.next());
    if more.is_some() {
        return None;
    }
    let is_any = only.is_empty() && lower.contains('*');
    let begins = (is_any || !lower.starts_with('*')).then_some(FRAME);
    let ends = (!is_any && !lower.ends_with('*')).then_some(FRAME);
    Some(begins.into_iter().chain(only.bytes()).chain(ends).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;

    fn fits(pattern: &str, name: &[u8]) -> bool {
        Names::of(&[pattern.to_owned()]).expect("a short list").has(&Framed::new(name))
    }

    #[test]
    fn a_pattern_fits_the_whole_of_a_name() {
        for (pattern, name, expected) in [
            ("*bot*", "Googlebot/2.1", true),
            ("*bot*", "bo", false),
            ("curl/*", "CURL/8", true),
            ("curl/*", "libcurl/8", false),
            ("*/1", "a/1", true),
            ("*/1", "a/1x", false),
            ("a", "A", true),
            ("a", "aa", false),
            ("a*b", "a b", true),
            ("a*b", "ab", true),
            ("a*b", "abc", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("a.b", "axb", false),
        ] {
            assert_eq!(fits(pattern, name.as_bytes()), expected, "{pattern} {name}");
        }
        assert!(fits("*b*", b"\xffB\xff"));
        assert!(!Names::of(&[]).expect("nothing").has(&Framed::new(b"a")));
    }

    proptest! {
        #[test]
        fn it_is_as_if_each_was_an_expression(patterns in prop::collection::vec("[ab*]{0,5}", 0..5), name in "[abAB]{0,6}") {
            let names = Names::of(&patterns).expect("a short list");
            let one_fits = patterns.iter().any(|pattern| {
                Regex::new(&patterns::expression(pattern)).expect("an expression").is_match(name.as_bytes())
            });

            prop_assert_eq!(names.has(&Framed::new(name.as_bytes())), one_fits);
        }
    }
}
