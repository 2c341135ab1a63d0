//! Reading blocks of fields.

use std::{borrow::Cow, cell::RefCell, collections::VecDeque};

use bytes::{Bytes, BytesMut};

use super::{
    Field, Line, Name, TABLE, huffman, integer,
    table::{FIRST_OWN, STATIC},
};

/// Reads the blocks of one connection, one after the other.
#[derive(Debug)]
pub struct Decoder {
    /// What it remembers, the newest first.
    lines: VecDeque<Line>,
    /// What all of it counts for.
    size: usize,
    /// What it may, as the other side has said.
    most: usize,
}

/// A block makes no sense; neither does any that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable;

impl Default for Decoder {
    fn default() -> Self {
        Self { lines: VecDeque::new(), size: 0, most: TABLE }
    }
}

impl Decoder {
    /// Reads a whole block: each field, and what it counts for in the size of a list (RFC 9113, 6.5.2). What the table holds
    /// is only lent: a few bytes may stand for very many fields, of which few are kept.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(&mut self, block: &[u8], mut each: impl FnMut(usize, Cow<'_, Field>)) -> Result<(), Undecodable> {
        SHEETS.with_borrow_mut(|sheets| {
            let read = self.read(block, sheets, &mut each);
            for text in [&mut sheets.name, &mut sheets.value] {
                if text.capacity() > MOST_KEPT {
                    *text = Vec::new();
                }
            }
            read
        })
    }

    /// One that remembers nothing, and may remember so much.
    pub(super) fn holding(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// What it remembers, the newest first.
    pub(super) fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter()
    }

    /// What it may remember.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Gives back what a fuller table has needed.
    pub fn shrink(&mut self) {
        if self.lines.capacity() > (2 * self.lines.len()).max(FEW) {
            self.lines.shrink_to_fit();
        }
    }

    /// Bytes that its table counts.
    pub fn size(&self) -> usize {
        self.size
    }

    fn read(
        &mut self,
        block: &[u8],
        sheets: &mut Sheets,
        each: &mut impl FnMut(usize, Cow<'_, Field>),
    ) -> Result<(), Undecodable> {
        let (mut input, mut begins) = (block, true);
        while let Some(first) = input.first() {
            match first {
                0x80.. => {
                    let line = self.line(integer::take(&mut input, 7).ok_or(Undecodable)?)?;
                    each(line.size as usize, Cow::Borrowed(&line.field));
                }
                0x40..=0x7f => {
                    let line = self.literal(&mut input, 6, sheets, Lasts::InTheTable)?;
                    each(line.size as usize, Cow::Borrowed(&line.field));
                    self.remember(line);
                }
                0x20..=0x3f => {
                    let most = integer::take(&mut input, 5).ok_or(Undecodable)?;
                    // Only at the beginning (RFC 7541, 4.2).
                    if !begins || most > TABLE {
                        return Err(Undecodable);
                    }
                    self.most = most;
                    self.make_room(0);
                    continue;
                }
                _ => {
                    let line = self.literal(&mut input, 4, sheets, Lasts::WithTheRequest)?;
                    each(line.size as usize, Cow::Owned(line.field));
                }
            }
            begins = false;
        }
        Ok(())
    }

    /// The line of this number (RFC 7541, 2.3.3).
    fn line(&self, number: usize) -> Result<&Line, Undecodable> {
        let line = match number.checked_sub(FIRST_OWN) {
            Some(own) => self.lines.get(own),
            None => number.checked_sub(1).and_then(|known| STATIC.get(known)),
        };
        line.ok_or(Undecodable)
    }

    /// A field that is spelled out, at least its value (RFC 7541, 6.2).
    fn literal(&self, input: &mut &[u8], prefix: u32, sheets: &mut Sheets, lasts: Lasts) -> Result<Line, Undecodable> {
        let (name, name_length) = match integer::take(input, prefix).ok_or(Undecodable)? {
            0 => {
                let name = text(input, &mut sheets.name)?;
                (Name::read(name), name.len())
            }
            number => {
                let line = self.line(number)?;
                (Name::of(&line.field), line.name_length as usize)
            }
        };
        let value = text(input, &mut sheets.value)?;
        let value = match lasts {
            // What lasts as long as the connection has memory of its own.
            Lasts::InTheTable => Bytes::copy_from_slice(value),
            Lasts::WithTheRequest => shared(value, &mut sheets.values),
        };
        Ok(Line::new(name, name_length, value))
    }

    fn remember(&mut self, line: Line) {
        let size = line.size as usize;
        self.make_room(size);
        // What is larger than the table empties it, and is no error (RFC 7541, 4.4).
        if size <= self.most {
            self.size += size;
            self.lines.push_front(line);
        }
    }

    /// Forgets the oldest until there is room for so much.
    fn make_room(&mut self, size: usize) {
        while self.size + size > self.most {
            let Some(oldest) = self.lines.pop_back() else { return };
            self.size -= oldest.size as usize;
        }
    }
}

/// Room for so many lines costs next to nothing.
const FEW: usize = 4;

/// How long a value is needed.
enum Lasts {
    InTheTable,
    WithTheRequest,
}

/// A string (RFC 7541, 5.2), as it stands or, where it is coded, decoded into `out`.
fn text<'t, 'b: 't>(input: &mut &'b [u8], out: &'t mut Vec<u8>) -> Result<&'t [u8], Undecodable> {
    let is_coded = input.first().ok_or(Undecodable)? & 0x80 != 0;
    let length = integer::take(input, 7).ok_or(Undecodable)?;
    let (text, rest) = input.split_at_checked(length).ok_or(Undecodable)?;
    *input = rest;
    if !is_coded {
        return Ok(text);
    }
    out.clear();
    if huffman::decode(text, out) { Ok(out) } else { Err(Undecodable) }
}

/// A value in memory that it shares with a few others, which goes with the last of them.
fn shared(value: &[u8], values: &mut BytesMut) -> Bytes {
    if value.is_empty() {
        return Bytes::new();
    }
    if value.len() > LARGE {
        return Bytes::copy_from_slice(value);
    }
    if values.capacity() < value.len() {
        *values = BytesMut::with_capacity(SHEET);
    }
    values.extend_from_slice(value);
    values.split().freeze()
}

/// What values that are no larger are copied to, one behind the other, and texts are decoded in.
#[derive(Default)]
struct Sheets {
    name: Vec<u8>,
    value: Vec<u8>,
    values: BytesMut,
}

thread_local! {
    static SHEETS: RefCell<Sheets> = RefCell::default();
}

/// What one value that is kept for long keeps from being freed, at most.
const SHEET: usize = 2048;
/// A value of more than this size has memory of its own.
const LARGE: usize = 512;
/// Memory that texts are decoded in, once they are read.
const MOST_KEPT: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        Marks,
        hpack::{OVERHEAD, Pseudo},
    };

    /// The list as text.
    fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Undecodable> {
        let mut lines = Vec::new();
        decoder.decode(block, |size, field| {
            let (name, value) = match &*field {
                Field::Pseudo(pseudo, value) => (format!(":{pseudo:?}").to_lowercase(), value.to_vec()),
                Field::Plain(name, _, value) => (name.to_string(), value.as_bytes().to_vec()),
                bad => return lines.push(format!("{bad:?}")),
            };
            assert_eq!(size, name.len() + value.len() + OVERHEAD);
            lines.push(format!("{name}: {}", String::from_utf8_lossy(&value)));
        })?;
        Ok(lines)
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("hex");
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn the_requests_of_appendix_c_read_the_same_plain_and_coded() {
        let expected = [
            (&[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"][..], 57),
            (
                &[
                    ":method: GET",
                    ":scheme: http",
                    ":path: /",
                    ":authority: www.example.com",
                    "cache-control: no-cache",
                ],
                110,
            ),
            (
                &[
                    ":method: GET",
                    ":scheme: https",
                    ":path: /index.html",
                    ":authority: www.example.com",
                    "custom-key: custom-value",
                ],
                164,
            ),
        ];
        let plain = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let coded = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        for blocks in [plain, coded] {
            let mut decoder = Decoder::default();
            for (block, (lines, size)) in blocks.into_iter().zip(expected) {
                let read = decoded(&mut decoder, &bytes(block)).expect("it is a block");
                assert_eq!((read, decoder.size()), (lines.iter().map(ToString::to_string).collect(), size));
            }
        }
    }

    #[test]
    fn the_answers_of_appendix_c_make_a_small_table_forget() {
        let plain = [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e \
             1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d \
             4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 \
             7369 6f6e 3d31",
        ];
        let coded = [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b \
             97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf \
             cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ];
        let dated = |time: &str| format!("date: Mon, 21 Oct 2013 20:13:{time} GMT");
        for blocks in [plain, coded] {
            let mut decoder = Decoder { most: 256, ..Decoder::default() };
            let [first, second, third] = blocks.map(|block| {
                let read = decoded(&mut decoder, &bytes(block)).expect("it is a block");
                (read, decoder.size())
            });

            let location = "location: https://www.example.com";
            assert_eq!(first.0, [":status: 302", "cache-control: private", &dated("21"), location]);
            assert_eq!(second.0, [":status: 307", "cache-control: private", &dated("21"), location]);
            assert_eq!(
                third.0,
                [
                    ":status: 200",
                    "cache-control: private",
                    &dated("22"),
                    location,
                    "content-encoding: gzip",
                    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
                ]
            );
            assert_eq!([first.1, second.1, third.1], [222, 222, 215]);
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let own = "4003 782d 6101 62";
        for (block, what) in [
            ("80", "the line 0"),
            ("be", "a line that is not there"),
            ("ff 80", "a number that is cut off"),
            ("ff ff ff ff ff ff", "a number without end"),
            ("00 03 782d", "a name that is cut off"),
            ("00 01 78", "no value"),
            ("00 01 78 05 61", "a value that is cut off"),
            ("00 01 78 81 00", "a value that is filled up with something else"),
            ("7e 01 61", "the name of a line that is not there"),
            ("82 3f e1 1f", "a size behind a field"),
            ("3f e2 1f", "a table that is too large"),
        ] {
            assert_eq!(decoded(&mut Decoder::default(), &bytes(block)), Err(Undecodable), "{what}");
        }
        let mut decoder = Decoder::default();
        assert!(decoded(&mut decoder, &bytes(own)).is_ok());
        assert!(decoded(&mut decoder, &bytes("20 be")).is_err(), "what was forgotten is not there");
        assert!(decoded(&mut decoder, &bytes("20 3f e1 1f")).is_ok(), "two sizes at the beginning");
    }

    #[test]
    fn what_is_no_field_is_told_of_and_remembered_like_any_other() {
        let mut decoder = Decoder::default();
        for (block, expected) in [
            ("40 01 58 01 61", Field::BadName),
            ("be", Field::BadName),
            ("40 02 6162 01 00", Field::BadValue(crate::http::HeaderName::from_static("ab"), Marks::default())),
            ("00 00 01 61", Field::BadName),
            ("00 02 3a78 01 61", Field::Pseudo(Pseudo::Unknown, Bytes::from_static(b"a"))),
        ] {
            let mut fields = Vec::new();
            decoder.decode(&bytes(block), |_, field| fields.push(field.into_owned())).expect("it is a block");
            assert_eq!(fields, [expected], "{block}");
        }
        // The name of the second line back, with another value.
        assert_eq!(decoded(&mut decoder, &bytes("7e 01 62")), Ok(vec!["ab: b".to_owned()]));
    }

    #[test]
    fn a_line_larger_than_the_table_empties_it() {
        let mut decoder = Decoder { most: 64, ..Decoder::default() };
        decoded(&mut decoder, &bytes("40 01 61 01 62")).expect("it is a block");
        assert_eq!(decoder.size(), 34);
        let large = [&[0x40, 1, b'a', 40][..], &[b'x'; 40]].concat();
        decoded(&mut decoder, &large).expect("it is a block");
        assert_eq!((decoder.size(), decoder.lines.len()), (0, 0));
    }

    #[test]
    fn memory_that_a_fuller_table_has_needed_is_given_back() {
        let mut decoder = Decoder::default();
        let lines: Vec<u8> = (0..100).flat_map(|_| [0x40, 1, b'a', 1, b'b']).collect();
        decoded(&mut decoder, &lines).expect("it is a block");
        decoder.shrink();
        assert_eq!(decoder.lines.len(), 100);
        decoded(&mut decoder, &bytes("20 3f e1 1f")).expect("it is a block");

        decoder.shrink();

        assert_eq!(decoder.lines.capacity(), 0);
    }
}
