//! When to leave an endpoint alone, as it is written.

use serde::{Deserialize, Serialize};

use super::{share::Share, values::Time};

/// `outlier = { consecutive = 5, eject = "1s", .. }`: what failed is an endpoint that cannot be reached, breaks off, keeps
/// us waiting, or answers 502, 503 or 504.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierSettings {
    /// Failures in a row until it is left alone; 0 is never.
    pub consecutive: u32,
    /// The part of its last requests that may fail, of at least 20 in 10 to 20 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<Share>,
    /// How many times as long as the endpoint in the middle it may take to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_factor: Option<f64>,
    /// How long it is left alone, before one request shows whether it has recovered; twice as long each time that it soon
    /// fails again.
    pub eject: Time,
    /// The longest that becomes.
    pub max_eject: Time,
    /// The part of the endpoints that may be left alone at once; one always may.
    pub max_ejected: Share,
    /// With less than this part of the endpoints well nobody is spared: backups take over, or everyone is used.
    pub panic: Share,
}

impl Default for OutlierSettings {
    fn default() -> Self {
        Self {
            consecutive: 5,
            error_rate: None,
            latency_factor: None,
            eject: Time::secs(1),
            max_eject: Time::secs(30),
            max_ejected: Share::percent(50),
            panic: Share::percent(30),
        }
    }
}
