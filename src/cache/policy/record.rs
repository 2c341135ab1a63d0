//! Heads as bytes, for stores that are not in this process's memory. Who keeps them adds what tells him that they are unharmed.

use bytes::Bytes;

use super::{
    Head, Terms, Vary,
    freshness::Staleness,
    vary::{Selecting, Value},
};
use crate::http::{HeaderName, HeaderValue, StatusCode};

/// Records of another kind cannot be read.
const VERSION: u8 = 2;

/// No time is longer, so that no sum of a few overflows.
const LONGEST: u64 = u64::MAX / 16;

impl Head {
    /// All of it, in a form that other processes read. Of what clients have said in fields that it depends on there are digests.
    pub fn to_record(&self) -> Vec<u8> {
        let mut out = Out(Vec::with_capacity(1024));
        out.byte(VERSION);
        out.number(u64::from(self.status.as_u16()));
        self.terms.write(&mut out);
        self.vary.write(&mut out);
        out.number(self.fields.len() as u64);
        for (name, value) in self.fields.iter() {
            out.text(name.as_str().as_bytes());
            out.text(value.as_bytes());
        }
        out.0
    }

    /// The one that this was made of; `None` if it was made of none, or by another version.
    pub fn from_record(record: &[u8]) -> Option<Self> {
        let mut input = In { all: Bytes::copy_from_slice(record), at: 0 };
        if input.byte()? != VERSION {
            return None;
        }
        let status = StatusCode::from_u16(u16::try_from(input.number()?).ok()?).ok()?;
        let (terms, vary) = (Terms::read(&mut input)?, Vary::read(&mut input)?);
        let count = input.count()?;
        let mut field = || {
            let name = HeaderName::from_bytes(&input.text()?).ok()?;
            Some((name, HeaderValue::from_maybe_shared(input.text()?).ok()?))
        };
        let fields = (0..count).map(|_| field()).collect::<Option<_>>()?;
        (input.at == input.all.len()).then(|| Self::of(status, fields, terms, vary))
    }
}

impl Terms {
    fn write(&self, out: &mut Out) {
        let Self { answered, initial_age, lifetime, while_revalidating, if_error, dated, .. } = *self;
        [answered, initial_age, lifetime, while_revalidating, if_error, dated].into_iter().for_each(|n| out.number(n));
        out.number(self.modified.map_or(0, |modified| modified.min(LONGEST) + 1));
        out.byte(match self.stale {
            Staleness::Open => 0,
            Staleness::AsItSays => 1,
            Staleness::Forbidden => 2,
        });
        for flag in [self.is_expired, self.is_always_validated, self.is_immutable, self.is_for_all] {
            out.byte(u8::from(flag));
        }
    }

    fn read(input: &mut In) -> Option<Self> {
        Some(Self {
            answered: input.time()?,
            initial_age: input.time()?,
            lifetime: input.time()?,
            while_revalidating: input.time()?,
            if_error: input.time()?,
            dated: input.time()?,
            modified: input.time()?.checked_sub(1),
            stale: match input.byte()? {
                0 => Staleness::Open,
                1 => Staleness::AsItSays,
                2 => Staleness::Forbidden,
                _ => return None,
            },
            is_expired: input.flag()?,
            is_always_validated: input.flag()?,
            is_immutable: input.flag()?,
            is_for_all: input.flag()?,
        })
    }
}

impl Vary {
    fn write(&self, out: &mut Out) {
        out.number(self.fields.len() as u64);
        for field in &self.fields {
            out.text(field.name.as_str().as_bytes());
            let sealed = field.sealed();
            let (kind, value) = match &sealed {
                None => (0, &[][..]),
                Some(Value::Plain(said)) => (1, &**said),
                Some(Value::Digest(digest)) => (2, &digest[..]),
            };
            out.byte(kind);
            out.text(value);
        }
    }

    fn read(input: &mut In) -> Option<Self> {
        let field = |input: &mut In| {
            let (name, kind, value) = (input.text()?, input.byte()?, input.text()?);
            let value = match kind {
                0 => None,
                1 => Some(Value::Plain((*value).into())),
                2 => Some(Value::Digest((*value).try_into().ok()?)),
                _ => return None,
            };
            Some(Selecting { name: HeaderName::from_bytes(&name).ok()?, value })
        };
        (0..input.count()?).map(|_| field(input)).collect::<Option<_>>().map(|fields| Self { fields })
    }

    /// The same bytes for all that are for the same requests ([`Self::is_same`]).
    pub fn identity(&self) -> Vec<u8> {
        let mut fields: Vec<_> = self.fields.iter().collect();
        fields.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        let mut out = Out(Vec::new());
        Self { fields: fields.into_iter().cloned().collect() }.write(&mut out);
        out.0
    }
}

struct Out(Vec<u8>);

impl Out {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text);
    }
}

struct In {
    all: Bytes,
    at: usize,
}

impl In {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.all.len())?;
        let taken = self.all.slice(self.at..end);
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn flag(&mut self) -> Option<bool> {
        self.byte().filter(|byte| *byte < 2).map(|byte| byte == 1)
    }

    fn number(&mut self) -> Option<u64> {
        self.take(8).and_then(|bytes| Some(u64::from_le_bytes(bytes[..].try_into().ok()?)))
    }

    fn time(&mut self) -> Option<u64> {
        self.number().map(|number| number.min(LONGEST + 1))
    }

    /// Of things that take a byte each at least.
    fn count(&mut self) -> Option<usize> {
        self.number().and_then(|count| usize::try_from(count).ok()).filter(|count| *count <= self.all.len() - self.at)
    }

    fn text(&mut self) -> Option<Bytes> {
        let length = self.count()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::{
        Rules,
        testing::{at, stored_for, used},
    };

    const ASKED: &str = "accept-language: de, en";

    fn head(answer: &str, asked: &str) -> Head {
        stored_for(asked, 200, answer, &Rules::default()).unwrap_or_else(|why| panic!("{answer}: {why:?}"))
    }

    fn heads() -> [Head; 3] {
        [
            head("cache-control: max-age=60", ""),
            head(
                "cache-control: public, s-maxage=60, stale-while-revalidate=5, stale-if-error=9, immutable | etag: W/\"a\" \
                 | last-modified: Thu, 01 Jan 1970 00:00:00 GMT | vary: accept-language, x-none \
                 | cache-groups: \"a\", \"b\" | link: <a> | link: <b> | x-empty:",
                ASKED,
            ),
            head("cache-control: no-cache | etag: \"b\"", ""),
        ]
    }

    fn lines(fields: &super::super::Fields) -> Vec<(String, Vec<u8>)> {
        let mut lines: Vec<_> =
            fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        // Those of one name stay as they are.
        lines.sort_by(|one, other| one.0.cmp(&other.0));
        lines
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        for head in heads() {
            let read = Head::from_record(&head.to_record()).expect("it is one");

            assert_eq!((read.status, read.terms, lines(&read.fields)), (head.status, head.terms, lines(&head.fields)));
            assert_eq!((&read.groups, &read.tag), (&head.groups, &head.tag));
            assert!(read.vary.is_same(&head.vary));
            for seconds in [0, 59, 61, 64, 70] {
                assert_eq!(used(&read, ASKED, seconds), used(&head, ASKED, seconds));
            }
        }
    }

    #[test]
    fn what_is_no_record_is_not_read() {
        for head in heads() {
            let record = head.to_record();
            for end in 0..record.len() {
                assert!(Head::from_record(&record[..end]).is_none(), "{end} of {}", record.len());
            }
            assert!(Head::from_record(&[&record[..], b"."].concat()).is_none());
            for place in 0..record.len() {
                let mut bent = record.clone();
                bent[place] ^= 0xff;
                // Whatever it says, looking at it does no harm.
                if let Some(head) = Head::from_record(&bent) {
                    let _ = (head.ttl(at(9)), head.age(at(9)), used(&head, ASKED, 9), head.to_record());
                }
            }
        }
    }

    #[test]
    fn variants_for_the_same_requests_have_one_identity() {
        let of =
            |vary: &str, asked: &str| head(&format!("cache-control: max-age=60 | vary: {vary}"), asked).vary.identity();
        assert_eq!(of("a, b", "a: 1"), of("b, a", "a: 1"));
        let others = [of("a", "a: 1"), of("a", "a: 2"), of("a", "a:"), of("a", ""), of("b", "")];
        for (index, other) in others.iter().enumerate() {
            assert!(!others[..index].contains(other), "{index}");
        }
    }
}
