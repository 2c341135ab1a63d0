//! Filters with a name, as they are written.

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor, value::SeqAccessDeserializer},
};

/// `[policies.NAME]`: filters that routes `use` by this name. All of its keys are filters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicySettings {
    /// The settings of filters, by kind.
    pub filters: IndexMap<String, serde_json::Value>,
}

/// Names of policies: one alone, or several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyNames(pub Vec<String>);

impl Serialize for PolicyNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PolicyNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = PolicyNames;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of one of `[policies]`, or an array of them")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<PolicyNames, E> {
                Ok(PolicyNames(vec![name.into()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, array: A) -> Result<PolicyNames, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(array)).map(PolicyNames)
            }
        }
        deserializer.deserialize_any(Names)
    }
}
