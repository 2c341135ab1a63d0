//! Filters with a name, as they are written.

use std::fmt;

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};

/// `[policies.NAME]`: filters that routes `use` by this name. All other keys are filters.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PolicySettings {
    /// The requests that pass them; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The settings of filters, by kind.
    #[serde(flatten)]
    pub filters: IndexMap<String, serde_json::Value>,
}

impl<'de> Deserialize<'de> for PolicySettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Policy;
        impl<'de> Visitor<'de> for Policy {
            type Value = PolicySettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of filters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<PolicySettings, A::Error> {
                let mut policy = PolicySettings::default();
                while let Some(key) = table.next_key::<String>()? {
                    if key == "when" {
                        policy.when = Some(table.next_value()?);
                    } else {
                        let settings = table.next_value()?;
                        policy.filters.insert(key, settings);
                    }
                }
                Ok(policy)
            }
        }
        deserializer.deserialize_any(Policy)
    }
}
