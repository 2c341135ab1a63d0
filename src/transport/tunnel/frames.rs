//! Where the frames of a WebSocket end (RFC 6455, 5.2): no more of the protocol than that.

/// A position in a stream of frames.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    /// The header as far as it has passed.
    header: Vec<u8>,
    /// Bytes of the payload still to come.
    payload: u64,
}

impl Frames {
    /// Close, 1001 (going away), as a server says it.
    pub const CLOSE_BY_SERVER: &'static [u8] = &[0x88, 0x02, 0x03, 0xe9];
    /// The same as a client says it: masked, here with zeros.
    pub const CLOSE_BY_CLIENT: &'static [u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

    /// These bytes have passed.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.step(bytes)..];
        }
    }

    /// Behind these bytes, which follow what has passed, a frame ends and none has begun.
    pub fn ends_with(&self, bytes: &[u8]) -> bool {
        let mut ahead = self.clone();
        ahead.pass(bytes);
        ahead.is_between()
    }

    fn is_between(&self) -> bool {
        self.payload == 0 && self.header.is_empty()
    }

    /// Takes a header or a byte of one, or as much of a payload as there is; at least one byte.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.payload > 0 {
            let length = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= length as u64;
            return length;
        }
        // Nearly always a header comes in one piece.
        if let (true, Some(header)) = (self.header.is_empty(), Header::read(bytes)) {
            self.payload = header.payload;
            return header.length;
        }
        self.header.push(bytes[0]);
        if let Some(header) = Header::read(&self.header) {
            self.payload = header.payload;
            self.header.clear();
        }
        1
    }
}

/// What a header tells.
struct Header {
    /// Its own length.
    length: usize,
    /// The payload's.
    payload: u64,
}

impl Header {
    /// The header at the beginning of these bytes, if it is complete.
    fn read(bytes: &[u8]) -> Option<Self> {
        let second = *bytes.get(1)?;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let length = 2 + extended + mask;
        let extension = &bytes.get(..length)?[2..2 + extended];
        let payload = match extension {
            [] => u64::from(second & 0x7f),
            extension => extension.iter().fold(0, |payload, byte| payload << 8 | u64::from(*byte)),
        };
        Some(Self { length, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_size_end_where_they_should() {
        for (length, masked) in [(0, false), (5, true), (125, false), (126, true), (70_000, false), (70_000, true)] {
            let mut frame = vec![0x82];
            let mask = if masked { 0x80 } else { 0 };
            match length {
                0..126 => frame.push(mask | length as u8),
                126..65536 => frame.extend([&[mask | 126][..], &(length as u16).to_be_bytes()].concat()),
                _ => frame.extend([&[mask | 127][..], &(length as u64).to_be_bytes()].concat()),
            }
            frame.extend(vec![0; length + if masked { 4 } else { 0 }]);
            for cut in [1, 2, frame.len() / 2, frame.len()] {
                let mut frames = Frames::default();
                frames.pass(&frame[..cut]);
                assert!(frames.ends_with(&frame[cut..]), "{length} {masked} {cut}");
                assert!(!frames.ends_with(&[&frame[cut..], b"x"].concat()), "{length} {masked} {cut}");
            }
        }
    }

    #[test]
    fn between_two_frames_nothing_is_under_way() {
        let mut frames = Frames::default();
        assert!(frames.ends_with(b""));
        frames.pass(&[0x81, 1, b'a', 0x81]);
        assert!(!frames.ends_with(b""));
    }
}
