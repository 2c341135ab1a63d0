//! How to choose among endpoints, as it is written.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

/// `balance = "p2c"`, or `{ policy = "consistent_hash", key = "client", .. }` with what the kind can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct BalanceSettings {
    /// The name of a balancer kind.
    pub policy: String,
    /// What that kind is told; it knows the keys.
    pub options: Map<String, Value>,
}

const POLICY: &str = "policy";

impl BalanceSettings {
    /// A kind that is told nothing.
    pub fn new(policy: impl Into<String>) -> Self {
        Self { policy: policy.into(), options: Map::new() }
    }

    /// The same with one thing more that it is told.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }
}

impl Default for BalanceSettings {
    fn default() -> Self {
        Self::new("p2c")
    }
}

impl From<&str> for BalanceSettings {
    fn from(policy: &str) -> Self {
        Self::new(policy)
    }
}

impl Serialize for BalanceSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.options.is_empty() {
            return serializer.serialize_str(&self.policy);
        }
        let policy = (POLICY.to_owned(), Value::from(self.policy.as_str()));
        let table: Map<_, _> = std::iter::once(policy).chain(self.options.clone()).collect();
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BalanceSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BalanceVisitor)
    }
}

struct BalanceVisitor;

impl<'de> Visitor<'de> for BalanceVisitor {
    type Value = BalanceSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a balancer or a table { policy = \"..\", .. }")
    }

    fn visit_str<E: de::Error>(self, policy: &str) -> Result<BalanceSettings, E> {
        Ok(BalanceSettings::new(policy))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BalanceSettings, A::Error> {
        let mut options = Map::deserialize(MapAccessDeserializer::new(map))?;
        match options.shift_remove(POLICY) {
            Some(Value::String(policy)) => Ok(BalanceSettings { policy, options }),
            Some(_) => Err(de::Error::custom("`policy` must be the name of a balancer, in quotes")),
            None => Err(de::Error::missing_field(POLICY)),
        }
    }
}
