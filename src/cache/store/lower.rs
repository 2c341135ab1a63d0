//! What is below memory: larger, or shared with others, and slower.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use crate::{
    cache::{entry::Entry, key::Key, policy::Head, purge::What},
    http::{HeaderMap, HeaderName, header},
};

/// A tier below memory. Memory is asked first, and what is there is never looked for here. Whatever goes wrong here is a miss, or
/// something that is not kept: it is counted, and no request fails or waits for long.
pub trait Lower: Send + Sync {
    /// What it is, for people, logs and metrics: `disk`, `redis`.
    fn kind(&self) -> &'static str;

    /// Makes it ready, if it is not yet.
    fn wake(&self) {}

    /// What it has under this key for a request with these fields: whole, and as it was put. [`Entry::since`] is when that was asked
    /// for, by the clock of this process; what another one has put was before everything.
    fn find<'l>(&'l self, key: &'l Key, headers: &'l HeaderMap) -> LocalBoxFuture<'l, Option<Entry>>;

    /// Takes this whole answer, in place of the one that was for the same requests, later and if it can. Nobody waits for it.
    fn put(&self, key: &Key, entry: &Arc<Entry>);

    /// No larger answer is put here.
    fn largest(&self) -> u64;

    /// Takes one that is too large for memory, while it comes; `None` if it is not for that, or has no room.
    fn begin(&self, _key: &Key, _entry: &Arc<Entry>) -> Option<Box<dyn Pen>> {
        None
    }

    /// From now on it has nothing of this target that was put until now. Nobody waits for it.
    fn forget(&self, target: &[u8]);

    /// The same where others who share it find out for themselves.
    fn let_go(&self, target: &[u8]) {
        self.forget(target);
    }

    /// Has others who share it hear that this group of an origin was invalidated. What is in it is not found here any more in any case.
    fn forget_group(&self, _group: &str) {}

    /// The same of everything.
    fn forget_all(&self);

    /// Drops what is meant, or, with a time, has it be stale since then. How many? What was put until now is not found any more, or
    /// not as fresh, when this is over. It may take a while, and is called where that does no harm.
    fn purge(&self, what: &What, soft: Option<SystemTime>) -> u64;

    /// The process ends: what waits to be put or removed here is done first, if it does not take longer than this. The thread waits.
    fn flush(&self, _longest: Duration) {}

    /// What it has of a target, for people, where it may take a while to find out.
    fn told(&self, _target: &[u8]) -> Vec<Told> {
        Vec::new()
    }

    /// What is in it, and how it is.
    fn usage(&self) -> Usage;
}

/// Fields that clients prove who they are with.
const SECRETS: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// What clients prove who they are with is not written down, and so nothing that is told apart by it.
pub fn may_leave_memory(key: &Key, entry: &Entry) -> bool {
    let is_secret = |name: &[u8]| SECRETS.iter().any(|secret| secret.as_str().as_bytes() == name);
    !entry.head.vary.given().any(|name| is_secret(name.as_bytes())) && !key.names().any(is_secret)
}

/// An answer that is put below while it comes. Dropped before it is finished, nothing is kept.
pub trait Pen {
    /// More of its body; `false` if it will not be kept any more.
    fn push(&mut self, bytes: Bytes) -> LocalBoxFuture<'_, bool>;

    /// That was all. Is it kept? It may take a while until that is known.
    fn finish(self: Box<Self>) -> LocalBoxFuture<'static, bool>;
}

/// What is told of an answer.
pub struct Told {
    /// More than the target is in its key.
    pub is_keyed: bool,
    /// What it says.
    pub head: Head,
    /// How long its body is.
    pub length: u64,
    /// What it takes there.
    pub weight: u64,
}

/// What is in a tier, and how it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many bytes it may take, where that is known.
    pub size: Option<u64>,
    /// What it takes now.
    pub bytes: Option<u64>,
    /// Of how many targets it has answers.
    pub targets: Option<u64>,
    /// How often something was found there, ever.
    pub found: u64,
    /// What was put there, ever.
    pub stored: u64,
    /// What was to be put there and was not: it was too busy.
    pub dropped: u64,
    /// How often it failed.
    pub errors: u64,
}
