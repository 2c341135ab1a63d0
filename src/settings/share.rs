//! Parts of a whole, as people write them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::text;

/// A part of a whole: `"50%"`, from nothing to all of it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

/// Text that is no [`Share`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {A_SHARE}")]
pub struct NotAShare;

const A_SHARE: &str = "a share such as \"50%\" or \"2.5%\"";

impl Share {
    /// So many of a hundred.
    ///
    /// # Panics
    /// If there are not so many in it.
    pub const fn percent(percent: u8) -> Self {
        assert!(percent <= 100, "more than all of it");
        Self(percent as f64)
    }

    /// Of one.
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
        percent.filter(|percent| (0.0..=100.0).contains(percent)).map(Self).ok_or(NotAShare)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, A_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_as_it_is_shown() {
        for text in ["0%", "2.5%", "50%", "100%"] {
            assert_eq!(text.parse::<Share>().map(|share| share.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "%", "50", "101%", "-1%", "NaN%", "0.5"] {
            assert_eq!(text.parse::<Share>(), Err(NotAShare), "{text}");
        }
    }
}
