//! A stored answer.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    content::Content,
    policy::{self, Answer, Ask, Head},
};
use crate::{
    clock,
    http::{Method, Response, ResponseBody},
};

/// An answer that is kept, or is on its way to be.
pub struct Entry {
    /// What it says, and how it may be used.
    pub head: Head,
    /// Its body; one that was validated has that of the entry before.
    pub content: Arc<Content>,
    /// When the endpoint was asked for it, or about it.
    pub since: Duration,
}

/// What an entry costs beside its head and its body.
const OVERHEAD: u64 = 256;

impl Entry {
    /// Of this head and body.
    pub fn new(head: Head, content: Arc<Content>, since: Duration) -> Arc<Self> {
        Arc::new(Self { head, content, since })
    }

    /// The same, stale from now on.
    pub fn expired(&self, now: SystemTime) -> Arc<Self> {
        let mut head = self.head.clone();
        head.expire(now);
        Self::new(head, Arc::clone(&self.content), self.since)
    }

    /// What it takes in memory.
    pub fn weight(&self) -> u64 {
        self.head.weight() as u64 + self.content.weight() + OVERHEAD
    }

    /// What is sent of it to who asks so; `None` if its body is not there any more.
    pub fn respond(&self, ask: &Ask<'_>, now: SystemTime) -> Option<Response> {
        let length = self.content.length();
        let answer = policy::answer(ask, &self.head, length);
        let body = match answer {
            Answer::NotModified | Answer::Unsatisfiable => ResponseBody::Empty,
            _ if *ask.method == Method::HEAD => length.map_or(ResponseBody::Empty, ResponseBody::Announced),
            Answer::Whole => self.content.read(None)?,
            Answer::Part { first, last } => self.content.read(Some((first, last)))?,
        };
        let (status, headers) = answer.head(&self.head, length, now);
        Some(Response { headers, body, ..Response::new(status) })
    }
}

/// The time, as cheap as it can be had.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + clock::unix_coarse()
}

/// A moment that is told apart from others however short after, for what is remembered for a while.
pub fn moment() -> Duration {
    Duration::from_nanos(clock::nanoseconds())
}
