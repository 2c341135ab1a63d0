//! Frames that pass by: their heads are read, and nothing else of them (RFC 9113, 4.1).

use self::flag::{ACK, END_HEADERS, END_STREAM};

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of its payload.
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    /// Why a stream is reset.
    pub code: Option<u32>,
}

/// What a frame is (RFC 9113, 6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// What a frame says beside its kind (RFC 9113, 6).
pub mod flag {
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Why a stream or a connection ends (RFC 9113, 7).
pub mod code {
    pub const NO_ERROR: u32 = 0x0;
    pub const PROTOCOL_ERROR: u32 = 0x1;
    pub const INTERNAL_ERROR: u32 = 0x2;
    pub const FLOW_CONTROL_ERROR: u32 = 0x3;
    pub const STREAM_CLOSED: u32 = 0x5;
    pub const FRAME_SIZE_ERROR: u32 = 0x6;
    pub const REFUSED_STREAM: u32 = 0x7;
    pub const CANCEL: u32 = 0x8;
    pub const COMPRESSION_ERROR: u32 = 0x9;
    pub const ENHANCE_YOUR_CALM: u32 = 0xb;
}

impl FrameHead {
    /// The one that these bytes begin with, if all of it is there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, a, b, c, d] = *bytes.first_chunk::<HEAD>()?;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let stream = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        Some(Self { length, kind, flags, stream, code: None })
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; HEAD] {
        let ([_, high, middle, low], [a, b, c, d]) = (self.length.to_be_bytes(), self.stream.to_be_bytes());
        [high, middle, low, self.kind, self.flags, a, b, c, d]
    }

    /// It can be the first of all (RFC 9113, 3.4).
    pub fn begins(&self) -> bool {
        self.kind == kind::SETTINGS && self.flags & ACK == 0
    }

    /// It is as long as a frame of its kind is (RFC 9113, 6).
    pub fn has_its_size(&self) -> bool {
        match self.kind {
            kind::PRIORITY => self.length == 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => self.length == 4,
            kind::SETTINGS if self.flags & ACK != 0 => self.length == 0,
            kind::SETTINGS => self.length.is_multiple_of(6),
            kind::PING => self.length == 8,
            kind::GOAWAY => self.length >= 8,
            _ => true,
        }
    }

    /// Nothing follows it on its stream.
    pub fn ends_stream(&self) -> bool {
        match self.kind {
            kind::DATA | kind::HEADERS => self.flags & END_STREAM != 0,
            kind::RST_STREAM => true,
            _ => false,
        }
    }
}

/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// Bytes of the code that RST_STREAM consists of.
const CODE: usize = 4;
/// What a client begins with, which is no frame (RFC 9113, 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A position in a stream of frames.
#[derive(Debug, Default)]
pub struct Passing {
    head: [u8; HEAD + CODE],
    have: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    /// A header block has begun and not ended (RFC 9113, 4.3).
    in_block: bool,
}

impl Passing {
    /// Before a client's first byte.
    pub fn of_client() -> Self {
        Self { left: PREFACE.len(), ..Self::default() }
    }

    /// The head of a frame has come that is not complete, or a header block that is not.
    pub fn is_in_block(&self) -> bool {
        self.in_block || self.have > 0
    }

    /// No frame is under way.
    pub fn is_between(&self) -> bool {
        self.left == 0 && !self.is_in_block()
    }

    /// Has these bytes pass, up to the first frame that `lets` says no to once its head is known. How many have.
    pub fn pass(&mut self, bytes: &[u8], mut lets: impl FnMut(&FrameHead) -> bool) -> usize {
        let (mut at, mut begins) = (0, 0);
        while at < bytes.len() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len() - at);
                self.left -= skipped;
                at += skipped;
                begins = at;
                continue;
            }
            let taken = (self.wanted() - self.have).min(bytes.len() - at);
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[at..at + taken]);
            self.have += taken;
            at += taken;
            if self.have >= HEAD && self.have == self.wanted() {
                if !lets(&self.take()) {
                    return begins;
                }
                begins = at;
            }
        }
        at
    }

    /// Bytes of a head, and of what is read with it.
    fn wanted(&self) -> usize {
        let is_reset = self.have >= HEAD && self.head[3] == kind::RST_STREAM && self.length() == CODE;
        if is_reset { HEAD + CODE } else { HEAD }
    }

    fn length(&self) -> usize {
        usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2])
    }

    fn take(&mut self) -> FrameHead {
        let word = |at: usize| self.head[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let code = (self.have > HEAD).then(|| word(HEAD));
        let (length, kind, flags, stream) = (self.length(), self.head[3], self.head[4], word(5) & 0x7fff_ffff);
        self.left = length - (self.have - HEAD);
        self.have = 0;
        match kind {
            kind::HEADERS => self.in_block = flags & END_HEADERS == 0,
            kind::CONTINUATION if flags & END_HEADERS != 0 => self.in_block = false,
            _ => {}
        }
        FrameHead { length: length as u32, kind, flags, stream, code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn seen(passing: &mut Passing, bytes: &[u8]) -> Vec<FrameHead> {
        let mut all = Vec::new();
        passing.pass(bytes, |frame| {
            all.push(*frame);
            true
        });
        all
    }

    #[test]
    fn frames_are_seen_wherever_they_were_cut() {
        let bytes =
            [frame(kind::DATA, 1, 3, b"hello"), frame(3, 0, 5, &[0, 0, 0, 8]), frame(6, 0, 0, &[0; 8])].concat();
        let expected = [
            FrameHead { length: 5, kind: 0, flags: 1, stream: 3, code: None },
            FrameHead { length: 4, kind: 3, flags: 0, stream: 5, code: Some(8) },
            FrameHead { length: 8, kind: 6, flags: 0, stream: 0, code: None },
        ];
        for cut in 0..bytes.len() {
            let mut passing = Passing::default();
            let mut all = seen(&mut passing, &bytes[..cut]);
            all.extend(seen(&mut passing, &bytes[cut..]));
            assert_eq!(all, expected, "cut at {cut}");
            assert!(passing.is_between());
        }
    }

    #[test]
    fn nothing_passes_from_the_frame_on_that_is_not_let_through() {
        let (good, bad) = (frame(kind::DATA, 1, 3, b"hello"), frame(6, 0, 0, &[0; 7]));
        let bytes = [&good[..], &bad, &good].concat();
        for cut in 0..=bytes.len() {
            let mut passing = Passing::default();
            let first = passing.pass(&bytes[..cut], FrameHead::has_its_size);
            if first < cut {
                assert!((good.len()..good.len() + 9).contains(&(first + 9)) || first == good.len(), "cut at {cut}");
                continue;
            }
            let second = passing.pass(&bytes[cut..], FrameHead::has_its_size);
            // What of its head has passed before it was known is no frame yet.
            assert_eq!(second, good.len().saturating_sub(cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_reset_of_a_wrong_size_has_no_code() {
        let frames = seen(&mut Passing::default(), &frame(3, 0, 5, &[0; 5]));
        assert_eq!(frames, [FrameHead { length: 5, kind: 3, flags: 0, stream: 5, code: None }]);
    }

    #[test]
    fn a_header_block_is_under_way_until_its_end_is_flagged() {
        let mut passing = Passing::of_client();
        assert!(!passing.is_between());
        seen(&mut passing, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert!(passing.is_between());
        for (bytes, is_in_block) in [
            (frame(1, 0, 1, b"x"), true),
            (frame(9, 0, 1, b""), true),
            (frame(9, 4, 1, b"y"), false),
            (frame(1, 4, 3, b"z"), false),
        ] {
            seen(&mut passing, &bytes);
            assert_eq!(passing.is_in_block(), is_in_block, "{bytes:?}");
        }
        seen(&mut passing, &frame(0, 0, 3, b"cut")[..10]);
        assert!(!passing.is_between() && !passing.is_in_block());
    }
}
