//! What clients send, made harmless: a line stays one line and a quoted value ends where it ends.

use std::fmt::Write;

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
    pub(super) fn push(self, line: &mut String, bytes: &[u8]) {
        match self {
            Self::Plain => push_plain(line, bytes),
            Self::Json => push_json(line, bytes),
        }
    }
}

fn push_plain(line: &mut String, mut bytes: &[u8]) {
    let is_harmless = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    while !bytes.is_empty() {
        let harmless = bytes.iter().position(|byte| !is_harmless(byte)).unwrap_or(bytes.len());
        line.push_str(str::from_utf8(&bytes[..harmless]).expect("ASCII only"));
        bytes = &bytes[harmless..];
        if let Some((byte, rest)) = bytes.split_first() {
            let _ = write!(line, "\\x{byte:02X}");
            bytes = rest;
        }
    }
}

fn push_json(line: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' => line.push_str("\\\""),
                '\\' => line.push_str("\\\\"),
                // JSON forbids only those below 0x20; a terminal obeys others, and some readers break lines at the last two.
                _ if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                    let _ = write!(line, "\\u{:04x}", u32::from(letter));
                }
                _ => line.push(letter),
            }
        }
        if !chunk.invalid().is_empty() {
            line.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(style: Style, bytes: &[u8]) -> String {
        let mut line = String::new();
        style.push(&mut line, bytes);
        line
    }

    #[test]
    fn plain_lines_hold_printable_ascii_only() {
        let all: Vec<u8> = (0..=255).collect();

        let line = escaped(Style::Plain, &all);

        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"'), "{line}");
        assert_eq!(escaped(Style::Plain, b"a\"b\\c\r\nd\x7f\xff"), r"a\x22b\x5Cc\x0D\x0Ad\x7F\xFF");
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
}
