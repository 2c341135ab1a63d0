//! Values people write: sizes, times, secrets.

use std::{fmt, fs, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};

use super::text::text;

/// A number of bytes: `"16MiB"`, `"32KiB"`, `"100B"`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// A span of time: `"250ms"`, `"30s"`, `"5m"`, `"1h"`, `"7d"`. `"off"` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Option<Duration>);

/// What others may do with a file, in octal: `"0660"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(pub u32);

/// A value that is never printed: it shows as `***`. `{ env = "NAME" }`, `{ file = "/path" }`, or a literal.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Text that is none of the values here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct NotAValue(pub(super) &'static str);

const A_MODE: &str = "a file mode in octal such as \"0660\", in quotes";
const A_SIZE: &str = "a size such as \"16MiB\" (B, KB, KiB, MB, MiB, GB, GiB)";
const A_TIME: &str = "a time such as \"250ms\", \"30s\", \"5m\", \"1h\" or \"7d\", or \"off\"";
const A_SECRET: &str = "a string, { env = \"NAME\" } or { file = \"PATH\" }";

/// Bytes in one of each unit; where two divide a number, the first is written.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Milliseconds in one of each unit.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A hundred years: a deadline that far away still fits every clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Size {
    /// So many KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// So many MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }
}

impl std::str::FromStr for Size {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        count_of(text, &SIZE_UNITS).map(Self).ok_or(NotAValue(A_SIZE))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_count(f, self.0, &SIZE_UNITS, "B")
    }
}

impl Time {
    /// No limit.
    pub const OFF: Self = Self(None);

    /// So many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Some(Duration::from_secs(seconds)))
    }

    /// So many milliseconds.
    pub const fn millis(milliseconds: u64) -> Self {
        Self(Some(Duration::from_millis(milliseconds)))
    }
}

impl std::str::FromStr for FileMode {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let mode = if is_octal { u32::from_str_radix(text, 8).ok() } else { None };
        mode.filter(|mode| *mode <= 0o777).map(Self).ok_or(NotAValue(A_MODE))
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl std::str::FromStr for Time {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let span = count_of(text, &TIME_UNITS).map(Duration::from_millis).ok_or(NotAValue(A_TIME))?;
        if span > LONGEST {
            return Err(NotAValue(A_TIME));
        }
        Ok(Self(Some(span)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(span) = self.0 else { return f.write_str("off") };
        // A part of a millisecond only code can ask for; rounded up, as 0 would read as something else.
        let milliseconds = u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        write_count(f, milliseconds, &TIME_UNITS, "s")
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

/// Reads digits followed by one of `units`, without sign, space or fraction.
fn count_of(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, worth) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*worth)
}

fn write_count(f: &mut fmt::Formatter<'_>, count: u64, units: &[(&str, u64)], unit_of_zero: &str) -> fmt::Result {
    if count == 0 {
        return write!(f, "0{unit_of_zero}");
    }
    let whole = units.iter().find(|(_, worth)| count.is_multiple_of(*worth));
    let (unit, worth) = whole.expect("every list of units ends with one that is worth 1");
    write!(f, "{}{unit}", count / worth)
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(A_SIZE)
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes).map(Size).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, A_TIME)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, A_MODE)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

/// Where a secret is kept.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Env(String),
    File(String),
}

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(A_SECRET)
    }

    fn visit_str<E: de::Error>(self, literal: &str) -> Result<Secret, E> {
        Ok(Secret::new(literal))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
        // Of two keys the second would be left out.
        if map.size_hint().is_some_and(|keys| keys != 1) {
            return Err(de::Error::custom("a secret is kept in one place: either `env` or `file`"));
        }
        match Kept::deserialize(MapAccessDeserializer::new(map))? {
            Kept::Env(name) => std::env::var(&name)
                .map(Secret)
                .map_err(|error| de::Error::custom(format_args!("no secret in the variable {name}: {error}"))),
            // Editors end a file with a newline that is no part of the secret.
            Kept::File(path) => fs::read_to_string(&path)
                .map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])))
                .map_err(|error| de::Error::custom(format_args!("no secret in the file {path}: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them() {
        for (text, bytes) in [("0B", 0), ("100B", 100), ("1KB", 1000), ("32KiB", 32 << 10), ("2GiB", 2 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for (text, time) in [("250ms", Time::millis(250)), ("5m", Time::secs(300)), ("7d", Time::secs(604_800))] {
            assert_eq!(text.parse(), Ok(time), "{text}");
        }
        assert_eq!("off".parse(), Ok(Time::OFF));
        assert_eq!(["0660", "700"].map(str::parse), [Ok(FileMode(0o660)), Ok(FileMode(0o700))]);
        assert_eq!(FileMode(0o60).to_string(), "0060");
    }

    #[test]
    fn what_is_no_size_or_time_is_refused() {
        for text in ["", "16", "16 MiB", "16mib", "-1B", "+1B", "1.5MiB", "MiB", "99999999999GiB", "1_000B", "٣B"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "30", "30 s", "s", "-1s", "0.5s", "1h30m", "OFF", "99999999d", "213503982334602d"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_plain_number_is_a_size_but_never_a_time() {
        assert_eq!(serde_json::from_str::<Size>("4096").expect("a size"), Size::kib(4));
        assert!(serde_json::from_str::<Size>("-1").is_err());
        assert!(serde_json::from_str::<Size>("1.5").is_err());
        assert!(serde_json::from_str::<Time>("30").is_err());
    }

    #[test]
    fn a_secret_shows_nowhere() {
        let secret = Secret::new("hunter2");

        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).expect("json"), "\"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_secret_comes_from_a_file_without_its_last_newline() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, "hunter2\n").expect("a file");

        let secret: Secret = serde_json::from_value(serde_json::json!({ "file": path })).expect("a secret");

        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        let missing = serde_json::json!({ "env": "AQUEDUCT_TEST_NO_SUCH_VARIABLE" });

        let error = serde_json::from_value::<Secret>(missing).expect_err("no secret");

        assert!(error.to_string().contains("AQUEDUCT_TEST_NO_SUCH_VARIABLE"), "{error}");
    }

    proptest! {
        #[test]
        fn every_size_reads_back_as_it_was_written(bytes: u64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }

        #[test]
        fn every_time_reads_back_as_it_was_written(milliseconds in 0u64..=3_153_600_000_000) {
            let time = Time::millis(milliseconds);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = (text.parse::<Size>(), text.parse::<Time>());
        }
    }
}
