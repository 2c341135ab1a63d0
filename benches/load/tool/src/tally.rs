//! How many requests were answered, and what went wrong with the others.

use std::time::Duration;

use crate::client::Client;
use crate::http::Fault;

#[derive(Default)]
pub struct Tally {
    pub requests: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    pub elapsed: Duration,
}

impl Tally {
    pub fn note(&mut self, fault: &Fault) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| fault.to_string());
    }

    /// For what shows only afterwards.
    pub fn fail(&mut self, errors: u64, why: &str) {
        self.errors += errors;
        if errors > 0 {
            self.first_error.get_or_insert_with(|| why.into());
        }
    }

    /// Ends the client's connection; returns how many requests are lost with it.
    pub fn lose(&mut self, fault: &Fault, client: &mut dyn Client) -> usize {
        self.note(fault);
        client.disconnect()
    }

    /// A round with errors is a failed round, however many requests it made.
    pub fn failure(&self) -> Option<String> {
        let first = self.first_error.as_deref().unwrap_or("nothing was answered");
        match (self.errors, self.requests) {
            (0, 0) => Some(first.into()),
            (0, _) => None,
            (1, _) => Some(format!("1 error: {first}")),
            (errors, _) => Some(format!("{errors} errors, the first: {first}")),
        }
    }

    pub fn add_errors_of(&mut self, other: Tally) {
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_with_one_error_among_many_requests_has_failed() {
        let mut tally = Tally { requests: 1_000_000, ..Tally::default() };
        assert_eq!(tally.failure(), None);

        tally.note(&Fault::Closed);

        assert!(tally.failure().unwrap().starts_with("1 error: closed"));
    }

    #[test]
    fn a_round_without_a_request_has_failed() {
        assert!(Tally::default().failure().is_some());
    }
}
