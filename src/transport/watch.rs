//! What an exchange waits for, and for how long: one deadline, moved from phase to phase.

use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

use crate::{
    clock::Deadline,
    http::BodyError,
    transport::{Cause, Timeouts},
};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it is the client's turn to take. Only the limit on the whole counts.
    Nothing,
    /// The client's next byte.
    Client,
    /// The endpoint is to take, or to give, the next byte.
    Movement,
    /// The endpoint is to begin its answer.
    FirstByte,
}

/// Watches over one exchange.
pub struct Watch {
    deadline: Deadline,
    timeouts: Timeouts,
    total_at: Option<Instant>,
    wait: Option<Wait>,
}

impl Watch {
    /// `began` is when the limit on the whole started to count.
    pub fn new(deadline: Deadline, timeouts: Timeouts, began: Option<Instant>) -> Self {
        let total_at = timeouts.total.and_then(|total| began.unwrap_or_else(Instant::now).checked_add(total));
        Self { deadline, timeouts, total_at, wait: None }
    }

    /// A byte moved: whatever is waited for next is timed from then.
    pub fn moved(&mut self) {
        self.wait = None;
    }

    /// Waits for this from now on, if it did not before.
    pub fn expect(&mut self, wait: Wait) {
        if self.wait == Some(wait) {
            return;
        }
        self.wait = Some(wait);
        let limit = match wait {
            Wait::Nothing => None,
            Wait::Client | Wait::Movement => self.timeouts.idle,
            Wait::FirstByte => self.timeouts.first_byte,
        };
        let left = self.total_at.map(|at| at.saturating_duration_since(Instant::now()));
        self.deadline.arm_or_disarm([limit, left].into_iter().flatten().min());
    }

    /// Ready when one of the limits has passed, with what to say of it.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        // Bytes that dribble in move the deadline on each time, by a grain of the clock at least: its limit does not move.
        if self.total_at.is_some_and(|at| at <= Instant::now()) {
            return Poll::Ready(Cause::Total(self.timeouts.total.unwrap_or_default()));
        }
        ready!(self.deadline.poll(cx));
        Poll::Ready(match self.wait {
            Some(Wait::Client) => Cause::RequestBody(BodyError::Stalled),
            Some(Wait::FirstByte) => Cause::Timeout(self.timeouts.first_byte.unwrap_or_default()),
            Some(Wait::Movement | Wait::Nothing) | None => Cause::Stalled(self.timeouts.idle.unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    const SHORT: Option<Duration> = Some(Duration::from_millis(1));
    const LONG: Option<Duration> = Some(Duration::from_secs(3600));
    const NONE: Timeouts = Timeouts { connect: None, first_byte: None, idle: None, total: None };

    async fn passes(timeouts: Timeouts, wait: Wait) -> Cause {
        let mut watch = Watch::new(Deadline::new(), timeouts, None);
        watch.expect(wait);
        poll_fn(|cx| watch.poll(cx)).await
    }

    #[actix_rt::test]
    async fn whoever_is_waited_for_is_named() {
        let limits = Timeouts { first_byte: SHORT, idle: SHORT, total: LONG, ..NONE };

        assert!(matches!(passes(limits, Wait::FirstByte).await, Cause::Timeout(_)));
        assert!(matches!(passes(limits, Wait::Movement).await, Cause::Stalled(_)));
        assert!(matches!(passes(limits, Wait::Client).await, Cause::RequestBody(BodyError::Stalled)));
    }

    #[actix_rt::test]
    async fn the_limit_on_the_whole_counts_whatever_is_waited_for() {
        for wait in [Wait::Nothing, Wait::Client, Wait::Movement, Wait::FirstByte] {
            let limits = Timeouts { first_byte: LONG, idle: LONG, total: SHORT, ..NONE };

            assert!(matches!(passes(limits, wait).await, Cause::Total(_)), "{wait:?}");
        }
    }

    #[actix_rt::test]
    async fn only_movement_starts_the_same_wait_again() {
        let deadline = Deadline::new();
        let mut watch = Watch::new(deadline.clone(), Timeouts { idle: SHORT, ..NONE }, None);
        watch.expect(Wait::Movement);
        poll_fn(|cx| deadline.poll(cx)).await;

        watch.expect(Wait::Movement);
        assert!(deadline.has_passed());

        watch.moved();
        watch.expect(Wait::Movement);
        assert!(!deadline.has_passed());
    }
}
