//! A byte in a text that is short: a line of a head, or what stands in one.

use memchr::memchr;

/// Where the byte comes first. What is made for long texts costs more before it begins than most lines are long, and has only
/// what is not found in the first few words.
#[inline]
pub fn position(byte: u8, text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks();
    for (at, word) in words.iter().take(NEAR).enumerate() {
        if let Some(within) = first_in(byte, *word) {
            return Some(at * WORD + within);
        }
    }
    let (seen, found) = match words.len().checked_sub(NEAR) {
        Some(1..) => (NEAR * WORD, memchr(byte, &text[NEAR * WORD..])),
        _ => (words.len() * WORD, rest.iter().position(|known| *known == byte)),
    };
    found.map(|at| seen + at)
}

/// Words that are looked at here.
const NEAR: usize = 6;
/// Bytes that are compared at once.
const WORD: usize = size_of::<u64>();
/// A one in each byte.
const ONES: u64 = u64::from_le_bytes([1; WORD]);
/// The highest bit of each byte.
const HIGHEST: u64 = ONES << 7;

fn first_in(byte: u8, word: [u8; WORD]) -> Option<usize> {
    // Zero where it is. To take one from zero sets the highest bit, and what borrows from bytes above comes after it.
    let unlike = u64::from_le_bytes(word) ^ (ONES * u64::from(byte));
    let found = unlike.wrapping_sub(ONES) & !unlike & HIGHEST;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_is_and_whatever_is_around_it() {
        for length in 0..NEAR * WORD + 20 {
            for around in [0, b'\t', b'\n' - 1, b'\n' + 1, b'\n' | 0x80, 0x7f, 0x80, 0xff] {
                let mut text = vec![around; length];
                assert_eq!(position(b'\n', &text), None, "{length} of {around:#x}");
                for at in (0..length).rev() {
                    // What comes behind it is the same again.
                    text[at] = b'\n';
                    assert_eq!(position(b'\n', &text), Some(at), "{at} of {length}, {around:#x}");
                }
            }
        }
        for byte in 0..=u8::MAX {
            let text = [!byte, !byte, byte.wrapping_add(1), byte.wrapping_sub(1), byte, byte, !byte, byte, byte];
            assert_eq!(position(byte, &text), Some(4), "{byte:#x}");
        }
    }
}
