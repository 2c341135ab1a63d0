//! When to ask a second endpoint as well, as it is written.

use std::{fmt, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};

use super::{share::Share, text::text, values::Time};

/// `hedge = { at = "p95", budget = "5%" }`, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HedgeRule {
    /// One endpoint at a time is asked.
    Off,
    /// A second one as well.
    On(HedgeSettings),
}

/// When, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HedgeSettings {
    /// Once the first one keeps us waiting for this.
    pub at: HedgeAt,
    /// No more than this part of all requests.
    pub budget: Share,
}

/// How long to wait for the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAt {
    /// For longer than so many of a hundred of the route's requests lately took.
    Percentile(u8),
    /// For so long.
    After(Duration),
}

/// Text that is no [`HedgeAt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {A_MOMENT}")]
pub struct NotAMoment;

const A_MOMENT: &str = "a percentile from \"p50\" to \"p99\", or a time such as \"50ms\"";

impl Default for HedgeSettings {
    fn default() -> Self {
        Self { at: HedgeAt::Percentile(95), budget: Share::percent(5) }
    }
}

impl FromStr for HedgeAt {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        if let Some(number) = text.strip_prefix('p') {
            let number = number.parse().ok().filter(|number| (50..=99).contains(number));
            return number.map(Self::Percentile).ok_or(NotAMoment);
        }
        text.parse::<Time>().ok().and_then(|time| time.0).map(Self::After).ok_or(NotAMoment)
    }
}

impl fmt::Display for HedgeAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(number) => write!(f, "p{number}"),
            Self::After(time) => Time(Some(*time)).fmt(f),
        }
    }
}

impl Serialize for HedgeAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HedgeAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, A_MOMENT)
    }
}

impl Serialize for HedgeRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On(settings) => settings.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for HedgeRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

struct RuleVisitor;

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = HedgeRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"off\" or a table { at = \"p95\", budget = \"5%\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<HedgeRule, E> {
        if text == "off" { Ok(HedgeRule::Off) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<HedgeRule, A::Error> {
        HedgeSettings::deserialize(MapAccessDeserializer::new(table)).map(HedgeRule::On)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_shown() {
        for text in ["p50", "p95", "p99", "50ms", "2s"] {
            assert_eq!(text.parse::<HedgeAt>().map(|at| at.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "p", "p49", "p100", "p9.5", "95", "off", "P95"] {
            assert_eq!(text.parse::<HedgeAt>(), Err(NotAMoment), "{text}");
        }
    }
}
