//! Requests with what must become of them, as they are written.

use std::{fmt, net::IpAddr};

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};

/// One of `[[tests]]`: a request and what must become of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSettings {
    /// What it shows; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `"GET /api/orders"`, `"GET https://shop.example/api"`, or a table.
    pub request: TestRequest,
    /// What must become of it.
    pub expect: TestExpectation,
}

/// The request of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestRequest {
    /// The method.
    pub method: String,
    /// A path, or an absolute URL.
    pub url: String,
    /// Its fields, line by line: a name may be there more than once.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub from: Option<IpAddr>,
}

/// What a test expects; each key that is there must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestExpectation {
    /// The route's pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The upstream's name, or the URL of a route without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Path and query the endpoint gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status, where it is the proxy that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The redirect's target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// The long form of [`TestRequest`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestRequestTable {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    headers: IndexMap<String, Lines>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
}

/// The lines of one field: a text, or an array of them.
#[derive(Serialize)]
#[serde(untagged)]
enum Lines {
    One(String),
    Several(Vec<String>),
}

impl Lines {
    fn push(&mut self, line: String) {
        match self {
            Self::One(first) => *self = Self::Several(vec![std::mem::take(first), line]),
            Self::Several(lines) => lines.push(line),
        }
    }

    fn into_lines(self) -> Vec<String> {
        match self {
            Self::One(line) => vec![line],
            Self::Several(lines) => lines,
        }
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LinesVisitor)
    }
}

struct LinesVisitor;

impl<'de> Visitor<'de> for LinesVisitor {
    type Value = Lines;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or an array of them for a field that is repeated")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Lines, E> {
        Ok(Lines::One(text.into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, array: A) -> Result<Lines, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(array)).map(Lines::Several)
    }
}

fn get() -> String {
    "GET".into()
}

impl Serialize for TestRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { method, url, headers, from } = self.clone();
        if headers.is_empty() && from.is_none() && !method.contains(' ') {
            return serializer.collect_str(&format_args!("{method} {url}"));
        }
        let mut table = TestRequestTable { method, url, headers: IndexMap::new(), from };
        for (name, line) in headers {
            match table.headers.get_mut(&name) {
                Some(lines) => lines.push(line),
                None => drop(table.headers.insert(name, Lines::One(line))),
            }
        }
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TestRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TestRequestVisitor)
    }
}

struct TestRequestVisitor;

impl<'de> Visitor<'de> for TestRequestVisitor {
    type Value = TestRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request such as \"GET /path\", or a table { method = \"GET\", url = \"/path\", .. }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TestRequest, E> {
        let (method, url) = text.split_once(' ').ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
        Ok(TestRequest { method: method.into(), url: url.into(), headers: Vec::new(), from: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<TestRequest, A::Error> {
        let table = TestRequestTable::deserialize(MapAccessDeserializer::new(table))?;
        let TestRequestTable { method, url, headers, from } = table;
        let lines =
            |(name, lines): (String, Lines)| lines.into_lines().into_iter().map(move |line| (name.clone(), line));
        let headers = headers.into_iter().flat_map(lines).collect();
        Ok(TestRequest { method, url, headers, from })
    }
}
