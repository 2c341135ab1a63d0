//! What clients send, made harmless: a line stays one line and a quoted value ends where it ends.

use std::io::Write;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Bytes that could be mistaken become `\xHH`.
    Plain,
    /// The inside of a JSON string.
    Json,
}

impl Style {
    /// Appends bytes that anyone may have chosen.
    pub(super) fn push(self, line: &mut Vec<u8>, bytes: &[u8]) {
        let (harmless, rest) = bytes.split_at(harmless(bytes));
        line.extend_from_slice(harmless);
        // Nearly always there is none.
        match self {
            _ if rest.is_empty() => {}
            Self::Plain => push_plain(line, rest),
            Self::Json => push_json(line, rest),
        }
    }
}

/// So many bytes mean the same in every style.
fn harmless(bytes: &[u8]) -> usize {
    // So many at once take hardly longer than one.
    let pieces = bytes.chunks_exact(16);
    let all_are = |piece: &&[u8]| piece.iter().fold(true, |all, byte| all & is_harmless(*byte));
    let before = 16 * pieces.take_while(all_are).count();
    // What is left is seldom more than a few words, and most values are no more than that.
    let (words, rest) = bytes[before..].as_chunks();
    let last = words.iter().position(|word| !is_harmless_word(*word)).unwrap_or(words.len());
    let (mut filled, left) = ([b' '; WORD], &bytes[before + last * WORD..]);
    if last == words.len() {
        filled[..rest.len()].copy_from_slice(rest);
        if is_harmless_word(filled) {
            return bytes.len();
        }
    }
    bytes.len() - left.len() + left.iter().position(|byte| !is_harmless(*byte)).unwrap_or(left.len())
}

/// Bytes that are looked at at once.
const WORD: usize = size_of::<u64>();
/// A one in each byte.
const ONES: u64 = u64::from_le_bytes([1; WORD]);

/// All of them are, as it can be told by the highest bit of each: what is taken from one byte or added to it reaches the next only
/// from one that is not.
fn is_harmless_word(bytes: [u8; WORD]) -> bool {
    let word = u64::from_le_bytes(bytes);
    let is = |byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    let is_control = word.wrapping_sub(ONES * u64::from(b' '));
    let is_above = word.wrapping_add(ONES);
    (is(b'"') | is(b'\\') | is_control | is_above | word) & (ONES << 7) == 0
}

fn is_harmless(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\')
}

fn push_plain(line: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if is_harmless(*byte) {
            line.push(*byte);
        } else {
            write!(line, "\\x{byte:02X}").expect("memory takes everything");
        }
    }
}

fn push_json(line: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' => line.extend_from_slice(b"\\\""),
                '\\' => line.extend_from_slice(b"\\\\"),
                // JSON forbids only those below 0x20; a terminal obeys others, and some readers break lines at the last two.
                _ if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                    write!(line, "\\u{:04x}", u32::from(letter)).expect("memory takes everything");
                }
                _ => push_letter(line, letter),
            }
        }
        if !chunk.invalid().is_empty() {
            push_letter(line, char::REPLACEMENT_CHARACTER);
        }
    }
}

fn push_letter(line: &mut Vec<u8>, letter: char) {
    line.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(style: Style, bytes: &[u8]) -> String {
        let mut line = Vec::new();
        style.push(&mut line, bytes);
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn plain_lines_hold_printable_ascii_only() {
        let all: Vec<u8> = (0..=255).collect();

        let line = escaped(Style::Plain, &all);

        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"'), "{line}");
        assert_eq!(escaped(Style::Plain, b"a\"b\\c\r\nd\x7f\xff"), r"a\x22b\x5Cc\x0D\x0Ad\x7F\xFF");
    }

    #[test]
    fn a_byte_means_the_same_alone_as_in_a_word() {
        for byte in 0..=u8::MAX {
            for at in 0..WORD {
                for around in [b' ', b'a', b'~', b'!', b'#', b'[', b']'] {
                    let mut word = [around; WORD];
                    word[at] = byte;
                    assert_eq!(is_harmless_word(word), is_harmless(byte), "{byte:#x} among {around:#x}");
                }
            }
        }
    }

    #[test]
    fn json_reads_back_as_what_went_in() {
        let text: String = (0..=0x2100).filter_map(char::from_u32).collect();

        let line = escaped(Style::Json, text.as_bytes());

        assert!(!line.chars().any(|letter| letter.is_control() || letter == '\u{2028}'));
        let read: String = serde_json::from_str(&format!("\"{line}\"")).expect("valid JSON");
        assert_eq!(read, text);
        assert_eq!(escaped(Style::Json, b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn what_is_not_harmless_is_found_wherever_it_stands() {
        for length in 0..50 {
            for at in 0..length {
                let mut bytes = vec![b'a'; length];
                bytes[at] = b'"';

                let plain = format!("{}\\x22{}", "a".repeat(at), "a".repeat(length - at - 1));
                assert_eq!(escaped(Style::Plain, &bytes), plain);
                assert_eq!(escaped(Style::Json, &bytes), plain.replace("\\x22", "\\\""));
            }
        }
    }
}
