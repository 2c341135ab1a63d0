//! A stored answer.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    codings::{Lent, Room},
    content::Content,
    policy::{self, Answer, Ask, Head},
    sliced::Sliced,
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
    /// Its body is not in there, but in pieces of their own.
    pub sliced: Option<Arc<Sliced>>,
    /// When the endpoint was asked for it, or about it.
    pub since: Duration,
}

/// What an entry costs beside its head and its body: what it and its body are kept in, its place among the others, and what the allocator
/// rounds up (`cargo bench --bench store` tells what is resident).
const OVERHEAD: u64 = (size_of::<Entry>() - size_of::<Head>() + size_of::<Content>()) as u64 + 400;

impl Entry {
    /// Of this head and body.
    pub fn new(head: Head, content: Arc<Content>, since: Duration) -> Arc<Self> {
        Arc::new(Self { head, content, sliced: None, since })
    }

    /// Of this head, with a body in pieces.
    pub fn in_pieces(head: Head, sliced: Arc<Sliced>, since: Duration) -> Arc<Self> {
        let (content, writer) = Content::begin(Some(0));
        writer.finish(None);
        Arc::new(Self { head, content, sliced: Some(sliced), since })
    }

    /// The same body with another head, about which the endpoint was asked then.
    pub fn with(&self, head: Head, since: Duration) -> Arc<Self> {
        let (content, sliced) = (Arc::clone(&self.content), self.sliced.clone());
        Arc::new(Self { head, content, sliced, since })
    }

    /// The same, stale from now on.
    pub fn expired(&self, now: SystemTime) -> Arc<Self> {
        let mut head = self.head.clone();
        head.expire(now);
        self.with(head, self.since)
    }

    /// How long its body is, if that is known.
    pub fn length(&self) -> Option<u64> {
        self.sliced.as_ref().map_or_else(|| self.content.length(), |sliced| Some(sliced.length()))
    }

    /// Its body is in these pieces.
    pub fn has_pieces_of(&self, sliced: &Arc<Sliced>) -> bool {
        self.sliced.as_ref().is_some_and(|own| Arc::ptr_eq(own, sliced))
    }

    /// It is in pieces that cannot all be had any more.
    pub fn is_lost(&self) -> bool {
        self.sliced.as_ref().is_some_and(|sliced| sliced.is_lost())
    }

    /// What it takes in memory.
    pub fn weight(&self) -> u64 {
        self.head.weight() as u64 + self.content.weight() + OVERHEAD
    }

    /// What is sent of it to who asks so; `None` if its body is not there any more, or in pieces.
    pub fn respond(&self, ask: &Ask<'_>, now: SystemTime) -> Option<Response> {
        let length = self.length();
        let answer = policy::answer(ask, &self.head, length);
        let body = match answer {
            Answer::NotModified | Answer::Unsatisfiable => ResponseBody::Empty,
            _ if *ask.method == Method::HEAD => length.map_or(ResponseBody::Empty, ResponseBody::Announced),
            Answer::Whole | Answer::Part { .. } if self.sliced.is_some() => return None,
            Answer::Whole => self.content.read(None)?,
            Answer::Part { first, last } => self.content.read(Some((first, last)))?,
        };
        let (status, headers) = answer.head(&self.head, length, now);
        Some(Response { headers, body, ..Response::new(status) })
    }
}

impl Entry {
    /// Lends what is kept beside its body to whoever codes this answer, if that is all of it.
    pub fn lend(&self, response: &mut Response, room: &Arc<Room>) {
        let is_all = response.status == self.head.status
            && matches!(response.body, ResponseBody::Bytes(_) | ResponseBody::Stream(_))
            && self.content.is_whole();
        if is_all {
            response.body = Lent::body(std::mem::take(&mut response.body), &self.content, room);
        }
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
