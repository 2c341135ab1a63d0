//! Whether a client is still there that waits for its answer.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{Line, MAX_AHEAD, READ, Wire, body::READ_BODY};
use crate::clock::Deadline;

/// An answer that takes no longer than this is there at once: as little as a deadline can be.
const AT_ONCE: Duration = Duration::ZERO;
/// How often to look whether one that has sent more ahead than is kept has left.
const LOOK: Duration = Duration::from_millis(500);

impl Wire {
    /// While the client waits for its answer: ready when it has left, also if it has only closed its half. What it
    /// sends meanwhile is kept, up to a bound; where its body goes past our memory it is left where it is.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_watched(cx));
        let size = if self.is_body_complete() { READ } else { READ_BODY };
        while self.input.borrow().len() < MAX_AHEAD && !self.body_goes_past_memory() {
            match ready!(self.poll_read(cx, size)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => self.wake_reader(),
            }
        }
        self.poll_hung_up(cx)
    }

    /// Who is answered at once has no time to leave: of his connection the runtime does not hear before that.
    fn poll_watched(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.line.borrow().as_ref().is_some_and(Line::is_early) {
            return Poll::Ready(());
        }
        let look = self.looking.get_or_init(Deadline::new);
        if !look.is_armed() {
            look.arm(AT_ONCE);
        }
        look.poll(cx)
    }

    /// Behind what is kept nobody reads, and nobody is told of an end there: it is looked for from time to time.
    fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let look = self.looking.get_or_init(Deadline::new);
        while self.line.borrow().as_ref().is_some_and(|line| !line.has_hung_up()) {
            if !look.is_armed() || look.has_passed() {
                look.arm(LOOK);
            }
            ready!(look.poll(cx));
        }
        Poll::Ready(())
    }
}
