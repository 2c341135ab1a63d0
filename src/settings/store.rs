//! Where answers are kept, and what several processes share, as it is written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Secret, Size, Time};

/// `[stores.NAME]`: where something is kept: `redis` alone for limits, `memory`, `disk` or both for answers, or a `redis` below `memory`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// A Redis, or what speaks as it does: what several processes have in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSettings>,
    /// Memory of this process: answers that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemorySettings>,
    /// A folder, for answers that memory has no room for, and for those of the process before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskSettings>,
}

/// A folder for answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSettings {
    /// Where it is; it is made where it is missing. It is for one process, and one store, at a time.
    pub path: PathBuf,
    /// So many bytes of it.
    pub size: Size,
}

/// Memory for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySettings {
    /// So much of it, with all that is kept beside the answers themselves.
    pub size: Size,
}

/// Where a Redis is, and how it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://USER:PASSWORD@HOST:PORT/DB`, `rediss://` where TLS is spoken, or `redis+unix:PATH`; it may hold a password, so it is
    /// never shown.
    pub url: Secret,
    /// Whom to believe to be that server instead of the machine's roots, as a PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// An answer that takes longer is none. No request waits for it.
    #[serde(default = "a_quarter")]
    pub timeout: Time,
    /// What the names of all keys begin with.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// With memory beside it, for answers: no larger one is put there.
    #[serde(default = "small")]
    pub max_object: Size,
}

fn a_quarter() -> Time {
    Time::millis(250)
}

fn small() -> Size {
    Size::kib(64)
}

fn prefix() -> String {
    "aqueduct:".into()
}
