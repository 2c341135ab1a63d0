//! How an answer lies in a Redis. Anybody may have written there: what is not whole, or is another's, is nothing.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::cache::{entry::Entry, key::Key, policy::Head};

/// An answer.
pub struct Record<'v> {
    /// The last purge that was known to who put it there.
    pub count: u64,
    /// Who that was.
    pub process: u64,
    /// When he had asked for it, by his clock.
    pub since: Duration,
    pub head: Head,
    pub body: &'v [u8],
}

const MAGIC: u64 = u64::from_le_bytes(*b"AqShare\x01");
/// Numbers before what they are about; the last one is the sum of all the rest.
const NUMBERS: usize = 7;
const PRELUDE: usize = 8 * NUMBERS;

/// What is written of an answer, if all of it can be had.
pub fn written(key: &Key, entry: &Entry, count: u64, process: u64) -> Option<Vec<u8>> {
    let (key, head) = (key.sealed(), entry.head.to_record());
    let mut record = vec![0; PRELUDE];
    record.extend_from_slice(&key);
    record.extend_from_slice(&head);
    let take = &mut |bytes: &[u8]| {
        record.extend_from_slice(bytes);
        Ok(())
    };
    entry.content.each(take).ok()?;
    let since = u64::try_from(entry.since.as_nanos()).unwrap_or(u64::MAX);
    let numbers = [MAGIC, count, process, since, key.len() as u64, head.len() as u64];
    for (number, place) in numbers.into_iter().zip(record.chunks_exact_mut(8)) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let sum = sum(&record);
    record[PRELUDE - 8..PRELUDE].copy_from_slice(&sum.to_le_bytes());
    Some(record)
}

impl<'v> Record<'v> {
    /// The one that was put under this key, if it is that, to the last bit.
    pub fn read(value: &'v [u8], key: &Key) -> Option<Self> {
        let (prelude, rest) = value.split_at_checked(PRELUDE)?;
        let mut numbers = prelude.chunks_exact(8).map(|number| number.try_into().map(u64::from_le_bytes));
        let mut next = || numbers.next()?.ok();
        let (magic, count, process, since) = (next()?, next()?, next()?, next()?);
        let (key_length, head_length, own_sum) = (next()?, next()?, next()?);
        if magic != MAGIC || own_sum != sum(value) {
            return None;
        }
        let (own_key, rest) = rest.split_at_checked(usize::try_from(key_length).ok()?)?;
        let (head, body) = rest.split_at_checked(usize::try_from(head_length).ok()?)?;
        let head = Head::from_record(head).filter(|_| own_key == key.sealed())?;
        Some(Self { count, process, since: Duration::from_nanos(since), head, body })
    }
}

/// Of all but the place that it stands at.
fn sum(record: &[u8]) -> u64 {
    xxh3_64_with_seed(&record[PRELUDE..], xxh3_64_with_seed(&record[..PRELUDE - 8], MAGIC))
}

/// A name for this: keys are compared whole when something is found under it.
pub fn hash(bytes: &[u8]) -> String {
    format!("{:016x}{:016x}", xxh3_64_with_seed(bytes, 1), xxh3_64_with_seed(bytes, 2))
}

/// Of the answers of its target.
pub fn field(key: &Key) -> String {
    hash(&key.sealed()[key.target().len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{
        content::Content,
        testing::{entry, key},
    };

    #[test]
    fn nothing_is_written_of_what_is_not_whole() {
        let whole = entry(1000, "a");
        let (content, writer) = Content::begin(Some(1000));
        writer.push(b"half of it");
        drop(writer);
        let half = Entry::new(whole.head.clone(), content, whole.since);

        assert!(written(&key("/", None), &half, 5, 6).is_none());
    }

    #[test]
    fn what_is_read_is_what_was_put_to_the_last_bit_and_for_its_own_key() {
        let (entry, one, other) = (entry(1000, "a"), key("/", Some("1")), key("/", Some("2")));
        let record = written(&one, &entry, 5, 6).expect("it is whole");

        let read = Record::read(&record, &one).expect("it is whole");
        assert_eq!((read.count, read.process, read.since, read.body.len()), (5, 6, entry.since, 1000));
        assert_eq!((read.head.status, read.head.terms), (entry.head.status, entry.head.terms));
        assert_eq!(read.head.fields.get("vary"), entry.head.fields.get("vary"));
        assert!(Record::read(&record, &other).is_none());
        for bit in 0..record.len() * 8 {
            let mut bent = record.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::read(&bent, &one).is_none(), "{bit}");
        }
        for length in 0..record.len() {
            assert!(Record::read(&record[..length], &one).is_none(), "{length}");
        }
        assert!(Record::read(&[&record[..], b"x"].concat(), &one).is_none());
        assert_ne!(field(&one), field(&other));
    }
}
