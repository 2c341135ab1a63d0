//! Values people write: sizes, times, secrets.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes: `"16MiB"`, `"32KiB"`, `"100B"`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A span of time: `"250ms"`, `"30s"`, `"5m"`, `"1h"`, `"7d"`. `"off"` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Option<Duration>);

/// A value that is never printed: it shows as `***`. `{ env = "NAME" }`, `{ file = "/path" }`, or a literal.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Size {
    /// So many KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }
}

impl Time {
    /// So many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Some(Duration::from_secs(seconds)))
    }
}

impl Secret {
    /// Keeps a value from being printed.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = text.strip_suffix('s').and_then(|number| number.parse().ok());
        seconds.map(Self::secs).ok_or_else(|| de::Error::custom("expected a time such as \"30s\""))
    }
}
