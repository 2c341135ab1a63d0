//! Who gets copies of requests, as it is written.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{share::Share, values::Size};

/// `mirror = "web_next"`, or `{ to = "web_next", sample = "1%", .. }`.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorSettings {
    /// A URL, or the name of an upstream.
    pub to: String,
    /// Of this part of all requests.
    pub sample: Share,
    /// With bodies up to so many bytes; no copy is made of a request with a longer one.
    pub max_body: Size,
    /// So many copies at once, over all workers; what is more is not sent.
    pub requests: u32,
}

/// The long form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MirrorTable {
    to: String,
    #[serde(default = "all_of_them")]
    sample: Share,
    #[serde(default = "a_usual_body")]
    max_body: Size,
    #[serde(default = "a_hundred")]
    requests: u32,
}

fn all_of_them() -> Share {
    Share::percent(100)
}

fn a_usual_body() -> Size {
    Size::kib(16)
}

fn a_hundred() -> u32 {
    100
}

impl MirrorSettings {
    /// Copies of all requests to an upstream or URL.
    pub fn to(to: impl Into<String>) -> Self {
        Self { to: to.into(), sample: all_of_them(), max_body: a_usual_body(), requests: a_hundred() }
    }
}

impl Serialize for MirrorSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::to(self.to.as_str()) {
            return serializer.serialize_str(&self.to);
        }
        let Self { to, sample, max_body, requests } = self.clone();
        MirrorTable { to, sample, max_body, requests }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MirrorSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MirrorVisitor)
    }
}

struct MirrorVisitor;

impl<'de> Visitor<'de> for MirrorVisitor {
    type Value = MirrorSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, the name of an upstream, or a table { to = \"..\", sample = \"1%\" }")
    }

    fn visit_str<E: de::Error>(self, to: &str) -> Result<MirrorSettings, E> {
        Ok(MirrorSettings::to(to))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<MirrorSettings, A::Error> {
        let table = MirrorTable::deserialize(MapAccessDeserializer::new(table))?;
        let MirrorTable { to, sample, max_body, requests } = table;
        Ok(MirrorSettings { to, sample, max_body, requests })
    }
}
