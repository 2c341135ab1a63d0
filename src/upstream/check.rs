//! What an endpoint is asked, and what a good answer is.

use std::{ops::RangeInclusive, time::Duration};

use crate::chance;

/// How the endpoints of an upstream are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What is asked.
    pub question: Question,
    /// The port to ask at, if it is not the endpoint's own.
    pub port: Option<u16>,
    /// How often.
    pub every: Duration,
    /// By how much of that more or less.
    pub jitter: f64,
    /// How long an answer may take.
    pub timeout: Duration,
    /// So many good answers in a row, and it is well.
    pub rise: u32,
    /// So many bad ones, and it is not.
    pub fall: u32,
}

/// What an endpoint is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// GET.
    Http {
        /// Path and query.
        path: String,
        /// The `Host`, if it is not the endpoint's own.
        host: Option<String>,
        /// Statuses of a good answer.
        status: RangeInclusive<u16>,
        /// What it must contain.
        body: Option<String>,
    },
    /// Whether a connection can be made.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service; empty is the server.
        service: String,
        /// The `:authority`, if it is not the endpoint's own.
        host: Option<String>,
    },
}

/// The last answers of one endpoint.
#[derive(Debug, Default)]
pub struct Tally {
    good: u32,
    bad: u32,
}

impl Check {
    /// How long to wait before the next question.
    pub fn pause(&self) -> Duration {
        self.every.mul_f64(1.0 + self.jitter * (2.0 * chance::part() - 1.0))
    }

    /// How long before the first one: all endpoints are known soon, and not all are asked at once.
    pub fn first_pause(&self) -> Duration {
        const SOON: Duration = Duration::from_millis(500);
        self.every.min(SOON).mul_f64(chance::part())
    }
}

impl Tally {
    /// One answer more. Says how the endpoint is, if that is decided by now.
    pub fn count(&mut self, good: bool, check: &Check) -> Option<bool> {
        let (row, wanted) = if good { (&mut self.good, check.rise) } else { (&mut self.bad, check.fall) };
        *row = row.saturating_add(1);
        let decided = *row >= wanted;
        if good {
            self.bad = 0;
        } else {
            self.good = 0;
        }
        decided.then_some(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: Check = Check {
        question: Question::Tcp,
        port: None,
        every: Duration::from_secs(10),
        jitter: 0.2,
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
    };

    #[test]
    fn it_takes_so_many_answers_in_a_row() {
        let mut tally = Tally::default();
        let said: Vec<_> = [false, false, true, false, false, false, false, true, false, true, true]
            .map(|good| tally.count(good, &CHECK))
            .into();
        let expected = [None, None, None, None, None, Some(false), Some(false), None, None, None, Some(true)];
        assert_eq!(said, expected);
    }

    #[test]
    fn pauses_differ_within_their_jitter() {
        let pauses: Vec<_> = (0..500).map(|_| CHECK.pause()).collect();
        let (least, most) = (pauses.iter().min().expect("some"), pauses.iter().max().expect("some"));
        assert!(*least >= Duration::from_secs(8) && *least < Duration::from_secs(9), "{least:?}");
        assert!(*most <= Duration::from_secs(12) && *most > Duration::from_secs(11), "{most:?}");
    }
}
