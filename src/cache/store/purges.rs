//! What was purged, for what was asked for before and comes only now: it is not kept any more.

use std::{
    collections::VecDeque,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::cache::{entry::Entry, purge::What};

/// The newest purges. What is in the store already they have nothing to do with.
#[derive(Default)]
pub struct Purges {
    /// When the last one was: what was asked for since is not looked at any further.
    newest: AtomicU64,
    all: RwLock<Remembered>,
}

#[derive(Default)]
struct Remembered {
    newest: VecDeque<(What, Duration)>,
    /// What was purged until then is forgotten: it may have been anything.
    forgotten: Option<Duration>,
}

/// So many are remembered.
const MOST: usize = 512;

impl Purges {
    /// What was asked for until now is too old.
    pub fn remember(&self, what: &What, when: Duration) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(what, What::Everything) {
            all.forgotten = all.forgotten.max(Some(when));
        } else {
            if all.newest.len() >= MOST {
                let oldest = all.newest.pop_front().map(|(_, when)| when);
                all.forgotten = all.forgotten.max(oldest);
            }
            all.newest.push_back((what.clone(), when));
        }
        self.newest.fetch_max(nanoseconds(when), Ordering::Release);
    }

    /// It was purged on its way, or may have been.
    pub fn has_purged(&self, target: &[u8], entry: &Entry) -> bool {
        if self.newest.load(Ordering::Acquire) < nanoseconds(entry.since) {
            return false;
        }
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.forgotten.is_some_and(|until| until >= entry.since)
            || all.newest.iter().any(|(what, when)| *when >= entry.since && what.holds(target, &entry.head))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::entry;

    const A: &[u8] = b"http://a.example/a";

    fn url(path: &str) -> What {
        What::url(&format!("http://a.example{path}")).expect("a URL")
    }

    #[test]
    fn what_was_asked_for_before_is_purged_and_what_was_after_is_not() {
        let (purges, before) = (Purges::default(), entry(1, "a"));
        assert!(!purges.has_purged(A, &before));

        purges.remember(&url("/a"), before.since);

        assert!(purges.has_purged(A, &before) && !purges.has_purged(b"http://a.example/b", &before));
        let after = Entry::new(before.head.clone(), before.content.clone(), before.since + Duration::from_nanos(1));
        assert!(!purges.has_purged(A, &after));
        purges.remember(&What::Everything, after.since);
        assert!(purges.has_purged(b"http://a.example/b", &after));
    }

    #[test]
    fn what_is_forgotten_may_have_been_anything() {
        let (purges, old) = (Purges::default(), entry(1, "a"));
        let newer = Entry::new(old.head.clone(), old.content.clone(), old.since + Duration::from_nanos(2));
        purges.remember(&url("/other"), old.since + Duration::from_nanos(1));
        assert!(!purges.has_purged(A, &old));

        for _ in 0..MOST {
            purges.remember(&url("/other"), newer.since);
        }

        assert!(purges.has_purged(A, &old) && !purges.has_purged(A, &newer));
    }
}
