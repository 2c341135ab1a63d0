//! Routes as they are written.

use indexmap::IndexMap;
use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};

use super::{
    destination::Destination,
    hedge::HedgeRule,
    limit::Class,
    mirror::MirrorSettings,
    names::Names,
    overrides::Overrides,
    sticky::CohortSettings,
    values::{Size, Time},
};

/// One route: a URL or an upstream's name alone, or a table.
///
/// Keys that are not a route's own are filters: a plan checks them against the kinds of filters it knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteSettings {
    /// A URL, the name of an upstream, or several of these with weights. One of `to`, `redirect`, `respond`.
    pub to: Option<Destination>,
    /// Clients keep their side of a split.
    pub sticky: Option<Box<CohortSettings>>,
    /// Who gets copies of the requests.
    pub mirror: Option<Box<MirrorSettings>>,
    /// Remove the matched prefix from the path.
    pub strip: bool,
    /// Answer with a redirect to this URL or path; `${rest}` is what follows the matched prefix, with the
    /// slash it begins with, `${name}` a group.
    pub redirect: Option<String>,
    /// The status of the redirect; 308 unless said.
    pub status: Option<u16>,
    /// Answer from here.
    pub respond: Option<Box<RespondSettings>>,
    /// Which of several regex routes goes first: the higher.
    pub priority: i64,
    /// Overrides of `[defaults]`.
    pub overrides: Overrides,
    /// The settings of filters, by kind.
    pub filters: IndexMap<String, serde_json::Value>,
}

/// `respond = { status = 200, body = "ok" }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RespondSettings {
    /// The status.
    pub status: u16,
    /// The content.
    pub body: String,
    /// Its media type.
    pub content_type: String,
    /// More fields.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
}

impl RouteSettings {
    /// The keys of a route that are not filters.
    pub const KEYS: [&str; 15] = [
        "to",
        "sticky",
        "mirror",
        "strip",
        "redirect",
        "status",
        "respond",
        "priority",
        "timeout",
        "forwarded",
        "host",
        "class",
        "hedge",
        "max_body",
        "use",
    ];

    /// A route that only says where to.
    pub fn to(target: impl Into<Destination>) -> Self {
        Self { to: Some(target.into()), ..Self::default() }
    }

    /// Its target, if it says no more than that.
    fn short(&self) -> Option<&str> {
        match &self.to {
            Some(Destination::One(to)) if *self == Self::to(to.as_str()) => Some(to),
            _ => None,
        }
    }
}

impl RouteDefaults {
    /// The keys that are not filters.
    pub const KEYS: &[&str] = &["timeout", "forwarded", "host", "class", "hedge", "max_body", "use"];

    /// Takes the value of this key, if it is one of these.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, table: &mut A) -> Result<bool, A::Error> {
        match key {
            "timeout" => self.timeout = table.next_value()?,
            "forwarded" => self.forwarded = table.next_value()?,
            "host" => self.host = table.next_value()?,
            "class" => self.class = table.next_value()?,
            "hedge" => self.hedge = table.next_value()?,
            "max_body" => self.max_body = table.next_value()?,
            "use" => self.policies = table.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What holds when nothing else is said.
    pub fn built_in() -> Self {
        Self {
            timeout: Some(TimeoutSettings {
                connect: Some(Time::secs(2)),
                first_byte: Some(Time::secs(60)),
                idle: Some(Time::secs(60)),
                total: Some(Time::OFF),
            }),
            forwarded: Some(ForwardedFields::Both),
            host: Some("preserve".into()),
            class: None,
            hedge: None,
            max_body: None,
            policies: None,
            filters: IndexMap::new(),
        }
    }

    /// These, and where they do not say, those.
    #[must_use]
    pub fn or(&self, weaker: &Self) -> Self {
        let timeout = match (self.timeout, weaker.timeout) {
            (Some(own), Some(weaker)) => Some(own.or(weaker)),
            (own, weaker) => own.or(weaker),
        };
        Self {
            timeout,
            forwarded: self.forwarded.or(weaker.forwarded),
            host: self.host.as_ref().or(weaker.host.as_ref()).cloned(),
            class: self.class.or(weaker.class),
            hedge: self.hedge.or(weaker.hedge),
            max_body: self.max_body.or(weaker.max_body),
            policies: self.policies.as_ref().or(weaker.policies.as_ref()).cloned(),
            filters: IndexMap::new(),
        }
    }
}

impl TimeoutSettings {
    /// These, and where they do not say, those.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            connect: self.connect.or(weaker.connect),
            first_byte: self.first_byte.or(weaker.first_byte),
            idle: self.idle.or(weaker.idle),
            total: self.total.or(weaker.total),
        }
    }
}

impl Serialize for RouteSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(to) = self.short() {
            return serializer.serialize_str(to);
        }
        let mut table = serializer.serialize_map(None)?;
        entry(&mut table, "to", self.to.as_ref())?;
        entry(&mut table, "sticky", self.sticky.as_ref())?;
        entry(&mut table, "mirror", self.mirror.as_ref())?;
        entry(&mut table, "strip", self.strip.then_some(true))?;
        entry(&mut table, "redirect", self.redirect.as_ref())?;
        entry(&mut table, "status", self.status)?;
        entry(&mut table, "respond", self.respond.as_ref())?;
        entry(&mut table, "priority", (self.priority != 0).then_some(self.priority))?;
        entry(&mut table, "timeout", self.overrides.timeout)?;
        entry(&mut table, "forwarded", self.overrides.forwarded)?;
        entry(&mut table, "host", self.overrides.host.as_ref())?;
        entry(&mut table, "class", self.overrides.class)?;
        entry(&mut table, "hedge", self.overrides.hedge)?;
        entry(&mut table, "max_body", self.overrides.max_body)?;
        entry(&mut table, "use", self.overrides.policies.as_ref())?;
        for (kind, settings) in &self.filters {
            table.serialize_entry(kind, settings)?;
        }
        table.end()
    }
}

fn entry<M: SerializeMap, V: Serialize>(table: &mut M, key: &str, value: Option<V>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| table.serialize_entry(key, &value))
}

impl<'de> Deserialize<'de> for RouteSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RouteVisitor)
    }
}

struct RouteVisitor;

impl<'de> Visitor<'de> for RouteVisitor {
    type Value = RouteSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, the name of an upstream, or a table")
    }

    fn visit_str<E: de::Error>(self, to: &str) -> Result<RouteSettings, E> {
        Ok(RouteSettings::to(to))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<RouteSettings, A::Error> {
        let mut route = RouteSettings::default();
        while let Some(key) = table.next_key::<String>()? {
            match key.as_str() {
                "to" => route.to = table.next_value()?,
                "sticky" => route.sticky = table.next_value()?,
                "mirror" => route.mirror = table.next_value()?,
                "strip" => route.strip = table.next_value()?,
                "redirect" => route.redirect = table.next_value()?,
                "status" => route.status = table.next_value()?,
                "respond" => route.respond = table.next_value()?,
                "priority" => route.priority = table.next_value()?,
                key if RouteDefaults::KEYS.contains(&key) => {
                    route.overrides.take(key, &mut table)?;
                }
                _ => {
                    let settings = table.next_value()?;
                    route.filters.insert(key, settings);
                }
            }
        }
        Ok(route)
    }
}

impl Default for RespondSettings {
    fn default() -> Self {
        Self {
            status: 200,
            body: String::new(),
            content_type: "text/plain; charset=utf-8".into(),
            headers: IndexMap::new(),
        }
    }
}

/// `[defaults]`, and the same keys inside a route.
///
/// Other keys of `[defaults]` are filters, as they are in a route.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RouteDefaults {
    /// How long to wait for an endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeoutSettings>,
    /// Which fields tell the endpoint about the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<ForwardedFields>,
    /// `"preserve"` the client's Host, `"upstream"` for the endpoint's own authority, or a literal value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What its requests are worth where an upstream cannot carry all: `"critical"`, `"normal"` or `"sheddable"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// When a second endpoint is asked as well, because the first one takes long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<HedgeRule>,
    /// Bytes of a request body; overrides `server.http.max_body`. 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Size>,
    /// The policies that are used.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub policies: Option<Names>,
    /// The settings of filters, by kind; only of `[defaults]`, a route has its own.
    #[serde(flatten)]
    pub filters: IndexMap<String, serde_json::Value>,
}

impl<'de> Deserialize<'de> for RouteDefaults {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DefaultsVisitor)
    }
}

struct DefaultsVisitor;

impl<'de> Visitor<'de> for DefaultsVisitor {
    type Value = RouteDefaults;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<RouteDefaults, A::Error> {
        let mut defaults = RouteDefaults::default();
        while let Some(key) = table.next_key::<String>()? {
            if !defaults.take(&key, &mut table)? {
                let settings = table.next_value()?;
                defaults.filters.insert(key, settings);
            }
        }
        Ok(defaults)
    }
}

/// `timeout = { connect = "2s", first_byte = "60s", idle = "60s", total = "off" }`
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutSettings {
    /// To get a connection to the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Time>,
    /// Until the endpoint begins to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Time>,
    /// Without a byte moving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Time>,
    /// For the whole exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Time>,
}

/// Which fields tell the endpoint about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedFields {
    /// `Forwarded` (RFC 7239) and `X-Forwarded-For`, `-Host`, `-Proto`.
    #[default]
    Both,
    /// `Forwarded` only.
    Standard,
    /// `X-Forwarded-*` only.
    X,
    /// None; what an untrusted client sent under these names goes all the same.
    Off,
}

impl From<&str> for RouteSettings {
    fn from(to: &str) -> Self {
        Self::to(to)
    }
}

impl From<String> for RouteSettings {
    fn from(to: String) -> Self {
        Self::to(to)
    }
}

impl From<Destination> for RouteSettings {
    fn from(to: Destination) -> Self {
        Self::to(to)
    }
}
