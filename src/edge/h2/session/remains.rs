//! What has to be kept of a connection while nothing is open on it: what both sides have agreed on and remember, and what the
//! client may still do without blame. All else is made anew.

use std::{mem, sync::Arc};

use super::{
    Bounds, Budget, Closed, Counts, Credit, Encoder, Limits, Session, Stage, Streams, output::Output, queue::Queue,
};
use crate::http::hpack::Remembered;

/// A session that is at rest.
pub struct Remains {
    stage: Stage,
    decoder: Remembered,
    encoder: Encoder,
    closed: Closed,
    incoming: Credit,
    window: i64,
    first_window: i64,
    max_frame: usize,
    budget: Budget,
    latest: u32,
    owes_pong: bool,
    first_flight: u32,
}

impl Session {
    /// Nothing is open, to be written or in the middle of coming, and no word of an end was said.
    pub fn is_at_rest(&self) -> bool {
        let goes_on = self.last_word.is_none() && !self.is_draining;
        goes_on && self.streams.live == 0 && self.block.is_none() && self.output.is_empty()
    }

    /// Takes out what has to be kept of one that is at rest. Nothing more is to be done with it.
    pub fn remains(&mut self) -> Remains {
        debug_assert!(self.is_at_rest());
        self.encoder.shrink();
        self.closed.shrink();
        Remains {
            stage: self.stage,
            decoder: self.decoder.remembered(),
            encoder: mem::take(&mut self.encoder),
            closed: mem::replace(&mut self.closed, Closed::of(0)),
            incoming: self.incoming,
            window: self.window,
            first_window: self.first_window,
            max_frame: self.max_frame,
            budget: self.budget,
            latest: self.latest,
            owes_pong: self.owes_pong,
            first_flight: self.first_flight,
        }
    }
}

impl Remains {
    /// The session as it was.
    pub fn session(self, limits: &Limits, counts: &Arc<Counts>) -> Session {
        Session {
            stage: self.stage,
            decoder: self.decoder.decoder(),
            encoder: self.encoder,
            block: None,
            streams: Streams::default(),
            closed: self.closed,
            incoming: self.incoming,
            window: self.window,
            first_window: self.first_window,
            max_frame: self.max_frame,
            turns: Queue::default(),
            windows: Queue::default(),
            output: Output::default(),
            budget: self.budget,
            bounds: Bounds::of(limits),
            counts: Arc::clone(counts),
            latest: self.latest,
            last_word: None,
            is_draining: false,
            owes_pong: self.owes_pong,
            first_flight: self.first_flight,
        }
    }
}
