//! The server's side of HTTP/2 (RFC 9113) without a socket: bytes come in and become events, answers become bytes that go
//! out. Who reads and writes them, and when, is decided above.
//!
//! Everything that a client can make us keep is bounded: streams, what of a header block has come, content that nobody has
//! taken, and answers to its frames; what those cost that keep nothing is counted.

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

use self::{
    closed::{By, Closed},
    credit::Credit,
    heads::Block,
    queue::Queue,
    streams::Streams,
};
pub use self::{
    content::{Incoming, Piece},
    fields::Fields,
    output::Output,
    remains::Remains,
    sending::List,
    streams::Place,
};
use super::budget::Budget;
use crate::{
    edge::{counts::Counts, limits::Limits},
    http::{
        h2::frames::{FrameHead, HEAD, PREFACE, code, flag, kind},
        hpack::{Decoder, Encoder, OVERHEAD},
    },
    settings::server::Http2Limits,
};

mod closed;
mod content;
mod credit;
mod data;
mod fields;
mod heads;
mod output;
mod peer;
mod queue;
mod remains;
mod sending;
mod streams;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_limits;

/// One connection as the protocol has it.
pub struct Session {
    stage: Stage,
    decoder: Decoder,
    encoder: Encoder,
    /// A header block that has begun and not ended.
    block: Option<Block>,
    streams: Streams,
    /// Streams that are over, the latest ones: what still comes for them is no error.
    closed: Closed,
    /// What may still come, and go, on all streams together.
    incoming: Credit,
    window: i64,
    /// What each stream may send at first, and what a frame may hold, as the client says.
    first_window: i64,
    max_frame: usize,
    /// Streams that wait for their turn to write, and for the connection's window.
    turns: Queue,
    windows: Queue,
    /// What is to be written.
    pub output: Output,
    budget: Budget,
    bounds: Bounds,
    counts: Arc<Counts>,
    /// The client's latest stream.
    latest: u32,
    /// Streams above this one are not looked at any more: the client was told so.
    last_word: Option<u32>,
    is_draining: bool,
    /// The client was asked whether it is there, and has not answered that.
    owes_pong: bool,
    /// Requests that may still be too many without blame: the client has not said that it knows how many there may be.
    first_flight: u32,
}

/// How far a connection has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preface,
    Settings,
    Begun,
}

/// What one client may make us keep.
struct Bounds {
    streams: usize,
    stream_window: u32,
    fields: usize,
    head: usize,
    /// What a list of fields may come to, as HTTP/2 counts.
    list: usize,
}

impl Bounds {
    fn of(limits: &Limits) -> Self {
        Self {
            streams: limits.http2.max_streams.min(Http2Limits::MOST_STREAMS) as usize,
            stream_window: window(limits.http2.stream_window.0),
            fields: limits.max_headers,
            head: limits.max_head,
            list: limits.max_head.saturating_add((limits.max_headers + SPARE_FIELDS).saturating_mul(OVERHEAD)),
        }
    }

    /// Bytes of a header block.
    fn block(&self) -> usize {
        self.list.saturating_add(MAX_FRAME)
    }
}

fn window(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX).min(MOST_WINDOW as u32)
}

/// Something that whoever answers has to know.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is made, and a request is what most of them are"
)]
pub enum Event {
    /// Nothing of the kind.
    Nothing,
    /// A request, to be answered on its stream.
    Request(Opened),
    /// A stream is over before its answer is: the client has reset it, or what it sent makes no sense.
    Over(Place),
}

/// A request that has come.
pub struct Opened {
    /// Where it is answered.
    pub place: Place,
    /// What its head says.
    pub fields: Fields,
    /// What comes behind it; `None` if nothing does.
    pub content: Option<Rc<RefCell<Incoming>>>,
}

/// Why a client is not listened to any more: the code that it is told, and what it has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// A code of RFC 9113, 7.
    pub code: u32,
    what: &'static str,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

const fn verdict(code: u32, what: &'static str) -> Verdict {
    Verdict { code, what }
}

/// What is in the middle of coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amid {
    /// Nothing.
    Nothing,
    /// A frame's head, or a header block: nothing else can come in between.
    Block,
    /// Another frame.
    Frame,
}

/// As large as frames to us may be; what every client may send unless it is told otherwise (RFC 9113, 4.2).
const MAX_FRAME: usize = 16_384;
/// What every window is at first (RFC 9113, 6.9.2).
const FIRST_WINDOW: u32 = 65_535;
const MOST_WINDOW: i64 = (1 << 31) - 1;

impl Session {
    /// A connection begins: our settings are the first that is written.
    pub fn new(limits: &Limits, counts: &Arc<Counts>) -> Self {
        let bounds = Bounds::of(limits);
        let (max_streams, list) = (bounds.streams as u32, bounds.list);
        let whole = window(limits.http2.connection_window.0).max(FIRST_WINDOW);
        let mut session = Self {
            stage: Stage::Preface,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            block: None,
            streams: Streams::default(),
            closed: Closed::of(bounds.streams),
            incoming: Credit::of(whole),
            window: i64::from(FIRST_WINDOW),
            first_window: i64::from(FIRST_WINDOW),
            max_frame: MAX_FRAME,
            turns: Queue::default(),
            windows: Queue::default(),
            output: Output::default(),
            budget: Budget::of(&limits.http2),
            bounds,
            counts: Arc::clone(counts),
            latest: 0,
            last_word: None,
            is_draining: false,
            owes_pong: false,
            first_flight: FIRST_FLIGHT,
        };
        session.greet(max_streams, u32::try_from(list).unwrap_or(u32::MAX), whole - FIRST_WINDOW);
        session
    }

    /// Takes in what the next frame is, if all of it has come: how many bytes it had, and what comes of it.
    ///
    /// # Errors
    /// The client is not to be listened to any more.
    pub fn step(&mut self, input: &[u8]) -> Result<Option<(usize, Event)>, Verdict> {
        if self.stage == Stage::Preface {
            let seen = input.len().min(PREFACE.len());
            if input[..seen] != PREFACE[..seen] {
                return Err(verdict(code::PROTOCOL_ERROR, "no preface"));
            }
            if seen < PREFACE.len() {
                return Ok(None);
            }
            self.stage = Stage::Settings;
            return Ok(Some((seen, Event::Nothing)));
        }
        let Some(mut head) = FrameHead::read(input) else { return Ok(None) };
        self.check(&head)?;
        let length = HEAD + head.length as usize;
        let Some(payload) = input.get(HEAD..length) else { return Ok(None) };
        if head.kind == kind::RST_STREAM {
            head.code = payload.first_chunk().map(|code| u32::from_be_bytes(*code));
        }
        self.budget.came(&head).map_err(|what| verdict(code::ENHANCE_YOUR_CALM, what))?;
        Ok(Some((length, self.take(&head, payload)?)))
    }

    /// What this is the beginning of.
    pub fn amid(&self, rest: &[u8]) -> Amid {
        match FrameHead::read(rest) {
            _ if self.stage == Stage::Preface => Amid::Nothing,
            _ if self.block.is_some() => Amid::Block,
            None if rest.is_empty() => Amid::Nothing,
            Some(head) if !matches!(head.kind, kind::HEADERS | kind::CONTINUATION) => Amid::Frame,
            _ => Amid::Block,
        }
    }

    /// A header block has begun and not ended.
    pub fn is_amid_block(&self) -> bool {
        self.block.is_some()
    }

    /// What is wrong with a frame is known by its head: nobody makes us wait for the rest of it.
    fn check(&mut self, head: &FrameHead) -> Result<(), Verdict> {
        if self.stage == Stage::Settings {
            if !head.begins() {
                return Err(verdict(code::PROTOCOL_ERROR, "a first frame other than SETTINGS"));
            }
            self.stage = Stage::Begun;
        }
        if head.length as usize > MAX_FRAME || !head.has_its_size() {
            return Err(verdict(code::FRAME_SIZE_ERROR, "a frame of a wrong size"));
        }
        let continues = head.kind == kind::CONTINUATION;
        let belongs = match &self.block {
            Some(block) => continues && block.stream == head.stream,
            None => !continues,
        };
        if !belongs {
            return Err(verdict(
                code::PROTOCOL_ERROR,
                "a header block that is interrupted, or goes on without a beginning",
            ));
        }
        let is_of_a_stream = match head.kind {
            kind::DATA | kind::HEADERS | kind::PRIORITY | kind::RST_STREAM => Some(true),
            kind::SETTINGS | kind::PING | kind::GOAWAY => Some(false),
            kind::PUSH_PROMISE => return Err(verdict(code::PROTOCOL_ERROR, "a promise")),
            _ => None,
        };
        if is_of_a_stream.is_some_and(|is| is != (head.stream != 0)) {
            return Err(verdict(code::PROTOCOL_ERROR, "a frame on a stream that it cannot be on"));
        }
        Ok(())
    }

    fn take(&mut self, head: &FrameHead, payload: &[u8]) -> Result<Event, Verdict> {
        match head.kind {
            kind::DATA => self.data(head, payload),
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::RST_STREAM => self.was_reset(head.stream),
            kind::SETTINGS => self.settings(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head.stream, payload),
            kind::PING => {
                self.ping(head, payload);
                Ok(Event::Nothing)
            }
            // Whose turn it is we decide ourselves (RFC 9113, 5.3.2). A client that goes finishes what it has begun. And what
            // nobody knows is ignored (5.5).
            _ => Ok(Event::Nothing),
        }
    }

    fn was_reset(&mut self, stream: u32) -> Result<Event, Verdict> {
        if self.is_idle(stream) {
            return Err(verdict(code::PROTOCOL_ERROR, "RST_STREAM on an idle stream"));
        }
        self.counts.http2.resets_by_clients.one();
        let Some(place) = self.streams.find(stream) else { return Ok(Event::Nothing) };
        self.close(place, By::Client);
        Ok(Event::Over(place))
    }

    /// Nobody has used the stream yet (RFC 9113, 5.1).
    fn is_idle(&self, stream: u32) -> bool {
        stream > self.latest || stream.is_multiple_of(2)
    }

    /// A stream is over because of what the client has sent on it.
    fn fail(&mut self, place: Place, code: u32) -> Result<Event, Verdict> {
        self.close(place, By::Us);
        self.say_reset(place.stream, code)?;
        Ok(Event::Over(place))
    }

    /// A stream is over, whatever was still to come.
    fn close(&mut self, place: Place, by: By) {
        let Some(stream) = self.streams.get(place) else { return };
        stream.is_closed = true;
        let (content, sender) = (stream.content.take(), stream.sender.take());
        self.streams.live -= 1;
        self.closed.note(place.stream, by);
        if let Some(content) = content {
            let unread = content.borrow_mut().break_off();
            self.give_back(unread);
        }
        if let Some(sender) = sender {
            sender.wake();
        }
        self.turns.leave(place, &mut self.streams);
        self.windows.leave(place, &mut self.streams);
    }

    /// The stream is not over.
    pub fn is_open(&mut self, place: Place) -> bool {
        self.streams.get(place).is_some()
    }

    /// Whoever answers on a stream is done with it, and its place is free for another. What was not ended in order must
    /// not look as if it had been.
    pub fn release(&mut self, place: Place) {
        if let Some(stream) = self.streams.get(place) {
            let (is_answered, is_whole) = (stream.has_ended, stream.content.is_none());
            match (is_answered, is_whole) {
                (true, true) => {}
                (true, false) => self.reset(place, code::NO_ERROR),
                (false, _) => self.reset(place, code::INTERNAL_ERROR),
            }
            self.close(place, By::Order);
        }
        self.streams.free(place);
    }

    /// The connection has ended: nothing comes, and nothing goes.
    pub fn end(&mut self) {
        for place in self.streams.places() {
            self.close(place, By::Us);
        }
        self.output = Output::default();
    }

    /// How many bytes of content the request's head has promised.
    pub fn expect(&mut self, place: Place, length: u64) {
        if let Some(stream) = self.streams.get(place) {
            stream.promised = Some(length);
        }
    }
}

/// Fields beyond those that are allowed.
const SPARE_FIELDS: usize = 32;
/// As many requests as a client may have on their way before it has read our settings.
const FIRST_FLIGHT: u32 = 1000;
