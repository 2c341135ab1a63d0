//! How many requests an upstream carries at once, as it is written.

use serde::{Deserialize, Serialize};

use super::{share::Share, values::Time};

/// `limit = { requests = 500, per_endpoint = 100, .. }`: what is more than that waits, in the order of its class and then in
/// that in which it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// At once to the upstream, over all workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Finds out how many the endpoints carry without getting slower, no more than `requests`, ..
    pub adaptive: bool,
    /// .. and no less than this.
    pub least: u32,
    /// At once to each endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_endpoint: Option<u32>,
    /// The part of `requests` that those of class `"sheddable"` may have.
    pub sheddable: Share,
    /// A field that names the class of a request; it is believed if one of `trusted_proxies` sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_header: Option<String>,
    /// How many may wait.
    pub queue: usize,
    /// For how long.
    pub queue_timeout: Time,
}

/// What a request is worth where not all can be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It goes before all others.
    Critical,
    /// What is not said to be anything else.
    #[default]
    Normal,
    /// It is the first to be turned away.
    Sheddable,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            requests: None,
            adaptive: false,
            least: 5,
            per_endpoint: None,
            sheddable: Share::percent(80),
            class_header: None,
            queue: 1000,
            queue_timeout: Time::secs(1),
        }
    }
}

impl Class {
    /// By its name.
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"critical" => Some(Self::Critical),
            b"normal" => Some(Self::Normal),
            b"sheddable" => Some(Self::Sheddable),
            _ => None,
        }
    }
}
