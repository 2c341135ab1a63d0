//! Statuses as settings name them: `404`, or `"5xx"` for all of a class.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Unexpected, Visitor, value::SeqAccessDeserializer},
};

use crate::http::StatusCode;

/// One status, or all of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statuses {
    /// `404`.
    One(u16),
    /// `4xx`: its first digit.
    Class(u16),
}

/// One or several of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatusList(pub Vec<Statuses>);

impl Statuses {
    /// This one is one of them.
    pub fn has(self, status: StatusCode) -> bool {
        match self {
            Self::One(one) => status.as_u16() == one,
            Self::Class(class) => status.as_u16() / 100 == class,
        }
    }

    /// Those of final answers.
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [class @ b'2'..=b'5', b'x', b'x'] => Some(Self::Class(u16::from(class - b'0'))),
            [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] => text.parse().ok().map(Self::One),
            _ => None,
        }
    }

    /// They are errors.
    pub fn are_errors(self) -> bool {
        match self {
            Self::One(status) => status >= 400,
            Self::Class(class) => class >= 4,
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct StatusesVisitor;

impl Visitor<'_> for StatusesVisitor {
    type Value = Statuses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status from 200 to 599, or a class such as \"5xx\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
        Statuses::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, status: u64) -> Result<Statuses, E> {
        Statuses::parse(&status.to_string()).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(status), &self))
    }

    fn visit_i64<E: de::Error>(self, status: i64) -> Result<Statuses, E> {
        Statuses::parse(&status.to_string()).ok_or_else(|| E::invalid_value(Unexpected::Signed(status), &self))
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusesVisitor)
    }
}

impl<'de> Deserialize<'de> for StatusList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = StatusList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status from 200 to 599, a class such as \"5xx\", or an array of these")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusList, E> {
                StatusesVisitor.visit_str(text).map(|one| StatusList(vec![one]))
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<StatusList, E> {
                StatusesVisitor.visit_u64(status).map(|one| StatusList(vec![one]))
            }

            fn visit_i64<E: de::Error>(self, status: i64) -> Result<StatusList, E> {
                StatusesVisitor.visit_i64(status).map(|one| StatusList(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<StatusList, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(array)).map(StatusList)
            }
        }
        deserializer.deserialize_any(ListVisitor)
    }
}

impl JsonSchema for StatusList {
    fn schema_name() -> Cow<'static, str> {
        "StatusList".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "status, class such as `\"5xx\"`, or array of these" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_a_number_or_a_class() {
        for (written, expected) in [
            (json!(404), &[Statuses::One(404)][..]),
            (json!("404"), &[Statuses::One(404)]),
            (json!("5xx"), &[Statuses::Class(5)]),
            (json!([200, "3xx"]), &[Statuses::One(200), Statuses::Class(3)]),
        ] {
            let list: StatusList = serde_json::from_value(written.clone()).expect("statuses");
            assert_eq!(list.0, expected, "{written}");
        }
        for written in
            [json!(99), json!(101), json!(600), json!("6xx"), json!("xx"), json!(-1), json!(["5x"]), json!(4.5)]
        {
            assert!(serde_json::from_value::<StatusList>(written.clone()).is_err(), "{written}");
        }
    }
}
