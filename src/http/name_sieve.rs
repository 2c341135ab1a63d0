//! Whether a field may be one of a few, found out without comparing names.

use super::HeaderName;

/// Says of nearly every other name that it is none of them, by how long it is and by its first and last letters.
#[derive(Debug, Clone, Copy, Default)]
pub struct NameSieve(u64);

impl NameSieve {
    /// Of these.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n HeaderName>) -> Self {
        Self(names.into_iter().fold(0, |all, name| all | bit(name)))
    }

    /// It may be one of them.
    pub fn may_have(self, name: &HeaderName) -> bool {
        self.0 & bit(name) != 0
    }
}

/// With these factors none of the usual fields of an answer is taken for one that `security_headers` knows.
fn bit(name: &HeaderName) -> u64 {
    let text = name.as_str().as_bytes();
    let (first, last) = (text.first().copied().unwrap_or_default(), text.last().copied().unwrap_or_default());
    1 << ((text.len() + 3 * usize::from(first) + 39 * usize::from(last)) % 64)
}
