//! How an answer lies in its file.
//!
//! ```text
//! prelude   72 bytes of plain numbers, and their sum; written last, and where what it says of freshness ends also later
//! about     the key and the head, of which the prelude has the sum
//! body      blocks of 64 KiB, the last one shorter, each with its sum behind it
//! ```
//!
//! Sums begin with a number that each file has of its own: what was left over from another file is no part of this one.

use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::cache::{key::Key, policy::Head};

/// So much of a body has a sum of its own.
pub const BLOCK: usize = 64 * 1024;

/// More than this is no key and head.
pub const MOST_ABOUT: u64 = 4 << 20;

const MAGIC: [u8; 8] = *b"AqCache\x01";
const SUM: u64 = 8;
/// What is summed up of the prelude and of what follows it, beside blocks with their numbers.
const OF_PRELUDE: u64 = u64::MAX;
const OF_ABOUT: u64 = u64::MAX - 1;

/// The numbers that a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prelude {
    /// What its sums begin with.
    pub own: u64,
    /// Which process has written it, by a number that it has by chance.
    pub process: u64,
    /// When the endpoint was asked, by the clock of that process.
    pub since: u64,
    /// It is stale since then, in milliseconds since 1970; 0 if it is as its head says.
    pub expired: u64,
    /// How long its body is.
    pub body: u64,
    /// How long its key and head are.
    pub about: u64,
    /// Their sum.
    pub about_sum: u64,
}

impl Prelude {
    /// So many bytes.
    pub const LENGTH: usize = 72;

    /// With what follows it.
    pub fn with(self, about: &[u8], body: u64) -> Self {
        let about_sum = sum(self.own, OF_ABOUT, about);
        Self { body, about: about.len() as u64, about_sum, ..self }
    }

    /// As it is written.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let Self { own, process, since, expired, body, about, about_sum } = self;
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&MAGIC);
        for (index, number) in [own, process, since, expired, body, about, about_sum].into_iter().enumerate() {
            put(&mut bytes, index + 1, number);
        }
        let own_sum = sum(own, OF_PRELUDE, &bytes[..Self::LENGTH - 8]);
        put(&mut bytes, 8, own_sum);
        bytes
    }

    /// What a file begins with, if it is unharmed.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..Self::LENGTH)?;
        let number = |index: usize| Some(u64::from_le_bytes(bytes[index * 8..][..8].try_into().ok()?));
        let read = Self {
            own: number(1)?,
            process: number(2)?,
            since: number(3)?,
            expired: number(4)?,
            body: number(5)?,
            about: number(6)?,
            about_sum: number(7)?,
        };
        let is_sound = bytes[..8] == MAGIC && number(8)? == sum(read.own, OF_PRELUDE, &bytes[..Self::LENGTH - 8]);
        (is_sound && read.about <= MOST_ABOUT).then_some(read)
    }

    /// How long the whole file is.
    pub fn file_length(&self) -> Option<u64> {
        let sums = self.body.div_ceil(BLOCK as u64).checked_mul(SUM)?;
        (Self::LENGTH as u64).checked_add(self.about)?.checked_add(self.body)?.checked_add(sums)
    }

    /// Where a block begins, and how long it is with its sum.
    pub fn place(&self, index: u64) -> (u64, usize) {
        let (block, begin) = (BLOCK as u64, Self::LENGTH as u64 + self.about);
        let length = self.body.saturating_sub(index * block).min(block) + SUM;
        (begin + index * (block + SUM), usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The block itself, if it is unharmed.
    pub fn block<'b>(&self, index: u64, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let (block, own_sum) = bytes.split_last_chunk::<8>()?;
        (u64::from_le_bytes(*own_sum) == sum(self.own, index, block)).then_some(block)
    }

    /// The key and the head, if they are unharmed, and as stale as the prelude says.
    pub fn read_about(&self, about: &[u8]) -> Option<(Vec<u8>, Head)> {
        if sum(self.own, OF_ABOUT, about) != self.about_sum {
            return None;
        }
        let (length, rest) = about.split_first_chunk::<8>()?;
        let (key, record) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let mut head = Head::from_record(record)?;
        if self.expired > 0 {
            head.expire(SystemTime::UNIX_EPOCH + Duration::from_millis(self.expired.min(u64::MAX / 16)));
        }
        Some((key.to_vec(), head))
    }
}

/// The key and the head of an answer, as they are written.
pub fn about(key: &Key, head: &Head) -> Vec<u8> {
    let (key, record) = (key.sealed(), head.to_record());
    [&(key.len() as u64).to_le_bytes()[..], &key, &record].concat()
}

/// What stands behind a block.
pub fn sum(own: u64, number: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, own.wrapping_add(number))
}

fn put(bytes: &mut [u8], index: usize, number: u64) {
    bytes[index * 8..][..8].copy_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::{entry, key};

    #[test]
    fn what_is_read_is_what_was_written_and_no_bit_may_differ() {
        let about = about(&key("/", Some("1")), &entry(3, "a").head);
        let prelude = Prelude { own: 7, process: 8, since: 9, ..Prelude::default() }.with(&about, 100_000);
        let bytes = prelude.to_bytes();

        assert_eq!(Prelude::read(&bytes), Some(prelude));
        let (read, head) = prelude.read_about(&about).expect("it is sound");
        assert_eq!((read, head.fields.len()), (key("/", Some("1")).sealed(), 3));
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Prelude::read(&bent), None, "{bit}");
        }
        for bit in 0..about.len() * 8 {
            let mut bent = about.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(prelude.read_about(&bent).is_none(), "{bit}");
        }
    }

    #[test]
    fn a_block_is_at_its_place_in_its_file_or_nowhere() {
        let prelude = Prelude { own: 7, ..Prelude::default() }.with(b"about", BLOCK as u64 + 5);
        let written = |own: u64, number: u64| [b"block", &sum(own, number, b"block").to_le_bytes()[..]].concat();

        assert_eq!(prelude.block(1, &written(7, 1)), Some(&b"block"[..]));
        assert_eq!((prelude.block(0, &written(7, 1)), prelude.block(1, &written(6, 1))), (None, None));
        assert_eq!((prelude.place(0), prelude.place(1)), ((77, BLOCK + 8), (77 + BLOCK as u64 + 8, 13)));
        assert_eq!(prelude.file_length(), Some(77 + BLOCK as u64 + 8 + 13));
    }
}
