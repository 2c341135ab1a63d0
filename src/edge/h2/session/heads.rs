//! Header blocks: those of requests, and those of trailers (RFC 9113, 4.3 and 8.1).

use std::{cell::RefCell, rc::Rc};

use super::{
    By, Event, Fields, Incoming, Opened, Place, Session, Verdict, code, data::unpadded, flag, streams::Stream, verdict,
};
use crate::http::h2::frames::FrameHead;

/// A header block that has not ended.
pub struct Block {
    pub stream: u32,
    ends_stream: bool,
    bytes: Vec<u8>,
}

/// Bytes of what was a stream's priority once (RFC 9113, 5.3.2).
const PRIORITY: usize = 5;

impl Session {
    pub(super) fn headers(&mut self, head: &FrameHead, payload: &[u8]) -> Result<Event, Verdict> {
        if head.stream.is_multiple_of(2) {
            return Err(verdict(code::PROTOCOL_ERROR, "a stream with an even number"));
        }
        let mut fragment = unpadded(head, payload)?;
        if head.flags & flag::PRIORITY != 0 {
            let rest = fragment.get(PRIORITY..);
            fragment = rest.ok_or(verdict(code::FRAME_SIZE_ERROR, "a frame that is too short"))?;
        }
        let (stream, ends_stream) = (head.stream, head.ends_stream());
        if head.flags & flag::END_HEADERS != 0 {
            return self.list(stream, ends_stream, fragment);
        }
        self.block = Some(Block { stream, ends_stream, bytes: fragment.to_vec() });
        Ok(Event::Nothing)
    }

    pub(super) fn continuation(&mut self, head: &FrameHead, payload: &[u8]) -> Result<Event, Verdict> {
        let Some(mut block) = self.block.take() else { return Ok(Event::Nothing) };
        if block.bytes.len() + payload.len() > self.bounds.block() {
            return Err(verdict(code::ENHANCE_YOUR_CALM, "a header block without end"));
        }
        block.bytes.extend_from_slice(payload);
        if head.flags & flag::END_HEADERS != 0 {
            return self.list(block.stream, block.ends_stream, &block.bytes);
        }
        self.block = Some(block);
        Ok(Event::Nothing)
    }

    /// A whole list. It is read whatever becomes of it: those that follow refer to what it has said.
    fn list(&mut self, stream: u32, ends_stream: bool, block: &[u8]) -> Result<Event, Verdict> {
        let mut fields = Fields::within(self.bounds.fields, self.bounds.head);
        let decoded = self.decoder.decode(block, |_, field| fields.take(field));
        decoded.map_err(|_| verdict(code::COMPRESSION_ERROR, "a header block that cannot be decoded"))?;
        fields.end();
        if let Some(place) = self.streams.find(stream) {
            return self.trailers(place, ends_stream, fields);
        }
        if self.last_word.is_some_and(|last| stream > last) {
            // The client knows that it is not looked at, and may ask elsewhere (RFC 9113, 6.8). So it is with its trailers.
            self.latest = self.latest.max(stream);
            return Ok(Event::Nothing);
        }
        if stream <= self.latest {
            return match self.closed.by(stream) {
                Some(By::Us) => Ok(Event::Nothing),
                Some(By::Client) => self.turn_away(stream, code::STREAM_CLOSED),
                _ => Err(verdict(code::PROTOCOL_ERROR, "the number of a stream that is over")),
            };
        }
        self.latest = stream;
        self.request(stream, ends_stream, fields)
    }

    fn request(&mut self, stream: u32, ends_stream: bool, fields: Fields) -> Result<Event, Verdict> {
        if self.streams.live >= self.bounds.streams {
            return self.refuse(stream);
        }
        if let Err(flaw) = fields.make_a_request() {
            log::debug!("a request of HTTP/2 is malformed: {flaw}");
            return self.turn_away(stream, code::PROTOCOL_ERROR);
        }
        let content = (!ends_stream).then(|| Rc::new(RefCell::new(Incoming::new(self.bounds.stream_window))));
        let (window, is_tunnel) = (self.first_window, fields.protocol.is_some());
        let opened = Stream { window, is_tunnel, content: content.clone(), ..Stream::default() };
        let place = self.streams.open(stream, opened);
        Ok(Event::Request(Opened { place, fields, content }))
    }

    /// There are too many. Who cannot have read how many there may be does nothing wrong.
    fn refuse(&mut self, stream: u32) -> Result<Event, Verdict> {
        match self.first_flight.checked_sub(1) {
            Some(left) => {
                self.first_flight = left;
                self.closed.note(stream, By::Us);
                self.say_unblamed_reset(stream, code::REFUSED_STREAM);
                Ok(Event::Nothing)
            }
            None => self.turn_away(stream, code::REFUSED_STREAM),
        }
    }

    /// Nobody answers on this stream.
    pub(super) fn turn_away(&mut self, stream: u32, code: u32) -> Result<Event, Verdict> {
        self.closed.note(stream, By::Us);
        self.say_reset(stream, code)?;
        Ok(Event::Nothing)
    }

    fn trailers(&mut self, place: Place, ends_stream: bool, mut fields: Fields) -> Result<Event, Verdict> {
        let Some(stream) = self.streams.get(place) else { return Ok(Event::Nothing) };
        if stream.content.is_none() {
            return self.fail(place, code::STREAM_CLOSED);
        }
        let misses_content = stream.promised.is_some_and(|promised| promised > 0);
        // Behind the head of a tunnel there are bytes, and nothing else (RFC 9113, 8.5).
        if stream.is_tunnel || !ends_stream || misses_content || !fields.make_trailers() {
            return self.fail(place, code::PROTOCOL_ERROR);
        }
        if let Some(content) = stream.content.take() {
            content.borrow_mut().finish(Some(std::mem::take(&mut fields.headers)));
        }
        Ok(Event::Nothing)
    }
}
