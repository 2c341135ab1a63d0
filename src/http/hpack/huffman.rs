//! The code of RFC 7541, appendix B. It is a canonical one: how long each symbol's code is says which code it has. Codes of up to
//! eight bits are looked up by the next byte, all others by their length.

/// Bits of each symbol's code; the last is the end of a string, which no string has.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, //
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, //
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, //
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, //
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const SYMBOLS: usize = 257;
const END: u16 = 256;
const LONGEST: usize = 30;
/// Bits that are looked up at once.
const SHORT: usize = 8;

/// A symbol and how long its code is; of no length where the code is longer than a byte.
type Known = (u8, u8);

struct Codes {
    short: [Known; 1 << SHORT],
    /// The first code that is longer than this, as bits from the top of 32, by length.
    behind: [u32; LONGEST + 1],
    /// Where the symbols of this length begin, less the first code of it.
    at: [u32; LONGEST + 1],
    /// All symbols, those with the shortest codes first.
    sorted: [u16; SYMBOLS],
}

static CODES: Codes = codes();

const fn codes() -> Codes {
    let mut all =
        Codes { short: [(0, 0); 1 << SHORT], behind: [0; LONGEST + 1], at: [0; LONGEST + 1], sorted: [0; SYMBOLS] };
    let (mut code, mut length, mut count) = (0_u32, 1, 0);
    while length <= LONGEST {
        code <<= 1;
        all.at[length] = (count as u32).wrapping_sub(code);
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                all.sorted[count] = symbol as u16;
                if length <= SHORT {
                    let mut place = (code as usize) << (SHORT - length);
                    let end = (code as usize + 1) << (SHORT - length);
                    while place < end {
                        all.short[place] = (symbol as u8, length as u8);
                        place += 1;
                    }
                }
                count += 1;
                code += 1;
            }
            symbol += 1;
        }
        // The last of the longest has no successor in 32 bits.
        all.behind[length] = if length == LONGEST { u32::MAX } else { code << (32 - length) };
        length += 1;
    }
    all
}

/// Decodes a whole string; `false` if it is none: it has the end within, or its last byte is not filled up with the
/// beginning of that, or with more than seven bits of it (RFC 7541, 5.2).
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut bits, mut have) = (0_u64, 0_usize);
    let mut rest = text;
    loop {
        // So many bits as the longest code has, as long as there are any.
        while have <= 32 {
            let Some((&next, more)) = rest.split_first() else { break };
            bits |= u64::from(next) << (56 - have);
            have += 8;
            rest = more;
        }
        if have < SHORT {
            return finish(bits, have, out);
        }
        let (symbol, length) = CODES.short[(bits >> (64 - SHORT)) as usize];
        let (symbol, length) = match length {
            0 => match long((bits >> 32) as u32) {
                // What is cut off can be the filling only if it is shorter than a byte.
                Some((symbol, length)) if length <= have && symbol != END => (symbol as u8, length),
                _ => return false,
            },
            length => (symbol, usize::from(length)),
        };
        out.push(symbol);
        bits <<= length;
        have -= length;
    }
}

/// Less than a byte is left: symbols, and the filling.
fn finish(mut bits: u64, mut have: usize, out: &mut Vec<u8>) -> bool {
    while have > 0 {
        let (symbol, length) = CODES.short[(bits >> (64 - SHORT)) as usize];
        let length = usize::from(length);
        if length == 0 || length > have {
            break;
        }
        out.push(symbol);
        bits <<= length;
        have -= length;
    }
    let filling = !0_u64 << (64 - have.max(1));
    have == 0 || bits == filling
}

/// A code that is longer than a byte, at the top of these bits.
fn long(bits: u32) -> Option<(u16, usize)> {
    let length = (SHORT + 1..=LONGEST).find(|length| bits < CODES.behind[*length] || *length == LONGEST)?;
    let place = (bits >> (32 - length)).wrapping_add(CODES.at[length]) as usize;
    CODES.sorted.get(place).map(|symbol| (*symbol, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of each symbol, as the RFC's table has it.
    fn encode(text: &[u8]) -> Vec<u8> {
        let code = |symbol: usize| {
            let length = usize::from(LENGTHS[symbol]);
            let place = CODES.sorted.iter().position(|known| usize::from(*known) == symbol).expect("it is there");
            ((place as u32).wrapping_sub(CODES.at[length]), length)
        };
        let mut bits: Vec<bool> = Vec::new();
        for &byte in text {
            let (code, length) = code(usize::from(byte));
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push(true);
        }
        bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | u8::from(*bit))).collect()
    }

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(text, &mut out).then_some(out)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let bytes = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(decoded(bytes).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(decoded(b"\xa8\xeb\x10\x64\x9c\xbf").as_deref(), Some(&b"no-cache"[..]));
        assert_eq!(encode(b"www.example.com"), bytes);
        // Appendix B, some of the longest.
        assert_eq!(encode(b"\n"), [0xff, 0xff, 0xff, 0xf3]);
        assert_eq!(encode(b"\\"), [0xff, 0xfe, 0x1f]);
    }

    #[test]
    fn every_byte_is_read_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for before in 0..9 {
                let text = [&b"0a<\x00\xf9".repeat(2)[..before], &[byte, byte]].concat();
                assert_eq!(decoded(&encode(&text)).as_deref(), Some(&text[..]), "{text:02x?}");
            }
        }
    }

    #[test]
    fn what_is_filled_up_with_something_else_is_no_string() {
        for (bytes, expected) in [
            (&[][..], Some(&b""[..])),
            // `0` and three bits.
            (&[0b0000_0111], Some(b"0")),
            (&[0b0000_0110], None),
            (&[0b0000_0000], None),
            // Eight bits of filling, and the end itself.
            (&[0b0000_0111, 0xff], None),
            (&[0xff], None),
            (&[0xff, 0xff], None),
            (&[0xff, 0xff, 0xff, 0xff], None),
            (&[0xff, 0xff, 0xff, 0xfc], None),
            // A long code that is cut off.
            (&[0xff, 0xff, 0xff, 0xf0], None),
            (&[0xfe], None),
        ] {
            assert_eq!(decoded(bytes).as_deref(), expected, "{bytes:02x?}");
        }
    }
}
