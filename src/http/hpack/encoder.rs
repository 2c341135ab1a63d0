//! Writing blocks of fields. What comes again on a connection is remembered by both sides, and takes a byte from then on; all
//! else is spelled out. Nothing is coded: it would cost more than it saves.

use super::{
    OVERHEAD, TABLE, integer,
    table::{FIRST_OWN, Manner, known},
};
use crate::http::{HeaderName, StatusCode};

/// Writes the blocks of one connection, one after the other.
#[derive(Debug)]
pub struct Encoder {
    /// What both sides remember, the newest last.
    lines: Vec<Line>,
    /// A sum of each line, to find it by.
    sums: Vec<u32>,
    size: usize,
    most: usize,
    /// The least that `most` was since this was last said.
    unsaid: Option<usize>,
    /// Sums of fields that came once.
    once: Option<Box<[u32; ONCE]>>,
}

#[derive(Debug)]
struct Line {
    /// Name and value.
    text: Box<[u8]>,
    name_length: usize,
}

impl Line {
    fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

/// So many fields that came once are known by their sums.
const ONCE: usize = 32;
/// A line of more than this part of the table would push too many others out.
const LARGEST: usize = 2;

impl Default for Encoder {
    fn default() -> Self {
        Self { lines: Vec::new(), sums: Vec::new(), size: 0, most: TABLE, unsaid: None, once: None }
    }
}

impl Encoder {
    /// The other side remembers no more than this.
    pub fn resize(&mut self, most: usize) {
        // More than that is more than is of use.
        let most = most.min(TABLE);
        if most != self.most {
            self.unsaid = Some(self.unsaid.map_or(most, |least| least.min(most)));
            self.most = most;
            self.make_room(0);
        }
    }

    /// Begins a block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some(least) = self.unsaid.take() else { return };
        integer::put(0x20, 5, least, out);
        if least < self.most {
            integer::put(0x20, 5, self.most, out);
        }
    }

    /// The status of an answer, which comes first.
    pub fn status(&mut self, status: StatusCode, out: &mut Vec<u8>) {
        let number = match status.as_u16() {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                out.push(STATUS);
                return text(status.as_str().as_bytes(), out);
            }
        };
        out.push(0x80 | number);
    }

    /// A field.
    pub fn field(&mut self, name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
        let name = name.as_str();
        let (number, manner) = known(name);
        let what = match manner {
            Manner::Secret => 0x10,
            Manner::Differs => 0,
            Manner::Repeats => match self.recall(name.as_bytes(), value) {
                Recalled::Line(number) => return integer::put(0x80, 7, number, out),
                Recalled::Before => {
                    self.remember(name.as_bytes(), value);
                    integer::put(0x40, 6, number, out);
                    return rest(number, name, value, out);
                }
                Recalled::Never => 0,
            },
        };
        integer::put(what, 4, number, out);
        rest(number, name, value, out);
    }

    /// Gives back what can be done without: fields that came once have to come twice again to be remembered.
    pub fn shrink(&mut self) {
        self.once = None;
        self.lines.shrink_to_fit();
        self.sums.shrink_to_fit();
    }

    /// Bytes that its table counts.
    pub fn size(&self) -> usize {
        self.size
    }

    fn recall(&mut self, name: &[u8], value: &[u8]) -> Recalled {
        let size = name.len() + value.len() + OVERHEAD;
        if size > self.most / LARGEST {
            return Recalled::Never;
        }
        let sum = sum(name, value);
        let is_it = |line: &Line| {
            line.name_length == name.len() && line.text[..name.len()] == *name && line.text[name.len()..] == *value
        };
        let found = self.sums.iter().rposition(|known| *known == sum).filter(|place| is_it(&self.lines[*place]));
        if let Some(place) = found {
            return Recalled::Line(FIRST_OWN + self.lines.len() - 1 - place);
        }
        let once = self.once.get_or_insert_with(|| Box::new([0; ONCE]));
        let before = std::mem::replace(&mut once[sum as usize % ONCE], sum);
        if before == sum { Recalled::Before } else { Recalled::Never }
    }

    fn remember(&mut self, name: &[u8], value: &[u8]) {
        let line = Line { text: [name, value].concat().into_boxed_slice(), name_length: name.len() };
        self.make_room(line.size());
        self.size += line.size();
        self.lines.push(line);
        self.sums.push(sum(name, value));
    }

    /// Forgets the oldest until there is room for so much.
    fn make_room(&mut self, size: usize) {
        let (mut gone, mut left) = (0, self.size);
        while left + size > self.most && gone < self.lines.len() {
            left -= self.lines[gone].size();
            gone += 1;
        }
        self.size = left;
        self.lines.drain(..gone);
        self.sums.drain(..gone);
    }
}

/// Whether a field came before.
enum Recalled {
    /// It is remembered by this number.
    Line(usize),
    /// It came, and is not remembered.
    Before,
    Never,
}

/// `:status`, spelled out and not remembered.
const STATUS: u8 = 8;

/// What follows the number of the line that has the name.
fn rest(number: usize, name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 8);
    if number == 0 {
        text(name.as_bytes(), out);
    }
    text(value, out);
}

pub fn text(text: &[u8], out: &mut Vec<u8>) {
    integer::put(0, 7, text.len(), out);
    out.extend_from_slice(text);
}

/// Tells fields apart, mostly.
fn sum(name: &[u8], value: &[u8]) -> u32 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = (name.len() as u64) << 32 | value.len() as u64;
    for text in [name, value] {
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            sum = (sum.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(MIX);
        }
        let rest = rest.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        sum = (sum.rotate_left(5) ^ rest).wrapping_mul(MIX);
    }
    (sum >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::hpack::{Decoder, Field, Pseudo};

    /// What is read of an answer with these fields, and how long it was.
    fn sent(
        encoder: &mut Encoder,
        decoder: &mut Decoder,
        status: u16,
        fields: &[(String, Vec<u8>)],
    ) -> (Vec<(String, Vec<u8>)>, usize) {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.status(StatusCode::from_u16(status).expect("a status"), &mut block);
        for (name, value) in fields {
            encoder.field(&HeaderName::from_bytes(name.as_bytes()).expect("a name"), value, &mut block);
        }
        let mut read = Vec::new();
        let decoded = decoder.decode(&block, |_, field| match field.into_owned() {
            Field::Pseudo(Pseudo::Status, value) => assert_eq!(value, status.to_string()),
            Field::Plain(name, _, value) => read.push((name.to_string(), value.as_bytes().to_vec())),
            other => panic!("{other:?}"),
        });
        assert_eq!(decoded, Ok(()));
        assert_eq!(encoder.size(), decoder.size());
        (read, block.len())
    }

    fn fields(lines: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        lines.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_comes_again_takes_a_byte_from_the_third_time_on() {
        let fields =
            fields(&[("server", "origin"), ("content-type", "text/plain"), ("x-own", "yes"), ("date", "today")]);
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());

        let lengths: Vec<usize> = (0..4)
            .map(|_| {
                let (read, length) = sent(&mut encoder, &mut decoder, 200, &fields);
                assert_eq!(read, fields);
                length
            })
            .collect();

        assert_eq!(lengths[2..], [12, 12], "a status, three lines and a date");
        assert!(lengths[..2].iter().all(|length| *length >= 40), "{lengths:?}");
    }

    #[test]
    fn what_differs_and_what_is_secret_is_never_remembered() {
        let fields = fields(&[("set-cookie", "a=1"), ("date", "today"), ("content-length", "5")]);
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for _ in 0..4 {
            sent(&mut encoder, &mut decoder, 418, &fields);
        }
        assert_eq!(encoder.size(), 0);
        let mut block = Vec::new();
        encoder.field(&HeaderName::from_static("set-cookie"), b"a=1", &mut block);
        assert_eq!(block[0] >> 4, 1, "nor by anybody on the way");
    }

    #[test]
    fn a_client_that_remembers_less_is_believed_and_told_so() {
        let fields = fields(&[("server", "origin"), ("x-own", "yes")]);
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for _ in 0..3 {
            sent(&mut encoder, &mut decoder, 200, &fields);
        }
        assert!(encoder.size() > 0);

        encoder.resize(0);
        encoder.resize(4096);
        let mut block = Vec::new();
        encoder.begin(&mut block);
        assert_eq!(block, [0x20, 0x3f, 0xe1, 0x1f]);
        assert_eq!(decoder.decode(&block, |_, _| ()), Ok(()));
        assert_eq!(sent(&mut encoder, &mut decoder, 200, &fields).0, fields);
        encoder.resize(1 << 20);
        assert_eq!(sent(&mut encoder, &mut decoder, 200, &fields).0, fields);
    }

    fn any_fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        let names = prop_oneof![
            Just("server".to_owned()),
            Just("set-cookie".to_owned()),
            Just("x-a".to_owned()),
            "[a-z][a-z0-9-]{0,40}"
        ];
        let values = prop_oneof![Just(b"same".to_vec()), proptest::collection::vec(0x20..=0x7e_u8, 0..600)];
        proptest::collection::vec((names, values), 0..20)
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(answers in proptest::collection::vec((200..600_u16, any_fields(), proptest::option::of(0..5000_usize)), 1..30)) {
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
            for (status, fields, table) in answers {
                if let Some(table) = table {
                    encoder.resize(table);
                }
                prop_assert_eq!(sent(&mut encoder, &mut decoder, status, &fields).0, fields);
            }
        }
    }
}
