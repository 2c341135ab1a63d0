//! How endpoints are checked, as it is written.

use serde::{Deserialize, Serialize};

use super::{share::Share, values::Time};

/// `health = { path = "/healthz", every = "5s", .. }`: every endpoint is asked again and again, whether there are requests
/// or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// How to ask.
    pub kind: CheckKind,
    /// What to GET.
    pub path: String,
    /// The `Host` to name; without it the endpoint's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port to ask at; without it the endpoint's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The service to ask for with gRPC; empty is the server as a whole.
    pub service: String,
    /// The statuses of one that is well: `"200"` or `"200-399"`.
    pub status: String,
    /// What its answer must contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How often.
    pub every: Time,
    /// By how much of that more or less, by chance: so that not all are asked at once.
    pub jitter: Share,
    /// How long an answer may take.
    pub timeout: Time,
    /// So many good answers in a row, and it is well.
    pub rise: u32,
    /// So many bad ones, or none, and it is not.
    pub fall: u32,
}

/// How to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// GET, and the status of the answer.
    #[default]
    Http,
    /// A connection that can be made, TLS included.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            kind: CheckKind::Http,
            path: "/".into(),
            host: None,
            port: None,
            service: String::new(),
            status: "200-299".into(),
            body: None,
            every: Time::secs(5),
            jitter: Share::percent(10),
            timeout: Time::secs(2),
            rise: 2,
            fall: 3,
        }
    }
}
