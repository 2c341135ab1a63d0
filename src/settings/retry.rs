//! When to send a request again, as it is written.

use serde::{Deserialize, Serialize};

use super::{
    share::Share,
    values::{Size, Time},
};

/// `retry = { attempts = 2, on = ["connect", "reset", "502", "503"], .. }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// How many endpoints to try in all; 1 is no retry.
    pub attempts: u32,
    /// After what: `"connect"`, `"reset"` (a connection that breaks before an answer), `"timeout"` (no answer in time), or
    /// a status such as `"503"`.
    pub on: Vec<String>,
    /// Which requests, once they may have been looked at.
    pub methods: RetryMethods,
    /// So much of a body is kept, so that it can be sent again.
    pub body: Size,
    /// Retries are no more than this part of all requests, ..
    pub budget: Share,
    /// .. and so many at once.
    pub burst: u32,
    /// How long to wait before the second retry, by chance between nothing and this; the first one goes at once.
    pub backoff: Time,
    /// It doubles each time, up to this.
    pub max_backoff: Time,
}

/// Which requests to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RetryMethods {
    /// Those for which twice is the same as once (RFC 9110, 9.2.2).
    #[default]
    Idempotent,
    /// All: the endpoints see to it that twice does no harm.
    Any,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: ["connect", "reset", "502", "503"].map(String::from).into(),
            methods: RetryMethods::Idempotent,
            body: Size::kib(16),
            budget: Share::percent(20),
            burst: 100,
            backoff: Time::millis(25),
            max_backoff: Time::millis(250),
        }
    }
}
