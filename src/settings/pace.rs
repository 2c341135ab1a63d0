//! How much may go in so much time, as people write it.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Size, Time, rate::per_of, text::text};

/// So many bytes in so much time: `"1MiB/s"`, `"600MB/1m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    size: Size,
    per: Duration,
}

/// Text that is no [`Pace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {A_PACE}")]
pub struct NotAPace;

const A_PACE: &str = "a pace such as \"1MiB/s\" or \"600MB/1m\", from 1KiB to 1024GiB a second";

const SLOWEST: u128 = 1 << 10;
const FASTEST: u128 = 1 << 40;

impl Pace {
    /// So much of it in this time.
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.size.0) * time.as_nanos() / self.per.as_nanos();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// What so many bytes take, rounded up.
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanoseconds = (u128::from(bytes) * self.per.as_nanos()).div_ceil(u128::from(self.size.0));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl FromStr for Pace {
    type Err = NotAPace;

    fn from_str(text: &str) -> Result<Self, NotAPace> {
        let (size, per) = text.split_once('/').ok_or(NotAPace)?;
        let size: Size = size.parse().map_err(|_| NotAPace)?;
        let per = per_of(per).filter(|per| *per <= Duration::from_secs(86_400)).ok_or(NotAPace)?;
        let second = u128::from(size.0) * 1_000_000_000 / per.as_nanos();
        (SLOWEST..=FASTEST).contains(&second).then_some(Self { size, per }).ok_or(NotAPace)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.size, Time(Some(self.per)))
    }
}

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, A_PACE)
    }
}

impl JsonSchema for Pace {
    fn schema_name() -> Cow<'static, str> {
        "Pace".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "a pace such as `\"1MiB/s\"`" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_read_as_people_write_it() {
        for (text, shown, second) in [("1MiB/s", "1MiB/1s", 1 << 20), ("600MB/1m", "600MB/1m", 10_000_000)] {
            let pace: Pace = text.parse().expect("a pace");
            assert_eq!((pace.to_string().as_str(), pace.bytes_in(Duration::from_secs(1))), (shown, second));
            assert_eq!(pace.time_for(second), Duration::from_secs(1));
        }
        let third: Pace = "3KB/s".parse().expect("a pace");
        assert_eq!(third.time_for(1), Duration::from_nanos(333_334));
    }

    #[test]
    fn what_is_no_pace_is_refused() {
        for text in [
            "",
            "1MiB",
            "1MiB/",
            "/s",
            "0B/s",
            "1023B/s",
            "1MiB/0s",
            "1MiB/off",
            "1025GiB/s",
            "1 MiB/s",
            "1MiB/2d",
            "10/s",
        ] {
            assert_eq!(text.parse::<Pace>(), Err(NotAPace), "{text}");
        }
    }
}
