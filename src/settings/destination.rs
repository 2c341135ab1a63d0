//! Where a route leads, as it is written.

use std::fmt;

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// `to = "shop"`, or `to = { shop = 90, shop_next = 10 }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A URL, or the name of an upstream.
    One(String),
    /// Several of these, each with its weight: so many of all requests.
    Split(IndexMap<String, u32>),
}

impl From<&str> for Destination {
    fn from(to: &str) -> Self {
        Self::One(to.to_owned())
    }
}

impl From<String> for Destination {
    fn from(to: String) -> Self {
        Self::One(to)
    }
}

impl<K: Into<String>, const N: usize> From<[(K, u32); N]> for Destination {
    fn from(sides: [(K, u32); N]) -> Self {
        Self::Split(sides.into_iter().map(|(to, weight)| (to.into(), weight)).collect())
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(to) => serializer.serialize_str(to),
            Self::Split(sides) => sides.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DestinationVisitor)
    }
}

struct DestinationVisitor;

impl<'de> Visitor<'de> for DestinationVisitor {
    type Value = Destination;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, the name of an upstream, or a table of these with weights")
    }

    fn visit_str<E: de::Error>(self, to: &str) -> Result<Destination, E> {
        Ok(to.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, sides: A) -> Result<Destination, A::Error> {
        IndexMap::deserialize(MapAccessDeserializer::new(sides)).map(Destination::Split)
    }
}
