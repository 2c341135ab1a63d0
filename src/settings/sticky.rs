//! How clients are kept where they are, as it is written.

use serde::{Deserialize, Serialize};

use super::values::{Secret, Time};

/// `sticky = { cookie = "srv", secret = { env = "STICKY_SECRET" }, ttl = "1h" }` of an upstream: a client stays with its
/// endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StickySettings {
    /// What the cookie is called.
    pub cookie: String,
    /// What it is signed with: the same in all processes and on all machines that clients may come to. Without one it is
    /// made up when the process starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// How long a client that does not come is remembered.
    #[serde(default = "an_hour")]
    pub ttl: Time,
}

/// `sticky = { cookie = "cohort", ttl = "7d" }` of a route with a split: a client keeps its side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CohortSettings {
    /// What the cookie is called.
    pub cookie: String,
    /// How long a client that does not come is remembered.
    #[serde(default = "a_week")]
    pub ttl: Time,
}

impl StickySettings {
    /// A cookie of this name, for an hour, signed with what is made up at the start.
    pub fn new(cookie: impl Into<String>) -> Self {
        Self { cookie: cookie.into(), secret: None, ttl: an_hour() }
    }
}

impl CohortSettings {
    /// A cookie of this name, for a week.
    pub fn new(cookie: impl Into<String>) -> Self {
        Self { cookie: cookie.into(), ttl: a_week() }
    }
}

fn an_hour() -> Time {
    Time::secs(3600)
}

fn a_week() -> Time {
    Time::secs(7 * 24 * 3600)
}
