//! What is wrong with the settings: where, what, and how to mend it.

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key it is about, as a path: `routes."/api".to`.
    pub key: Vec<String>,
    /// What is wrong: lower case, no full stop.
    pub what: String,
    /// What was expected, or the likely fix: "did you mean `api`?"
    pub help: Option<String>,
    /// Where it was written; the loader fills it in from `key`.
    pub place: Option<Place>,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file; line and column count from 1.
    File {
        /// The file as it was named.
        path: String,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
        /// The line itself.
        text: String,
        /// How much of the line the value takes, in characters.
        width: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(String),
    /// The built-in defaults.
    BuiltIn,
    /// Code: the builder.
    Code,
}

/// Everything that is wrong, at once; never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{} problem(s) in the settings", .0.len())]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// A problem with one key.
    pub fn at<K: Into<String>>(key: impl IntoIterator<Item = K>, what: impl Into<String>) -> Self {
        Self { key: key.into_iter().map(Into::into).collect(), what: what.into(), help: None, place: None }
    }

    /// Adds what was expected, or the likely fix.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
