//! When to ask an upstream no more for a while, as it is written.

use serde::{Deserialize, Serialize};

use super::{share::Share, values::Time};

/// `breaker = { error_rate = "50%", open = "5s", .. }`: what failed is what its client sees fail, after retries: no answer, or
/// 502, 503 or 504.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// The part of its last requests that must fail, ..
    pub error_rate: Share,
    /// .. of at least so many in 10 to 20 s.
    pub requests: u32,
    /// How long nobody is asked; twice as long each time again.
    pub open: Time,
    /// The longest that becomes.
    pub max_open: Time,
    /// So many requests, one after the other, must then be answered well.
    pub trials: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { error_rate: Share::percent(50), requests: 20, open: Time::secs(5), max_open: Time::secs(60), trials: 3 }
    }
}
