//! Logs as they are asked for.

use serde::{Deserialize, Serialize};

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// What the application log shows: `error`, `warn`, `info`, `debug`, `trace`, or an env_logger filter.
    pub level: String,
    /// One line a request.
    pub access: AccessLogSettings,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".into(), access: AccessLogSettings::default() }
    }
}

/// `[log.access]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogSettings {
    /// `"off"`, `"stdout"`, or a file; the file is reopened on SIGUSR1.
    pub path: String,
    /// `"combined"`, `"json"`, or a template such as `"${client} ${method} ${path} ${status}"`.
    pub format: String,
    /// What must not be written down.
    pub redact: RedactSettings,
}

impl Default for AccessLogSettings {
    fn default() -> Self {
        Self { path: "off".into(), format: "combined".into(), redact: RedactSettings::default() }
    }
}

/// `[log.access.redact]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactSettings {
    /// Query parameters whose values are written as `***`.
    pub query: Vec<String>,
    /// Header fields whose values a template never shows.
    pub headers: Vec<String>,
    /// `"keep"` the client address, `"truncate"` it (IPv4 /24, IPv6 /48) or leave it `"off"`.
    pub ip: RedactIp,
}

impl Default for RedactSettings {
    fn default() -> Self {
        Self {
            query: ["token", "access_token", "code", "password", "secret", "key"].map(String::from).to_vec(),
            headers: ["authorization", "cookie", "set-cookie", "proxy-authorization"].map(String::from).to_vec(),
            ip: RedactIp::default(),
        }
    }
}

/// What becomes of client addresses in the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RedactIp {
    /// Written whole.
    #[default]
    Keep,
    /// IPv4 to /24, IPv6 to /48.
    Truncate,
    /// Not written.
    Off,
}
