//! Streams that are over, the latest of them: what was on its way then is no error of the client's.

use std::collections::VecDeque;

/// The latest ones.
#[derive(Debug, Default)]
pub struct Closed(VecDeque<(u32, By)>);

/// Who has ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Client,
    Us,
    /// Both, in order.
    Order,
}

/// So many are remembered.
const MOST: usize = 32;

impl Closed {
    pub fn note(&mut self, stream: u32, by: By) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((stream, by));
    }

    /// Who has ended it, if that was lately.
    pub fn by(&self, stream: u32) -> Option<By> {
        self.0.iter().rev().find(|(known, _)| *known == stream).map(|(_, by)| *by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_no_more() {
        let mut closed = Closed::default();
        for stream in 0..1000 {
            closed.note(stream, if stream % 2 == 0 { By::Us } else { By::Client });
        }
        assert_eq!((closed.by(999), closed.by(998), closed.by(10)), (Some(By::Client), Some(By::Us), None));
        assert_eq!(closed.0.len(), MOST);
    }
}
