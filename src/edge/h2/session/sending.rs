//! Answers on their way out (RFC 9113, 6.1, 6.2 and 8.1): each stream in its turn, as the windows and the socket allow.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{By, Place, Session, flag, kind, queue::Wait};
use crate::http::{
    HeaderName, HeaderValue, StatusCode,
    h2::frames::{FrameHead, HEAD},
    hpack::Encoder,
};

/// Bytes of content in a frame: with its head it fills a record of TLS.
const PIECE: usize = 16_384 - HEAD;

/// Content that is worth the frames which a client sends for it.
const WORTHWHILE: usize = 256;

/// A list of fields that is written.
pub struct List<'l> {
    encoder: &'l mut Encoder,
    out: &'l mut Vec<u8>,
}

impl List<'_> {
    /// The status, which comes first.
    pub fn status(&mut self, status: StatusCode) {
        self.encoder.status(status, self.out);
    }

    /// A field.
    pub fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.text(name, value.as_bytes());
    }

    /// A field whose value is no type.
    pub fn text(&mut self, name: &HeaderName, value: &[u8]) {
        self.encoder.field(name, value, self.out);
    }
}

impl Session {
    /// Ready when it is this stream's turn to write; with `false` if the stream is over. Whoever is in the middle of
    /// something goes first.
    pub fn poll_turn(&mut self, place: Place, is_amid: bool, cx: &Context<'_>) -> Poll<bool> {
        if self.streams.get(place).is_none() {
            return Poll::Ready(false);
        }
        if !self.output.is_full() {
            if self.turns.pass(place, &mut self.streams) {
                return Poll::Ready(true);
            }
            if is_amid {
                self.turns.leave(place, &mut self.streams);
                return Poll::Ready(true);
            }
        }
        let wait = if is_amid { Wait::InFront } else { Wait::Behind };
        self.turns.wait(place, wait, &mut self.streams, cx);
        Poll::Pending
    }

    /// Ready with how many bytes of content may be written now; with `None` if the stream is over.
    pub fn poll_room(&mut self, place: Place, cx: &Context<'_>) -> Poll<Option<usize>> {
        let Some(stream) = self.streams.get(place) else { return Poll::Ready(None) };
        let own = stream.window;
        if own <= 0 {
            stream.is_woken_by(cx);
            self.windows.leave(place, &mut self.streams);
            return Poll::Pending;
        }
        if self.window <= 0 || !self.windows.pass(place, &mut self.streams) {
            self.windows.wait(place, Wait::Behind, &mut self.streams, cx);
            return Poll::Pending;
        }
        Poll::Ready(Some(PIECE.min(self.max_frame).min(own.min(self.window) as usize)))
    }

    /// All that was to be written is.
    pub fn written(&mut self) {
        self.turns.call(&mut self.streams);
    }

    /// Writes a list of fields; nothing follows if it `ends` the stream. `false` if that is over.
    pub fn send_list(&mut self, place: Place, ends: bool, write: impl FnOnce(&mut List<'_>)) -> bool {
        let Some(stream) = self.streams.get(place) else { return false };
        stream.has_ended = ends;
        let out = self.output.end();
        let at = out.len();
        out.extend_from_slice(&[0; HEAD]);
        self.encoder.begin(out);
        write(&mut List { encoder: &mut self.encoder, out });
        let length = out.len() - at - HEAD;
        let end_stream = if ends { flag::END_STREAM } else { 0 };
        let frame = |kind, flags, length: usize| {
            FrameHead { length: length as u32, kind, flags, stream: place.stream, code: None }.bytes()
        };
        if length <= self.max_frame {
            out[at..at + HEAD].copy_from_slice(&frame(kind::HEADERS, end_stream | flag::END_HEADERS, length));
            return true;
        }
        let block = out.split_off(at + HEAD);
        out.truncate(at);
        let mut pieces = block.chunks(self.max_frame).peekable();
        let (mut kind, mut flags) = (kind::HEADERS, end_stream);
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                flags |= flag::END_HEADERS;
            }
            out.extend_from_slice(&frame(kind, flags, piece.len()));
            out.extend_from_slice(piece);
            (kind, flags) = (kind::CONTINUATION, 0);
        }
        true
    }

    /// Writes content, for which there is room. `false` if the stream is over.
    pub fn send_data(&mut self, place: Place, content: Bytes, ends: bool) -> bool {
        let Some(stream) = self.streams.get(place) else { return false };
        let length = content.len();
        stream.window -= length as i64;
        self.window -= length as i64;
        stream.has_ended = ends;
        // Not what is small because the client opens its windows byte by byte (CVE-2019-9511).
        if length > 0 && (ends || length >= WORTHWHILE || stream.window.min(self.window) > 0) {
            self.budget.sent();
        }
        let flags = if ends { flag::END_STREAM } else { 0 };
        let frame = FrameHead { length: length as u32, kind: kind::DATA, flags, stream: place.stream, code: None };
        self.output.end().extend_from_slice(&frame.bytes());
        self.output.put(content);
        if ends {
            self.turns.leave(place, &mut self.streams);
            self.windows.leave(place, &mut self.streams);
        }
        true
    }

    /// Says that nothing comes of a stream any more, and why.
    pub fn reset(&mut self, place: Place, code: u32) {
        if self.streams.get(place).is_some() {
            self.close(place, By::Us);
            let said = self.say_reset(place.stream, code);
            debug_assert!(said.is_ok(), "it is no fault of the client's");
        }
    }

    /// Nothing is open: gives back what many streams have needed.
    pub fn rest(&mut self) {
        self.streams.shrink();
        self.decoder.shrink();
        for queue in [&mut self.turns, &mut self.windows] {
            if queue.0.is_empty() {
                queue.0 = Default::default();
            }
        }
    }
}
