//! From a merged tree to the strict types. Nothing is coerced, and every error knows the path it happened at.
//!
//! serde stops at the first error. [`decode`] notes it, makes a hole in the tree where it happened and tries again,
//! until nothing is wrong with what is left: so one run tells every problem.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

use super::problem::{Part, Problem, Problems, did_you_mean, listed, name};

/// Beyond this nobody reads on, and telling them all would cost the square of their number.
const MOST_PROBLEMS: usize = 1000;

/// Reads a `T` from what is written at the key `at`, or says everything that is wrong with it.
pub fn read<T: DeserializeOwned>(written: &Value, at: &[String]) -> Result<T, Problems> {
    let mut problems = Problems::default();
    match decode(&mut written.clone(), at, &mut problems) {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(problems),
    }
}

/// Reads a `T`, and says everything that is wrong with it. What is wrong is left out of the result; without `T` if
/// nothing sensible remains. `at` is the path of `tree` in the settings.
pub(super) fn decode<T: DeserializeOwned>(tree: &mut Value, at: &[String], problems: &mut Problems) -> Option<T> {
    let mut holes = Vec::new();
    for _ in 0..MOST_PROBLEMS {
        let fault = match T::deserialize(Strict(tree)) {
            Ok(decoded) => return Some(decoded),
            Err(fault) => fault,
        };
        let path: Vec<String> = fault.path.iter().rev().cloned().collect();
        if !fault.misses_one_of(&holes) {
            problems.push(fault.into_problem(at));
        }
        if !make_hole(tree, &path) {
            return None;
        }
        holes.push(path);
    }
    None
}

/// Takes a value out. Elements of arrays become null, so that those behind them keep their numbers; TOML has no null
/// of its own, and [`Strict`] steps over it.
fn make_hole(tree: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut parent = tree;
    for key in parents {
        let Some(child) = child_mut(parent, key) else { return false };
        parent = child;
    }
    match parent {
        Value::Object(table) => table.shift_remove(last).is_some(),
        _ => child_mut(parent, last).is_some_and(|element| !element.take().is_null()),
    }
}

fn child_mut<'t>(parent: &'t mut Value, key: &str) -> Option<&'t mut Value> {
    match parent {
        Value::Object(table) => table.get_mut(key),
        Value::Array(elements) => elements.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    }
}

/// A deserializer that gives each value as what it is and nothing else.
struct Strict<'t>(&'t Value);

/// What serde found wrong, and where.
#[derive(Debug)]
struct Fault {
    /// Innermost first: each table adds its key as the error passes through it.
    path: Vec<String>,
    part: Part,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Unfit {
        found: Found,
        expected: String,
    },
    UnknownWord {
        word: String,
        known: &'static [&'static str],
    },
    /// A table that is to have one of these keys has none, or several.
    NotOne {
        count: usize,
        known: &'static [&'static str],
    },
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    Missing(&'static str),
    Other(String),
}

/// What stands there instead; the text alone may be a secret.
#[derive(Debug)]
struct Found {
    kind: &'static str,
    text: Option<String>,
}

impl Fault {
    fn new(cause: Cause) -> Self {
        Self { path: Vec::new(), part: Part::Value, cause }
    }

    fn inside(mut self, key: impl Into<String>) -> Self {
        self.path.push(key.into());
        self
    }

    /// Whether what is missing was there, but wrong, and that has been told.
    fn misses_one_of(&self, holes: &[Vec<String>]) -> bool {
        let key = match self.cause {
            Cause::Missing(key) => Some(key),
            Cause::NotOne { count: 0, .. } => None,
            _ => return false,
        };
        holes.iter().any(|hole| {
            hole.split_last().is_some_and(|(last, parents)| {
                key.is_none_or(|key| last == key) && parents.iter().eq(self.path.iter().rev())
            })
        })
    }

    fn into_problem(mut self, at: &[String]) -> Problem {
        let mut path = at.to_vec();
        path.extend(self.path.drain(..).rev());
        let this = if path.is_empty() { "the settings".to_owned() } else { format!("`{}`", name(&path)) };
        let (what, help) = match self.cause {
            Cause::Unfit { found, expected } => {
                let secret = super::secrecy::is_secret(&path);
                (format!("{this} must be {expected}, not {}", found.told(secret)), found.mended(&expected, secret))
            }
            Cause::UnknownWord { word, known } => {
                let what = format!("{this} must be {}, not \"{}\"", listed(known), word.escape_debug());
                (what, did_you_mean(&word, known))
            }
            Cause::NotOne { count, known } => {
                let found = if count == 0 { "an empty one".to_owned() } else { format!("one with {count}") };
                let help = (count > 1).then(|| "a table for each".to_owned());
                (format!("{this} must be a table with one key, {}, not {found}", listed(known)), help)
            }
            Cause::UnknownKey { key, known } => {
                let parents = &path[..path.len() - 1];
                let parents = if parents.is_empty() { String::new() } else { format!(" in `{}`", name(parents)) };
                let help = did_you_mean(&key, known).unwrap_or_else(|| match known {
                    [] => "there is nothing to be said here: remove it".into(),
                    known => format!("known here: {}", known.join(", ")),
                });
                (format!("unknown key `{}`{parents}", key.escape_debug()), Some(help))
            }
            Cause::Missing(key) => (format!("{this} needs the key `{key}`"), None),
            Cause::Other(text) => (format!("{this}: {text}"), None),
        };
        Problem { part: self.part, help, ..Problem::at(path, what) }
    }
}

impl Found {
    fn told(&self, secret: bool) -> String {
        match &self.text {
            Some(text) if !secret => format!("{} {text}", self.kind),
            _ => self.kind.to_owned(),
        }
    }
}

impl Found {
    /// How it would fit, where that is a matter of brackets, quotes or a unit.
    fn mended(&self, expected: &str, secret: bool) -> Option<String> {
        let text = self.text.as_deref().filter(|_| !secret)?;
        match (expected, self.kind) {
            ("an array", "the string") => Some(format!("put it in brackets: [{text}]")),
            ("a string", "the number" | "the boolean") => Some(format!("put it in quotes: \"{text}\"")),
            (_, "the number") if expected.starts_with("a time") => Some("name its unit, in quotes: \"30s\"".into()),
            _ => None,
        }
    }
}

impl From<Unexpected<'_>> for Found {
    fn from(unexpected: Unexpected<'_>) -> Self {
        let (kind, text) = match unexpected {
            Unexpected::Bool(value) => ("the boolean", Some(value.to_string())),
            Unexpected::Unsigned(value) => ("the number", Some(value.to_string())),
            Unexpected::Signed(value) => ("the number", Some(value.to_string())),
            Unexpected::Float(value) => ("the number", Some(value.to_string())),
            Unexpected::Str(text) => ("the string", Some(format!("\"{}\"", text.escape_debug()))),
            Unexpected::Seq => ("an array", None),
            Unexpected::Map => ("a table", None),
            _ => ("nothing", None),
        };
        Self { kind, text }
    }
}

/// serde names Rust types; people write TOML.
fn in_their_words(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" | "u16" | "u32" => {
            let most = [("u8", u32::from(u8::MAX)), ("u16", u32::from(u16::MAX)), ("u32", u32::MAX)];
            let most = most.iter().find(|(of, _)| *of == text).map_or(u32::MAX, |(_, most)| *most);
            format!("a whole number from 0 to {most}")
        }
        "u64" | "usize" => "a whole number from 0".into(),
        "i64" | "i32" => "a whole number".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "an array".into(),
        "a map" => "a table".into(),
        "IP address" => "an IP address".into(),
        _ if text.starts_with("struct ") => "a table".into(),
        _ => text,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.cause)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Cause::Other(text.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Cause::Unfit { found: unexpected.into(), expected: in_their_words(expected) })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Cause::UnknownWord { word: word.to_owned(), known })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self { part: Part::Key, ..Self::new(Cause::UnknownKey { key: key.to_owned(), known }) }
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Cause::Missing(key))
    }
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (None, Some(value), _) => visitor.visit_i64(value),
                (None, None, value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(elements) => visitor.visit_seq(Elements { rest: elements.iter().enumerate() }),
            Value::Object(table) => visitor.visit_map(Entries::of(table)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(word.as_str().into_deserializer()),
            // serde would take the first key, and leave out what stands beside it.
            Value::Object(table) => match table.values().filter(|value| !value.is_null()).count() {
                1 => visitor.visit_enum(de::value::MapAccessDeserializer::new(Entries::of(table))),
                count => Err(Fault::new(Cause::NotOne { count, known: words })),
            },
            _ => Err(self.deserialize_any(OneOf(words)).expect_err("it takes neither of the others")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// Refuses everything, with the words it would have taken.
struct OneOf(&'static [&'static str]);

impl Visitor<'_> for OneOf {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&listed(self.0))
    }
}

struct Elements<'t> {
    rest: std::iter::Enumerate<std::slice::Iter<'t, Value>>,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        match self.rest.find(|(_, element)| !element.is_null()) {
            Some((index, element)) => {
                seed.deserialize(Strict(element)).map(Some).map_err(|fault| fault.inside(index.to_string()))
            }
            None => Ok(None),
        }
    }
}

struct Entries<'t> {
    rest: serde_json::map::Iter<'t>,
    current: Option<(&'t String, &'t Value)>,
}

impl<'t> Entries<'t> {
    fn of(table: &'t Map<String, Value>) -> Self {
        Self { rest: table.iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.rest.find(|(_, value)| !value.is_null());
        let Some((key, _)) = self.current else { return Ok(None) };
        let key_of_table: de::value::BorrowedStrDeserializer<'de, Fault> = de::value::BorrowedStrDeserializer::new(key);
        seed.deserialize(key_of_table).map(Some).map_err(|fault| fault.inside(key.as_str()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, value) = self.current.take().expect("serde asks for a value after its key");
        seed.deserialize(Strict(value)).map_err(|fault| fault.inside(key.as_str()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.clone().filter(|(_, value)| !value.is_null()).count())
    }
}
