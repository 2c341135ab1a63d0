//! How often something may happen, as people write it.

use std::{borrow::Cow, fmt, num::NonZeroU32, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Time, text::text};

/// So often in so much time: `"100/1m"`, `"5/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

/// Text that is no [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {A_RATE}")]
pub struct NotARate;

const A_RATE: &str = "a rate such as \"100/1m\" or \"5/s\", of at most a million a second";

/// Faster than that nobody can tell one from the next.
const SHORTEST: Duration = Duration::from_micros(1);

/// So that sums of such times still fit every clock.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

impl Rate {
    /// So often in so much time; `None` if that is too fast, or the time too long or too short.
    pub fn new(count: NonZeroU32, per: Duration) -> Option<Self> {
        (per <= LONGEST && per >= SHORTEST * count.get()).then_some(Self { count, per })
    }

    /// How often.
    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// In how much time.
    pub fn per(self) -> Duration {
        self.per
    }

    /// From one to the next, rounded up: never more often than was written.
    pub fn interval(self) -> Duration {
        let nanoseconds = self.per.as_nanos().div_ceil(u128::from(self.count.get()));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (count, per) = text.split_once('/').ok_or(NotARate)?;
        let digits_alone = count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|_| digits_alone).ok_or(NotARate)?;
        Self::new(count, per_of(per).ok_or(NotARate)?).ok_or(NotARate)
    }
}

/// What stands behind the slash: a time, of which a unit alone is one.
pub(super) fn per_of(text: &str) -> Option<Duration> {
    let has_number = text.starts_with(|first: char| first.is_ascii_digit());
    let time = if has_number { text.parse() } else { format!("1{text}").parse() };
    let Ok(Time(Some(per))) = time else { return None };
    Some(per).filter(|per| !per.is_zero())
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, Time(Some(self.per)))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, A_RATE)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "a rate such as `\"100/1m\"` or `\"5/s\"`" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_people_write_it() {
        for (text, shown, interval) in [
            ("100/1m", "100/1m", Duration::from_millis(600)),
            ("5/s", "5/1s", Duration::from_millis(200)),
            ("1/d", "1/1d", Duration::from_secs(86_400)),
            ("3/1s", "3/1s", Duration::from_nanos(333_333_334)),
            ("1000000/s", "1000000/1s", Duration::from_micros(1)),
        ] {
            let rate: Rate = text.parse().expect("a rate");
            assert_eq!((rate.to_string().as_str(), rate.interval()), (shown, interval), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "/",
            "100",
            "100/",
            "/1m",
            "0/1m",
            "-1/s",
            "+1/s",
            "1/0s",
            "1/off",
            "1.5/s",
            "1/1",
            "1 / s",
            "1/1y",
            "1/400d",
            "1000001/s",
            "5000000000/d",
            "1/s/s",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(NotARate), "{text}");
        }
    }
}
