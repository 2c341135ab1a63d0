//! What the body of an answer tells, once its head has told that all is well.

use std::{any::Any, time::Duration};

use super::{Endpoint, Members, Upstream};
use crate::{
    clock,
    exchange::{BodyEnd, Learner},
};

impl Upstream {
    /// How the answers of these members end matters to somebody.
    pub fn looks_at_bodies(&self, members: &Members) -> bool {
        self.looks_for_outliers(members)
            || self.breaker.is_some()
            || self.limit.as_ref().is_some_and(|limit| limit.is_found_out())
    }

    /// Learns how the body of an answer ended.
    pub fn heed_body(&self, endpoint: &Endpoint, end: BodyEnd, now: impl Fn() -> Duration) {
        if let BodyEnd::Cut(trials) = end {
            if let Some(breaker) = &self.breaker {
                breaker.broke_off(&self.name, trials.of_upstream, now());
            }
            if let Some(limit) = &self.limit {
                limit.broke_off();
            }
        }
        self.heed_end(endpoint, end, now);
    }
}

impl Learner for Upstream {
    fn learn(&self, endpoint: &dyn Any, end: BodyEnd) {
        if let Some(endpoint) = endpoint.downcast_ref() {
            self.heed_body(endpoint, end, clock::coarse);
        }
    }
}
