//! What operators ask a running proxy.

use serde::{Deserialize, Serialize};

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Where it answers: `"127.0.0.1:9901"` or `"unix:/run/aqueduct-admin.sock"`, this machine only; `"off"`.
    pub listen: AdminListener,
    /// So many pairs of route and upstream are told apart in the metrics, and so many endpoints.
    pub max_series: usize,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { listen: AdminListener::Off, max_series: 1000 }
    }
}

/// An address for operators, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AdminListener {
    /// Nobody is answered.
    #[default]
    Off,
    /// `IP:PORT` or `unix:PATH`.
    At(String),
}

impl From<String> for AdminListener {
    fn from(text: String) -> Self {
        if text == "off" { Self::Off } else { Self::At(text) }
    }
}

impl From<AdminListener> for String {
    fn from(listener: AdminListener) -> Self {
        match listener {
            AdminListener::Off => "off".into(),
            AdminListener::At(address) => address,
        }
    }
}
