//! What can be turned off.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{
        self, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqAccessDeserializer},
    },
};

/// `false`, or what it is to be. `true` is what it is with nothing said, if it is a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

impl<T> OrOff<T> {
    /// It is turned off.
    pub const OFF: Self = Self(None);

    /// What it is to be.
    pub fn as_ref(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T: Default> Default for OrOff<T> {
    fn default() -> Self {
        Self(Some(T::default()))
    }
}

impl<T> From<T> for OrOff<T> {
    fn from(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Serialize> Serialize for OrOff<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_bool(false),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrOffVisitor(PhantomData)).map(Self)
    }
}

struct OrOffVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrOffVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("false or what it is to be")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Option<T>, E> {
        let nothing_said = MapDeserializer::new(std::iter::empty::<(&str, &str)>());
        // What is no table says so; that it may be turned off is what should be known.
        let on_alone = || T::deserialize(nothing_said).map_err(|_: E| E::invalid_type(Unexpected::Bool(true), &self));
        if on { on_alone().map(Some) } else { Ok(None) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
        T::deserialize(text.into_deserializer()).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Option<T>, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(array)).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(Some)
    }
}

impl<T: JsonSchema> JsonSchema for OrOff<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrOff", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [value, { "const": false }] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::settings::read;

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Table {
        a: u8,
    }

    fn told<T: de::DeserializeOwned + fmt::Debug>(written: &Value) -> String {
        read::<OrOff<T>>(written, &["x".into()]).expect_err("it is wrong").0[0].what.clone()
    }

    #[test]
    fn what_can_be_turned_off_is_false_or_what_it_is() {
        assert_eq!(read::<OrOff<Table>>(&json!(false), &[]), Ok(OrOff::OFF));
        assert_eq!(read::<OrOff<Table>>(&json!(true), &[]), Ok(Table { a: 0 }.into()));
        assert_eq!(read::<OrOff<Table>>(&json!({ "a": 7 }), &[]), Ok(Table { a: 7 }.into()));
        assert_eq!(read::<OrOff<String>>(&json!("b"), &[]), Ok("b".to_owned().into()));
        assert_eq!(read::<OrOff<Vec<u8>>>(&json!([5]), &[]), Ok(vec![5].into()));
    }

    #[test]
    fn what_is_wrong_within_is_told_where_it_is() {
        assert_eq!(told::<Table>(&json!({ "b": 1 })), "unknown key `b` in `x`");
        assert_eq!(
            told::<Table>(&json!({ "a": "c" })),
            "`x.a` must be a whole number from 0 to 255, not the string \"c\""
        );
        assert_eq!(told::<String>(&json!(true)), "`x` must be false or what it is to be, not the boolean true");
        assert_eq!(told::<String>(&json!(5)), "`x` must be false or what it is to be, not the number 5");
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        assert_eq!(serde_json::to_value(OrOff::<u8>::OFF).expect("json"), json!(false));
        assert_eq!(serde_json::to_value(OrOff(Some(5))).expect("json"), json!(5));
    }
}
