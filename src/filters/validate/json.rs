//! JSON that is read in one way only.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not JSON that every reader takes for the same.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no JSON.
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// An object has a key twice: some readers take the first, others the last.
    Repeated {
        /// Where (RFC 6901).
        pointer: String,
    },
    /// More tables within tables than may be.
    TooDeep,
}

/// The value, if there is no doubt about it.
pub fn read(bytes: &[u8], max_depth: usize) -> Result<Value, Fault> {
    let state = State { path: RefCell::default(), fault: RefCell::default(), max_depth };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(&state).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        let fault = state.fault.take();
        fault.unwrap_or(Fault::Syntax { line: error.line(), column: error.column() })
    })
}

struct State {
    /// From the outside in.
    path: RefCell<Vec<String>>,
    fault: RefCell<Option<Fault>>,
    max_depth: usize,
}

impl State {
    fn fail<E: serde::de::Error>(&self, fault: Fault) -> E {
        self.fault.replace(Some(fault));
        E::custom("it is not strict")
    }

    fn inside<T, E: serde::de::Error>(&self, key: &str, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.path.borrow_mut().push(key.to_owned());
        if self.path.borrow().len() > self.max_depth {
            return Err(self.fail(Fault::TooDeep));
        }
        let value = read()?;
        self.path.borrow_mut().pop();
        Ok(value)
    }

    fn pointer(&self, last: &str) -> String {
        let path = self.path.borrow();
        let keys = path.iter().map(String::as_str).chain([last]);
        keys.map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

#[derive(Clone, Copy)]
struct Strict<'s>(&'s State);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let key = values.len().to_string();
            match self.0.inside(&key, || array.next_element_seed(self))? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if values.contains_key(&key) {
                let pointer = self.0.pointer(&key);
                return Err(self.0.fail(Fault::Repeated { pointer }));
            }
            let value = self.0.inside(&key, || object.next_value_seed(self))?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_any_reader_reads() {
        for text in ["null", "[]", "{}", "[1, -2, 3.5, \"a\\u00e9\", true, {\"a\": {\"b\": [null]}}]", " 5 "] {
            let value = read(text.as_bytes(), 8).expect(text);
            assert_eq!(value, serde_json::from_str::<Value>(text).expect(text));
        }
    }

    #[test]
    fn what_readers_could_take_for_two_things_is_told() {
        let repeated = |pointer: &str| Fault::Repeated { pointer: pointer.into() };
        let syntax = |line, column| Fault::Syntax { line, column };
        for (text, fault) in [
            ("{\"a\": 1, \"a\": 2}", repeated("/a")),
            ("{\"a\": 1, \"\\u0061\": 2}", repeated("/a")),
            ("{\"a\": [0, {\"b/c\": 1, \"b/c\": 2}]}", repeated("/a/1/b~1c")),
            ("{\"a\": 1} {}", syntax(1, 10)),
            ("{\"a\": 1,\n}", syntax(2, 1)),
            ("{'a': 1}", syntax(1, 2)),
            ("\u{feff}{}", syntax(1, 1)),
            ("NaN", syntax(1, 1)),
            ("1e999", syntax(1, 5)),
            ("\"\\ud800\"", syntax(1, 8)),
            ("", syntax(1, 0)),
            ("[[[[[[[[[1]]]]]]]]]", Fault::TooDeep),
            ("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}", Fault::TooDeep),
        ] {
            assert_eq!(read(text.as_bytes(), 8), Err(fault), "{text}");
        }
        assert_eq!(read(b"\"\xff\"", 8), Err(syntax(1, 2)));
    }
}
