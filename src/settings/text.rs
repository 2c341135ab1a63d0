//! Settings that are a text with a meaning.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserializer,
    de::{self, Unexpected, Visitor},
};

/// Reads one; anything else is not what was `expected`.
///
/// # Errors
/// What is there instead.
pub fn text<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<T, D::Error> {
    deserializer.deserialize_any(Text { expected, meaning: PhantomData })
}

struct Text<T> {
    expected: &'static str,
    meaning: PhantomData<T>,
}

impl<T: FromStr> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}
