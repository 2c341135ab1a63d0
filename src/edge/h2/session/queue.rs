//! Streams that wait for something there is not enough of for all of them: each in turn.

use std::{collections::VecDeque, task::Context};

use super::streams::{Place, Streams};

/// Those that wait, the next one first.
#[derive(Debug, Default)]
pub struct Queue(pub VecDeque<Place>);

/// Where to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Behind,
    /// It is in the middle of something.
    InFront,
}

impl Queue {
    /// It is this one's turn, and it has it. The next one is woken: there may be enough for both.
    pub fn pass(&mut self, place: Place, streams: &mut Streams) -> bool {
        match self.0.front() {
            None => true,
            Some(first) if *first == place => {
                self.0.pop_front();
                self.call(streams);
                true
            }
            Some(_) => false,
        }
    }

    /// Waits to be called.
    pub fn wait(&mut self, place: Place, wait: Wait, streams: &mut Streams, cx: &Context<'_>) {
        if let Some(stream) = streams.get(place) {
            stream.is_woken_by(cx);
        }
        if self.0.contains(&place) {
            return;
        }
        match wait {
            Wait::Behind => self.0.push_back(place),
            Wait::InFront => self.0.push_front(place),
        }
    }

    /// There is something for the next one.
    pub fn call(&self, streams: &mut Streams) {
        let sender = self.0.front().and_then(|first| streams.get(*first)).and_then(|stream| stream.sender.take());
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    /// Does not wait any more. If it was the next one, another is.
    pub fn leave(&mut self, place: Place, streams: &mut Streams) {
        if self.0.is_empty() {
            return;
        }
        let was_first = self.0.front() == Some(&place);
        self.0.retain(|waiting| *waiting != place);
        if was_first {
            self.call(streams);
        }
    }
}
