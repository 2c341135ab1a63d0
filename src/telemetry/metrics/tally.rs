//! What is to be counted of one request.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use super::Recorder;
use crate::{
    exchange::{Facts, Subject},
    http::{StatusCode, body::Came, scratch},
};

/// A request whose answer has begun, until it is over.
#[derive(Debug)]
pub struct Tally {
    recorder: Rc<Recorder>,
    /// What it is counted under.
    pub subject: Subject,
    /// When its head had arrived.
    pub started: Instant,
    /// From there to the head of an endpoint's answer.
    pub first_byte: Option<Duration>,
    /// From there to its end, where nobody has to look at the clock for that.
    pub took: Option<Duration>,
    /// How often it was sent.
    pub attempts: u32,
    /// What has come of its content, if it has any.
    pub received: Option<Rc<Cell<Came>>>,
    /// Bytes of its answer's content that went from socket to socket without a copy.
    pub spliced: u64,
    /// What went wrong.
    pub error: Option<&'static str>,
}

impl Tally {
    /// As far as it is known by now.
    pub fn of(recorder: &Rc<Recorder>, facts: &mut Facts) -> Self {
        Self {
            recorder: Rc::clone(recorder),
            subject: facts.subject,
            started: facts.started,
            first_byte: facts.first_byte,
            took: None,
            attempts: facts.attempts,
            received: facts.received.take(),
            spliced: 0,
            error: facts.error,
        }
    }

    /// Its answer came as a whole: with the head of an endpoint's answer its end was there.
    pub fn came_whole(&mut self) {
        self.took = self.first_byte.filter(|_| self.error.is_none());
    }

    /// It was answered with this, and so many bytes of content.
    pub fn over(self, status: StatusCode, sent: u64) {
        self.recorder.on_page(self.subject, |page| page.enter(&self, status, sent));
        if let Some(received) = self.received {
            scratch::give_back_count(received);
        }
    }
}
