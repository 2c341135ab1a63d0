//! What is wrong with a text of the language, and where.

use std::{fmt, ops::Range};

use crate::settings::Problem;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The bytes of the text that are meant; empty at its end, where something is missing.
    pub at: Range<usize>,
    /// What is wrong: lower case, no full stop.
    pub what: String,
    /// What was expected, or the likely fix.
    pub help: Option<String>,
}

impl Fault {
    /// The same of a setting: the key of the text, which the problem points into.
    pub fn problem<K: Into<String>>(self, key: impl IntoIterator<Item = K>) -> Problem {
        Problem::at(key, self.what).within(self.at).hint(self.help)
    }

    pub(super) fn new(at: Range<usize>, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the likely fix, if there is one.
    pub(super) fn hint(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, ": {help}"))
    }
}

impl std::error::Error for Fault {}
