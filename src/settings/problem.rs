//! What is wrong with the settings: where, what, and how to mend it.

use std::fmt::{self, Write};

use super::secrecy::HIDDEN;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key it is about, as a path: `routes."/api".to`; elements of arrays by their number.
    pub key: Vec<String>,
    /// Whether it is the key itself that is wrong, or its value.
    pub part: Part,
    /// What is wrong: lower case, no full stop.
    pub what: String,
    /// What was expected, or the likely fix: "did you mean `api`?"
    pub help: Option<String>,
    /// Where it was written; the loader fills it in from `key`.
    pub place: Option<Place>,
    /// What else has to do with it, such as the other one of two patterns that tie.
    pub related: Vec<Related>,
    /// The value may be a secret, whatever its key is called: the line it stands on is not shown.
    pub hides_value: bool,
}

/// A second place that has to do with a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// The key it is about.
    pub key: Vec<String>,
    /// What it has to do with it.
    pub what: String,
    /// Where it was written; the loader fills it in from `key`.
    pub place: Option<Place>,
}

/// The part of a setting that a problem points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// The key: it is unknown, or is a pattern that cannot be read.
    Key,
    /// What it is set to.
    #[default]
    Value,
    /// These bytes of it, a text: from and to.
    Within(usize, usize),
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(Spot),
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(String),
    /// The built-in defaults.
    BuiltIn,
    /// Code: the builder.
    Code,
}

/// A place in a file; line and column count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file as it was named.
    pub path: String,
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
    /// The line itself, its secrets replaced by `***`.
    pub text: String,
    /// The bytes of `text` that are meant.
    pub mark: std::ops::Range<usize>,
}

/// Everything that is wrong, at once; never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// A problem with the value of a key.
    pub fn at<K: Into<String>>(key: impl IntoIterator<Item = K>, what: impl Into<String>) -> Self {
        Self {
            key: key.into_iter().map(Into::into).collect(),
            part: Part::Value,
            what: what.into(),
            help: None,
            place: None,
            related: Vec::new(),
            hides_value: false,
        }
    }

    /// A problem with the key itself.
    pub fn at_key<K: Into<String>>(key: impl IntoIterator<Item = K>, what: impl Into<String>) -> Self {
        Self { part: Part::Key, ..Self::at(key, what) }
    }

    /// Points at these bytes of the value alone, where that is a text.
    #[must_use]
    pub fn within(mut self, bytes: std::ops::Range<usize>) -> Self {
        self.part = Part::Within(bytes.start, bytes.end);
        self
    }

    /// Adds what was expected, or the likely fix.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the likely fix if there is one: `Problem::at(..).hint(did_you_mean(..))`.
    #[must_use]
    pub fn hint(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Keeps the line it stands on from being shown.
    #[must_use]
    pub fn hide_value(mut self) -> Self {
        self.hides_value = true;
        self
    }

    /// The same problem, its keys counted from further out: what knows only its own part of the settings tells of that.
    #[must_use]
    pub fn inside(mut self, at: &[String]) -> Self {
        self.key.splice(0..0, at.iter().cloned());
        for other in &mut self.related {
            other.key.splice(0..0, at.iter().cloned());
        }
        self
    }

    /// Points at another key that has to do with it.
    #[must_use]
    pub fn related<K: Into<String>>(mut self, key: impl IntoIterator<Item = K>, what: impl Into<String>) -> Self {
        let key = key.into_iter().map(Into::into).collect();
        self.related.push(Related { key, what: what.into(), place: None });
        self
    }
}

impl Spot {
    /// Shows nothing of the line.
    pub(super) fn hide(&mut self) {
        self.text = HIDDEN.into();
        self.mark = 0..HIDDEN.len();
    }
}

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what was found later. What is wrong with an entry of which some was left out already may be only for that.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        let echo = |problem: &Problem| self.0.iter().any(|known| share_an_entry(&known.key, &problem.key));
        let news: Vec<_> = later.0.into_iter().filter(|problem| !echo(problem)).collect();
        self.0.extend(news);
        self
    }

    /// The same, of settings that were written in code.
    #[must_use]
    pub fn in_code(mut self) -> Self {
        for Problem { place, related, .. } in &mut self.0 {
            place.get_or_insert(Place::Code);
            for other in related {
                other.place.get_or_insert(Place::Code);
            }
        }
        self
    }

    /// `Ok` if there is none.
    pub fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(spot) => write!(f, "{}:{}", spot.path, spot.line),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::BuiltIn => f.write_str("built in"),
            Self::Code => f.write_str("code"),
        }
    }
}

/// "did you mean `api`?", if one of `candidates` is close enough to `word` to be what was meant.
pub fn did_you_mean<C: AsRef<str>>(word: &str, candidates: impl IntoIterator<Item = C>) -> Option<String> {
    // A third of the letters may differ: enough for a slip, too little for another word.
    let most = (word.chars().count() / 3).max(1);
    let near = candidates.into_iter().filter_map(|candidate| {
        let distance = strsim::damerau_levenshtein(word, candidate.as_ref());
        (distance <= most || begins_with_the_other(word, candidate.as_ref())).then_some((distance, candidate))
    });
    let (_, nearest) = near.min_by_key(|(distance, _)| *distance)?;
    Some(format!("did you mean `{}`?", nearest.as_ref()))
}

/// Whether two keys are about one route, of which each key tells what the others mean, or one holds the other.
fn share_an_entry(one: &[String], other: &[String]) -> bool {
    let one_route = one.len() > 1 && one[0] == "routes";
    let depth = one.len().min(other.len()).min(if one_route { 2 } else { usize::MAX });
    depth > 0 && one[..depth] == other[..depth]
}

fn begins_with_the_other(one: &str, other: &str) -> bool {
    one.len().min(other.len()) >= 4 && (one.starts_with(other) || other.starts_with(one))
}

/// A key as it would be written in a file: `routes."/api".to`, `tests[0].expect`.
pub fn name<K: AsRef<str>>(key: &[K]) -> String {
    let mut name = String::new();
    for segment in key.iter().map(AsRef::as_ref) {
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            let _ = write!(name, "[{segment}]");
            continue;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&quoted_unless_bare(segment));
    }
    name
}

/// One key: quoted where TOML asks for it.
pub(super) fn quoted_unless_bare(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if bare { key.to_owned() } else { quoted(key) }
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            _ if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// `"a", "b" or "c"`
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => "nothing".into(),
        [only] => format!("\"{only}\""),
        [rest @ .., last] => format!("\"{}\" or \"{last}\"", rest.join("\", \"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let keys = ["to", "strip", "redirect", "timeout", "respond"];

        assert_eq!(did_you_mean("stirp", keys).as_deref(), Some("did you mean `strip`?"));
        assert_eq!(did_you_mean("time_out", keys).as_deref(), Some("did you mean `timeout`?"));
        assert_eq!(did_you_mean("ot", keys).as_deref(), Some("did you mean `to`?"));
        assert_eq!(did_you_mean("time", keys).as_deref(), Some("did you mean `timeout`?"));
        assert_eq!(did_you_mean("compress", keys), None);
        assert_eq!(did_you_mean("", keys), None);
    }

    #[test]
    fn what_follows_from_a_known_problem_is_not_told_again() {
        let known = Problems(vec![Problem::at(["routes", "/a", "to"], "1"), Problem::at(["server", "http"], "2")]);
        let later = [
            Problem::at(["routes", "/a"], "leads nowhere"),
            Problem::at(["routes", "/a", "strip"], "nothing to strip for"),
            Problem::at(["routes", "/b", "to"], "3"),
            Problem::at(["server", "http", "max_head"], "too small"),
            Problem::at(["server", "workers"], "4"),
        ];

        let all = known.and(Problems(later.to_vec()));

        let whats: Vec<_> = all.0.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(whats, ["1", "2", "3", "4"]);
    }

    #[test]
    fn keys_are_named_as_they_are_written() {
        assert_eq!(name(&["routes", "/api", "to"]), "routes.\"/api\".to");
        assert_eq!(name(&["tests", "0", "expect"]), "tests[0].expect");
        assert_eq!(name(&["routes", "a\"\u{1b}"]), "routes.\"a\\\"\\u001B\"");
    }
}
