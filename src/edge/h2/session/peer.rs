//! What the two sides tell each other about the connection: settings, windows, pings and last words (RFC 9113, 6.5 to 6.9).

use super::{Event, MAX_FRAME, MOST_WINDOW, Session, Verdict, code, flag, kind, verdict};
use crate::http::h2::frames::FrameHead;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
/// RFC 8441, 3.
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// As large as frames can be made.
const LARGEST_FRAME: u32 = (1 << 24) - 1;

/// What our pings hold: whether the client is there, and whether it has read that we stop.
const THERE: [u8; 8] = *b"are you?";
const STOPPING: [u8; 8] = *b"stopping";

const TOO_LARGE: Verdict = verdict(code::FLOW_CONTROL_ERROR, "a window that is too large");

impl Session {
    pub(super) fn greet(&mut self, max_streams: u32, list: u32, more: u32) {
        let settings = [
            (MAX_CONCURRENT_STREAMS, max_streams),
            (INITIAL_WINDOW_SIZE, self.bounds.stream_window),
            (MAX_HEADER_LIST_SIZE, list),
            (ENABLE_CONNECT_PROTOCOL, 1),
        ];
        let mut payload = Vec::with_capacity(6 * settings.len());
        for (id, value) in settings {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.say(kind::SETTINGS, 0, 0, &payload);
        if more > 0 {
            self.say_window(0, more);
        }
    }

    pub(super) fn settings(&mut self, head: &FrameHead, payload: &[u8]) -> Result<Event, Verdict> {
        if head.flags & flag::ACK != 0 {
            self.first_flight = 0;
            return Ok(Event::Nothing);
        }
        let mut window = None;
        for [a, b, value @ ..] in payload.as_chunks::<6>().0 {
            match (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value)) {
                (INITIAL_WINDOW_SIZE, size) if i64::from(size) > MOST_WINDOW => return Err(TOO_LARGE),
                // It is said to all streams, however often it comes: the last one is what holds.
                (INITIAL_WINDOW_SIZE, size) => window = Some(size),
                (id, value) => self.set(id, value)?,
            }
        }
        if let Some(size) = window {
            self.set_window(i64::from(size))?;
        }
        self.say(kind::SETTINGS, flag::ACK, 0, &[]);
        Ok(Event::Nothing)
    }

    fn set(&mut self, id: u16, value: u32) -> Result<(), Verdict> {
        match id {
            HEADER_TABLE_SIZE => self.encoder.resize(value as usize),
            ENABLE_PUSH if value > 1 => return Err(verdict(code::PROTOCOL_ERROR, "a setting with a wrong value")),
            MAX_FRAME_SIZE if !(MAX_FRAME as u32..=LARGEST_FRAME).contains(&value) => {
                return Err(verdict(code::PROTOCOL_ERROR, "frames of a size that there is not"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Every stream's window becomes larger or smaller, also below nothing (RFC 9113, 6.9.2).
    fn set_window(&mut self, size: i64) -> Result<(), Verdict> {
        let change = size - self.first_window;
        self.first_window = size;
        for stream in self.streams.each() {
            stream.window += change;
            if stream.window > MOST_WINDOW {
                return Err(TOO_LARGE);
            }
            if change > 0
                && let Some(sender) = stream.sender.take()
            {
                sender.wake();
            }
        }
        Ok(())
    }

    pub(super) fn window_update(&mut self, stream: u32, payload: &[u8]) -> Result<Event, Verdict> {
        let more = payload.first_chunk().map_or(0, |more| u32::from_be_bytes(*more) & MOST_WINDOW as u32);
        if stream == 0 {
            self.window += i64::from(more);
            return match more {
                0 => Err(verdict(code::PROTOCOL_ERROR, "a window that is opened by nothing")),
                _ if self.window > MOST_WINDOW => {
                    Err(verdict(code::FLOW_CONTROL_ERROR, "a window that is opened too far"))
                }
                _ => {
                    self.windows.call(&mut self.streams);
                    Ok(Event::Nothing)
                }
            };
        }
        if self.is_idle(stream) {
            return Err(verdict(code::PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream"));
        }
        let Some(place) = self.streams.find(stream) else { return Ok(Event::Nothing) };
        if more == 0 {
            return self.fail(place, code::PROTOCOL_ERROR);
        }
        if let Some(stream) = self.streams.get(place) {
            stream.window += i64::from(more);
            if stream.window > MOST_WINDOW {
                return self.fail(place, code::FLOW_CONTROL_ERROR);
            }
            if let Some(sender) = stream.sender.take() {
                sender.wake();
            }
        }
        Ok(Event::Nothing)
    }

    pub(super) fn ping(&mut self, head: &FrameHead, payload: &[u8]) {
        if head.flags & flag::ACK == 0 {
            return self.say(kind::PING, flag::ACK, 0, payload);
        }
        if payload == THERE {
            self.owes_pong = false;
        } else if payload == STOPPING && self.is_draining {
            // It has read that we stop, and whatever it has begun before that has come.
            self.leave(code::NO_ERROR);
        }
    }

    /// Asks whether the client is there, unless it still has to answer that.
    pub fn ask(&mut self) {
        if !std::mem::replace(&mut self.owes_pong, true) {
            self.say(kind::PING, 0, 0, &THERE);
        }
    }

    /// Says that we stop: what the client has begun before it has read that is answered (RFC 9113, 6.8).
    pub fn drain(&mut self) {
        if std::mem::replace(&mut self.is_draining, true) || self.last_word.is_some() {
            return;
        }
        self.say_goaway(MOST_WINDOW as u32, code::NO_ERROR);
        self.say(kind::PING, 0, 0, &STOPPING);
    }

    /// Says the last word: with it the client knows which of its requests were never looked at.
    pub fn leave(&mut self, code: u32) {
        if code != code::NO_ERROR || self.last_word.is_none() {
            self.say_last_word(code);
        }
    }

    fn say_last_word(&mut self, code: u32) {
        let last = *self.last_word.get_or_insert(self.latest);
        self.say_goaway(last, code);
    }

    fn say_goaway(&mut self, last: u32, code: u32) {
        let [last, code] = [last, code].map(u32::to_be_bytes);
        self.say(kind::GOAWAY, 0, 0, &[last, code].concat());
    }

    /// Says how much more may be sent.
    pub(super) fn say_window(&mut self, stream: u32, more: u32) {
        self.say(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    /// Says that a stream is over.
    pub(super) fn say_reset(&mut self, stream: u32, code: u32) -> Result<(), Verdict> {
        self.say_unblamed_reset(stream, code);
        let frame = FrameHead { length: 4, kind: kind::RST_STREAM, flags: 0, stream, code: Some(code) };
        self.budget.went(&frame).map_err(|what| verdict(code::ENHANCE_YOUR_CALM, what))
    }

    pub(super) fn say_unblamed_reset(&mut self, stream: u32, code: u32) {
        self.say(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
        self.counts.http2.resets_by_us.one();
    }

    fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let head = FrameHead { length: payload.len() as u32, kind, flags, stream, code: None };
        let out = self.output.end();
        out.extend_from_slice(&head.bytes());
        out.extend_from_slice(payload);
    }
}
