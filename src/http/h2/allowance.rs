//! How often something may happen that costs us and brings nobody anything.

use std::time::Duration;

use crate::clock;

/// So many in a minute, and as many at once.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    a_minute: u32,
    left: u32,
    since: Duration,
}

impl Allowance {
    /// Of so many.
    pub fn of(a_minute: u32) -> Self {
        Self { a_minute, left: a_minute, since: clock::coarse() }
    }

    /// One of them; `false` when there is none left.
    pub fn spend(&mut self) -> bool {
        if self.left == 0 {
            self.refill(clock::coarse());
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since).as_millis();
        let more = passed.saturating_mul(u128::from(self.a_minute)) / 60_000;
        if more > 0 {
            self.since = now;
            self.left = u32::try_from(more).unwrap_or(u32::MAX).min(self.a_minute);
        }
    }

    /// What was earned by something useful.
    pub fn earn(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.a_minute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_comes_back_with_time_and_no_further_than_it_was() {
        let mut allowance = Allowance { a_minute: 60, left: 0, since: Duration::ZERO };
        allowance.refill(Duration::from_millis(900));
        assert_eq!(allowance.left, 0);
        allowance.refill(Duration::from_millis(2100));
        assert_eq!(allowance.left, 2);
        allowance.refill(Duration::from_secs(3600));
        assert_eq!(allowance.left, 60);
    }
}
