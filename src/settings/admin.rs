//! What operators ask a running proxy.

use serde::{Deserialize, Serialize};

use super::values::Secret;

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Where it answers: `"127.0.0.1:9901"` or `"unix:/run/aqueduct-admin.sock"`, this machine only unless there is a token; `"off"`.
    pub listen: AdminListener,
    /// What operators have to show (`Authorization: Bearer`); nothing where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// So many pairs of route and upstream are told apart in the metrics, and so many endpoints.
    pub max_series: usize,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { listen: AdminListener::Off, token: None, max_series: 1000 }
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
