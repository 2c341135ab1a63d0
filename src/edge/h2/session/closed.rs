//! Streams that are over, the latest of them: what was on its way then is no error of the client's.

use std::collections::VecDeque;

/// The latest ones. Those that we have ended are apart: however many others end, of each of these something may be on its way.
#[derive(Debug)]
pub struct Closed {
    ours: VecDeque<u32>,
    others: VecDeque<(u32, By)>,
    most: usize,
}

/// Who has ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Client,
    Us,
    /// Both, in order.
    Order,
}

/// So many are remembered at least.
const LEAST: usize = 32;

impl Closed {
    /// Remembers as many as may be open at once.
    pub fn of(streams: usize) -> Self {
        Self { ours: VecDeque::new(), others: VecDeque::new(), most: streams.max(LEAST) }
    }

    pub fn note(&mut self, stream: u32, by: By) {
        match by {
            By::Us => push(&mut self.ours, stream, self.most),
            By::Client | By::Order => push(&mut self.others, (stream, by), LEAST),
        }
    }

    /// Gives back what more of them have needed.
    pub fn shrink(&mut self) {
        self.ours.shrink_to_fit();
        self.others.shrink_to_fit();
    }

    /// Who has ended it, if that was lately.
    pub fn by(&self, stream: u32) -> Option<By> {
        // What we say of a stream is the last that is said of it.
        if self.ours.iter().rev().any(|known| *known == stream) {
            return Some(By::Us);
        }
        self.others.iter().rev().find(|(known, _)| *known == stream).map(|(_, by)| *by)
    }
}

fn push<T>(to: &mut VecDeque<T>, what: T, most: usize) {
    if to.len() >= most {
        to.pop_front();
    }
    to.push_back(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_no_more() {
        let mut closed = Closed::of(100);
        for stream in 0..1000 {
            closed.note(stream, if stream % 2 == 0 { By::Us } else { By::Client });
        }
        assert_eq!((closed.by(999), closed.by(998), closed.by(10)), (Some(By::Client), Some(By::Us), None));
        assert_eq!((closed.ours.len(), closed.others.len()), (100, LEAST));
    }

    #[test]
    fn those_that_we_have_ended_outlast_all_others() {
        let mut closed = Closed::of(1);
        closed.note(1, By::Us);
        for stream in 2..1000 {
            closed.note(stream, if stream % 2 == 0 { By::Order } else { By::Client });
        }
        assert_eq!(closed.by(1), Some(By::Us));
    }
}
