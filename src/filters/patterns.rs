//! Texts with `*` for anything, as settings write them.

use regex::bytes::{Regex, RegexBuilder};

/// An expression for the whole of a text, in whatever case. Bytes, not letters: a text need not be UTF-8, and the time is
/// linear in its length.
pub fn expression(pattern: &str) -> String {
    format!("(?is-u)^{}$", regex::escape(pattern).replace(r"\*", ".*"))
}

/// Bytes that one compiled pattern may take.
const MOST: usize = 1 << 20;

/// One pattern, compiled; `None` if it takes too much memory.
pub fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&expression(pattern)).size_limit(MOST).build().ok()
}
