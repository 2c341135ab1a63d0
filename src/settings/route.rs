//! Routes as they are written.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::values::{Size, Time};

/// One route: a URL or an upstream's name alone, or a table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteSettings {
    /// A URL, or the name of an upstream. One of `to`, `redirect`, `respond`.
    pub to: Option<String>,
    /// Remove the matched prefix from the path.
    pub strip: bool,
    /// Answer with a redirect to this URL or path; `${rest}` is what follows the matched prefix, `${name}` a group.
    pub redirect: Option<String>,
    /// The status of the redirect; 308 unless said.
    pub status: Option<u16>,
    /// Answer from here.
    pub respond: Option<RespondSettings>,
    /// Which of several regex routes goes first: the higher.
    pub priority: i64,
    /// Overrides of `[defaults]`.
    pub overrides: RouteDefaults,
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
    pub headers: IndexMap<String, String>,
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// Bytes of a request body; overrides `server.http.max_body`. 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Size>,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestRequest {
    /// The method.
    pub method: String,
    /// A path, or an absolute URL.
    pub url: String,
    /// Its fields.
    pub headers: IndexMap<String, String>,
    /// The client's address.
    pub from: Option<std::net::IpAddr>,
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
