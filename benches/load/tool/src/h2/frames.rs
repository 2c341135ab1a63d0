//! Frames over a wire, and what every connection owes: answers to SETTINGS and PING, and room to send.

use std::os::fd::{AsFd, BorrowedFd};

use crate::http::{Buffers, Fault};
use crate::wire::Wire;

/// What a client says before its first frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const PADDED: u8 = 8;

const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;

const HEAD: usize = 9;
/// What both sides may send unless the other allows more.
const MOST_PAYLOAD: usize = 16 * 1024;
/// What the other side may send over a connection, and what may be taken of it before it is given anew.
const WINDOW: u32 = 1 << 30;

#[derive(Debug, PartialEq)]
pub struct Frame<'b> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'b [u8],
}

/// One end of a connection.
pub struct Framed<W> {
    wire: W,
    /// Whether the other side must remember fields of ours.
    wants_table: bool,
    /// What must come before the first frame.
    expected: &'static [u8],
    partial: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    /// How much content the other side takes, and how much of it we have taken.
    room: i64,
    taken: u32,
}

impl<'b> Frame<'b> {
    /// The first of these bytes and its size; `None` while it is not complete.
    fn parse(bytes: &'b [u8]) -> Result<Option<(Self, usize)>, Fault> {
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Ok(None) };
        let length = number(&head[..3]) as usize;
        if length > MOST_PAYLOAD {
            return Err(Fault::Malformed("frame: too long"));
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let frame = Self { kind: head[3], flags: head[4], stream: number(&head[5..9]) & (u32::MAX >> 1), payload };
        // No peer pads, and a block of fields of theirs fits into one frame.
        let is_whole = frame.kind != HEADERS || frame.has(END_HEADERS);
        if matches!(frame.kind, DATA | HEADERS) && (frame.has(PADDED) || !is_whole) {
            return Err(Fault::Malformed("frame: of a form no peer was seen to use"));
        }
        Ok(Some((frame, HEAD + length)))
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What RST_STREAM and WINDOW_UPDATE hold.
    pub fn number(&self) -> u32 {
        number(&self.payload[..self.payload.len().min(4)])
    }

    /// What SETTINGS hold.
    fn settings(&self) -> impl Iterator<Item = (u16, u32)> {
        self.payload.chunks_exact(6).map(|pair| (number(&pair[..2]) as u16, number(&pair[2..])))
    }
}

pub fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&[length[1], length[2], length[3], kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

impl<W: Wire> Framed<W> {
    pub fn of_client(wire: W, settings: &[(u16, u32)]) -> Self {
        let mut framed = Self::begin(wire, PREFACE.to_vec(), settings);
        framed.expected = &[];
        framed.wants_table = true;
        framed
    }

    pub fn of_endpoint(wire: W, settings: &[(u16, u32)]) -> Self {
        Self::begin(wire, Vec::new(), settings)
    }

    fn begin(wire: W, mut out: Vec<u8>, settings: &[(u16, u32)]) -> Self {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        put(&mut out, SETTINGS, 0, 0, &payload);
        put(&mut out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        Self { wire, wants_table: false, expected: PREFACE, partial: Vec::new(), out, sent: 0, room: 65_535, taken: 0 }
    }

    /// Takes all that has come; frames of streams, and GOAWAY, are for the caller.
    pub fn read(
        &mut self,
        buffers: &mut Buffers,
        mut on_frame: impl FnMut(&Frame) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while let Some(count) = self.wire.receive(&mut buffers.scratch)? {
            if count == 0 {
                return Err(Fault::Closed);
            }
            self.partial.extend_from_slice(&buffers.scratch[..count]);
            let mut gathered = std::mem::take(&mut self.partial);
            let mut read = self.expected.len();
            if gathered.len() < read {
                self.partial = gathered;
                continue;
            }
            if !gathered.starts_with(std::mem::take(&mut self.expected)) {
                return Err(Fault::Malformed("preface"));
            }
            while let Some((frame, size)) = Frame::parse(&gathered[read..])? {
                if !self.keeps_house(&frame)? {
                    on_frame(&frame)?;
                }
                read += size;
            }
            gathered.drain(..read);
            self.partial = gathered;
        }
        Ok(())
    }

    /// True when the frame is about the connection alone.
    fn keeps_house(&mut self, frame: &Frame) -> Result<bool, Fault> {
        match frame.kind {
            SETTINGS if frame.has(ACK) => {}
            SETTINGS => {
                let mut settings = frame.settings();
                if self.wants_table && settings.any(|(name, value)| name == HEADER_TABLE_SIZE && value < 4096) {
                    return Err(Fault::Malformed("settings: no room for the fields of the load"));
                }
                put(&mut self.out, SETTINGS, ACK, 0, &[]);
            }
            PING if !frame.has(ACK) => put(&mut self.out, PING, ACK, 0, frame.payload),
            WINDOW_UPDATE if frame.stream == 0 => self.room += i64::from(frame.number()),
            DATA => {
                self.taken += frame.payload.len() as u32;
                if self.taken > WINDOW / 2 {
                    put(&mut self.out, WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
                    self.taken = 0;
                }
                return Ok(false);
            }
            HEADERS | RST_STREAM | GOAWAY => return Ok(false),
            _ => {}
        }
        Ok(true)
    }

    /// Whether the other side takes so much content now.
    pub fn has_room_for(&self, length: usize) -> bool {
        self.room >= length as i64
    }

    /// Prepares a frame; for content there must be room.
    pub fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        if kind == DATA {
            self.room -= payload.len() as i64;
        }
        put(&mut self.out, kind, flags, stream, payload);
    }

    /// True when all that was prepared is sent.
    pub fn flush(&mut self) -> Result<bool, Fault> {
        while self.sent < self.out.len() {
            match self.wire.send(&self.out[self.sent..])? {
                Some(count) => self.sent += count,
                None => return Ok(false),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(self.wire.flush()?)
    }
}

impl<W: AsFd> AsFd for Framed<W> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        put(&mut bytes, DATA, END_STREAM, 5, b"hello");

        let (frame, size) = Frame::parse(&bytes).unwrap().unwrap();

        assert_eq!(frame, Frame { kind: DATA, flags: END_STREAM, stream: 5, payload: b"hello" });
        assert_eq!(size, bytes.len());
    }

    #[test]
    fn half_a_frame_waits_for_the_rest() {
        let mut bytes = Vec::new();
        put(&mut bytes, DATA, 0, 1, b"hello");
        for end in 0..bytes.len() {
            assert_eq!(Frame::parse(&bytes[..end]).unwrap(), None, "{end}");
        }
    }

    #[test]
    fn what_the_load_does_not_understand_is_a_fault() {
        for (kind, flags, payload) in
            [(DATA, PADDED, vec![0; 9]), (HEADERS, 0, vec![0x88]), (DATA, 0, vec![0; MOST_PAYLOAD + 1])]
        {
            let mut bytes = Vec::new();
            put(&mut bytes, kind, flags, 1, &payload);
            assert!(Frame::parse(&bytes).is_err(), "{kind} {flags}");
        }
    }
}
