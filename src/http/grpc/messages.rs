//! Where messages of gRPC end within a body.

/// Follows a body as it comes: each message has a flag and four bytes of its length before it ("Length-Prefixed-Message" in
/// gRPC over HTTP/2).
#[derive(Debug, Default)]
pub struct Messages {
    /// Bytes of the prefix that have come, of the message that is next.
    prefix: u8,
    length: u32,
    /// Bytes that are missing of a message.
    left: u32,
}

/// The flag, and the length.
const PREFIX: u8 = 5;

impl Messages {
    /// These bytes come next.
    pub fn saw(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let part = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= part as u32;
                bytes = &bytes[part..];
                continue;
            }
            self.length = if self.prefix == 0 { 0 } else { self.length << 8 | u32::from(*first) };
            self.prefix = (self.prefix + 1) % PREFIX;
            if self.prefix == 0 {
                self.left = self.length;
            }
            bytes = rest;
        }
    }

    /// All that have come are whole.
    pub fn are_whole(&self) -> bool {
        self.prefix == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_whole_between_two_of_them_however_they_are_cut() {
        let body = b"\0\0\0\0\x02hi\0\0\0\0\0\x01\0\0\x01\0".iter().copied().chain([b'.'; 256]).collect::<Vec<_>>();
        let ends = [0, 7, 12, body.len()];
        for size in 1..=body.len() {
            let (mut messages, mut seen) = (Messages::default(), 0);
            assert!(messages.are_whole());
            for piece in body.chunks(size) {
                messages.saw(piece);
                seen += piece.len();
                assert_eq!(messages.are_whole(), ends.contains(&seen), "{seen} bytes in pieces of {size}");
            }
        }
    }
}
