//! A client of HTTP/2 that knows frames and nothing else: it sends exactly these bytes and shows exactly which frames
//! came back (RFC 9113, 4.1).

use std::{fmt, net::SocketAddr};

use tokio::net::TcpStream;

use super::wire::{Socket, Wire, patiently};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;

/// Codes of errors (RFC 9113, 7).
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
pub const HTTP_1_1_REQUIRED: u32 = 0xd;

/// A frame as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection of HTTP/2.
pub struct Frames {
    wire: Wire,
}

/// What came of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this status.
    Answer(u16),
    /// The stream was reset.
    Reset(u32),
    /// The connection was ended.
    GoAway(u32),
    /// It was ended without a word.
    Closed,
}

impl Frames {
    /// A connection on which the preface was said and settings were exchanged. The server is to use no dynamic table:
    /// that is how its answers can be read here.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut frames = Self::silent(address).await;
        frames.greet(&[(1, 0)]).await;
        frames
    }

    /// Nothing was said on it yet.
    pub async fn silent(address: SocketAddr) -> Self {
        let socket = patiently("a connection", TcpStream::connect(address)).await;
        Self::over(Socket::Tcp(socket.expect("somebody listens there")))
    }

    pub fn over(socket: Socket) -> Self {
        Self { wire: Wire::new(socket) }
    }

    /// Says the preface and these settings, and hears those of the server.
    pub async fn greet(&mut self, own: &[(u16, u32)]) {
        self.send(PREFACE).await;
        self.send(settings(own)).await;
        let came = self.next().await.expect("settings, but the server closed the connection");
        assert_eq!((came.kind, came.flags), (SETTINGS, 0), "the server's preface is SETTINGS: {came:?}");
        self.send(frame(SETTINGS, ACK, 0, b"")).await;
    }

    /// As a server: hears the client's preface and settings, and says these.
    pub async fn welcome(&mut self, own: &[(u16, u32)]) {
        assert_eq!(self.wire.up_to(PREFACE.len()).await, PREFACE, "a client of HTTP/2");
        self.send(settings(own)).await;
        let came = self.next().await.expect("settings, but the client closed the connection");
        assert_eq!((came.kind, came.flags), (SETTINGS, 0), "the client's preface ends with SETTINGS: {came:?}");
        self.send(frame(SETTINGS, ACK, 0, b"")).await;
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write(bytes.as_ref()).await.expect("the server takes what is sent");
    }

    /// Sends until the server closes its ears; `false` then.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write(bytes.as_ref()).await.is_ok()
    }

    /// Says no more, and goes on listening.
    pub async fn finish(&mut self) {
        self.wire.half_close().await;
    }

    /// The next frame; `None` if the server closed instead.
    pub async fn next(&mut self) -> Option<Frame> {
        let head = self.wire.up_to(9).await;
        if head.len() < 9 {
            return None;
        }
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let payload = self.wire.up_to(word(&head[..3]) as usize).await;
        Some(Frame { kind: head[3], flags: head[4], stream: word(&head[5..]) & 0x7fff_ffff, payload })
    }

    /// The next frame of a kind; panics if the server closed instead.
    pub async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("a frame of kind {kind}, but the server closed"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// What comes of this stream, or of the whole connection.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some(frame) = self.next().await else { return Outcome::Closed };
            match frame.kind {
                HEADERS if frame.stream == stream && status(&frame.payload) >= 200 => {
                    return Outcome::Answer(status(&frame.payload));
                }
                RST_STREAM if frame.stream == stream => return Outcome::Reset(frame.code(0)),
                GOAWAY => return Outcome::GoAway(frame.code(4)),
                _ => {}
            }
        }
    }

    /// The server has answered everything that was sent before: it answers a PING.
    pub async fn is_alive(&mut self) -> bool {
        if !self.try_send(frame(PING, 0, 0, b"are you?")).await {
            return false;
        }
        while let Some(frame) = self.next().await {
            if (frame.kind, frame.flags, &*frame.payload) == (PING, ACK, b"are you?") {
                return true;
            }
        }
        false
    }

    /// Reads and forgets until the server closes.
    pub async fn wait_closed(&mut self) {
        self.wire.wait_ended().await;
    }

    /// Writes in segments of `size` bytes.
    pub async fn dribble(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        for segment in bytes.as_ref().chunks(size) {
            self.send(segment).await;
            tokio::task::yield_now().await;
        }
    }
}

impl Frame {
    /// The number that begins at this byte.
    pub fn code(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4).unwrap_or_else(|| panic!("{self:?} has no code"));
        u32::from_be_bytes(bytes.try_into().expect("four of them"))
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, flags, stream, payload } = self;
        write!(f, "kind {kind} flags {flags:#x} stream {stream}: {} bytes", payload.len())?;
        write!(f, " {:02x?}", &payload[..payload.len().min(32)])
    }
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    claiming(payload.len(), kind, flags, stream, payload)
}

/// One that says it is longer or shorter than it is.
pub fn claiming(length: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&(length as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        all.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, payload)
}

/// The last word on a connection: streams up to this one were looked at.
pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// An answer without content.
pub fn answer(stream: u32, flags: u8, status: &str) -> Vec<u8> {
    headers(stream, flags, &[(":status", status)])
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

pub fn window_update(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, more.to_be_bytes())
}

/// A block of fields, each a literal that is not remembered (RFC 7541, 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
fn push_length(length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// The fields of a plain request.
pub fn request<'f>(method: &'f str, path: &'f str) -> Vec<(&'f str, &'f str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", "a.example"), (":path", path)]
}

/// A GET, whole.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, END_STREAM, &request("GET", path))
}

/// A POST whose body follows.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, 0, &request("POST", path))
}

/// A whole block in one frame.
pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, block(fields))
}

/// The status that a block begins with (RFC 7541, appendix A and 5.2), from an encoder without a dynamic table.
pub fn status(block: &[u8]) -> u16 {
    match block {
        // A change of the table's size comes first.
        [first, rest @ ..] if first >> 5 == 1 => status(rest),
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x08 | 0x18 | 0x48, length, text @ ..] => {
            let text = &text[..usize::from(length & 0x7f)];
            if length & 0x80 == 0 { digits(text.iter().map(|byte| byte - b'0')) } else { digits(huffman(text)) }
        }
        other => panic!("no status: {:02x?}", &other[..other.len().min(16)]),
    }
}

fn digits(digits: impl IntoIterator<Item = u8>) -> u16 {
    digits.into_iter().fold(0, |number, digit| number * 10 + u16::from(digit))
}

/// Three digits in the code of RFC 7541, appendix B: 0, 1 and 2 have five bits, the others six.
fn huffman(text: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number << 1 | bit);
    let (mut at, mut found) = (0, Vec::new());
    while found.len() < 3 {
        match number(&bits[at..at + 5]) {
            digit @ 0..=2 => {
                found.push(digit);
                at += 5;
            }
            _ => {
                found.push(number(&bits[at..at + 6]) - 0b011001 + 3);
                at += 6;
            }
        }
    }
    found
}
