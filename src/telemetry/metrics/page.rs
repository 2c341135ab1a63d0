//! What one worker has counted under one subject.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{
    Count, Tally,
    histogram::{Buckets, Histogram},
};
use crate::http::StatusCode;

/// The classes of statuses as they are told.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Written by one worker, read by whoever is asked for metrics.
#[derive(Debug, Default)]
pub struct Page {
    classes: [Count; CLASSES.len()],
    duration: Histogram,
    head: Histogram,
    received: Count,
    received_spliced: Count,
    sent: Count,
    spliced: Count,
    retries: Count,
    /// By token. Errors are rare, and tokens few: no client makes one up.
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

/// What all workers have counted under one subject.
#[derive(Debug, Default)]
pub struct Sums {
    /// Requests by the class of what they were answered with: see [`CLASSES`].
    pub classes: [u64; CLASSES.len()],
    /// From a request's head to the last byte of its answer.
    pub duration: Buckets,
    /// From a request's head to the head of an endpoint's answer.
    pub head: Buckets,
    /// Bytes of content that clients have sent.
    pub received: u64,
    /// Those of them that went from socket to socket without a copy.
    pub received_spliced: u64,
    /// Bytes of content that clients were sent.
    pub sent: u64,
    /// Those of them that went from socket to socket without a copy.
    pub spliced: u64,
    /// How often a request was sent once more.
    pub retries: u64,
    /// What went wrong, by its token of RFC 9209.
    pub errors: BTreeMap<&'static str, u64>,
}

impl Page {
    /// One request that is over.
    pub fn enter(&self, tally: &Tally, status: StatusCode, sent: u64) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.classes[class].add(1);
        self.duration.observe(tally.took.unwrap_or_else(|| tally.started.elapsed()));
        if let Some(first_byte) = tally.first_byte {
            self.head.observe(first_byte);
        }
        self.sent.add(sent);
        if tally.spliced > 0 {
            self.spliced.add(tally.spliced);
        }
        if let Some(received) = &tally.received {
            let came = received.get();
            self.received.add(came.bytes);
            if came.spliced > 0 {
                self.received_spliced.add(came.spliced);
            }
        }
        if tally.attempts > 1 {
            self.retries.add(u64::from(tally.attempts - 1));
        }
        if let Some(error) = tally.error {
            *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(error).or_default() += 1;
        }
    }

    /// Counts it together with others.
    pub fn add_to(&self, sums: &mut Sums) {
        for (sum, class) in sums.classes.iter_mut().zip(&self.classes) {
            *sum += class.now();
        }
        self.duration.add_to(&mut sums.duration);
        self.head.add_to(&mut sums.head);
        sums.received += self.received.now();
        sums.received_spliced += self.received_spliced.now();
        sums.sent += self.sent.now();
        sums.spliced += self.spliced.now();
        sums.retries += self.retries.now();
        for (error, count) in self.errors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            *sums.errors.entry(error).or_default() += count;
        }
    }
}

impl Sums {
    /// Nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(|count| *count == 0)
    }
}
