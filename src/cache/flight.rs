//! Collapsed forwarding: of requests for one thing at one time one is sent on, and the others wait for the head of its answer,
//! which they then read as it comes.

use std::{
    collections::{HashMap, hash_map},
    hash::{BuildHasher, RandomState},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{entry::Entry, key::Key};

/// All fetches that are under way, on whichever worker.
pub struct Flights {
    shards: [Mutex<Shard>; SHARDS],
    hashing: RandomState,
}

#[derive(Default)]
struct Shard {
    /// By target, so that all of one are found when it is invalidated.
    flights: HashMap<Box<[u8]>, Vec<Arc<Flight>>>,
    /// What turned out not to be for everybody, by a hash of its key, and until when nobody waits for another's answer.
    direct: HashMap<u64, Direct>,
}

/// Until when nobody waits for another's answer, and whether the last one failed.
#[derive(Clone, Copy)]
struct Direct {
    until: Duration,
    has_failed: bool,
}

/// One fetch.
struct Flight {
    key: Key,
    state: watch::Sender<State>,
    /// What it fetches was invalidated meanwhile.
    is_doomed: AtomicBool,
}

#[derive(Clone)]
enum State {
    Waiting,
    Came(Arc<Entry>),
    Direct,
    Gone,
}

/// What becomes of a request that cannot be answered from the store.
pub enum Boarding {
    /// It can be, after all.
    Stored(Arc<Entry>),
    /// Another's answer is on its way, and will do.
    Joined(Arc<Entry>),
    /// Another's answer is waited for.
    Wait(Waiting),
    /// It is sent on, and others wait for its answer.
    Lead(Lead),
    /// It is sent on, and nobody waits: answers to such requests were not for everybody. If this one is, others can join.
    Direct {
        /// What this one finds out.
        lead: Lead,
        /// The last of them has failed.
        has_failed: bool,
    },
}

/// What came of waiting.
pub enum Awaited {
    /// The answer, whose body may still be growing.
    Came(Arc<Entry>),
    /// It is not for everybody.
    Direct,
    /// Whoever fetched it has left: somebody else has to.
    Gone,
}

const SHARDS: usize = 16;

/// So much is remembered of what is not for everybody, in each shard.
const MOST_DIRECT: usize = 1024;

impl Default for Flights {
    fn default() -> Self {
        Self { shards: Default::default(), hashing: RandomState::new() }
    }
}

impl Flights {
    /// `fits` says whether an answer that is on its way will do, `find` looks into the store once more, so that no answer is missed that
    /// came there meanwhile. Without `may_wait` nobody is waited for.
    pub fn board(
        self: &Arc<Self>,
        key: &Key,
        may_wait: bool,
        fits: impl Fn(&Entry) -> bool,
        find: impl FnOnce() -> Option<Arc<Entry>>,
        now: Duration,
    ) -> Boarding {
        let hash = self.hash(key);
        let mut shard = self.shard(key.target());
        let flights = shard.flights.get(key.target()).into_iter().flatten().filter(|flight| flight.key == *key);
        let mut waited_for = None;
        for flight in flights {
            match &*flight.state.borrow() {
                State::Came(entry) if fits(entry) => return Boarding::Joined(Arc::clone(entry)),
                State::Waiting => waited_for = Some(flight),
                State::Came(_) | State::Direct | State::Gone => {}
            }
        }
        if let Some(entry) = find() {
            return Boarding::Stored(entry);
        }
        if let Some(Direct { has_failed, .. }) = shard.direct.get(&hash).copied().filter(|direct| direct.until > now) {
            return Boarding::Direct { lead: self.lead(&mut shard, key, State::Direct), has_failed };
        }
        match waited_for.filter(|_| may_wait) {
            Some(flight) => Boarding::Wait(Waiting(flight.state.subscribe())),
            None => Boarding::Lead(self.lead(&mut shard, key, State::Waiting)),
        }
    }

    /// Fetches it, unless somebody does already.
    pub fn lead_alone(self: &Arc<Self>, key: &Key) -> Option<Lead> {
        let mut shard = self.shard(key.target());
        let is_known = shard.flights.get(key.target()).is_some_and(|all| all.iter().any(|flight| flight.key == *key));
        (!is_known).then(|| self.lead(&mut shard, key, State::Waiting))
    }

    /// What is under way for this target is older than what is asked for now: it is not kept, and nobody else waits for it.
    pub fn doom(&self, target: &[u8]) {
        let doomed = self.shard(target).flights.remove(target);
        for flight in doomed.into_iter().flatten() {
            flight.is_doomed.store(true, Ordering::Release);
        }
    }

    /// The same for all targets that are meant.
    pub fn doom_all(&self, is_meant: impl Fn(&[u8]) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, doomed) in shard.flights.extract_if(|target, _| is_meant(target)) {
                doomed.iter().for_each(|flight| flight.is_doomed.store(true, Ordering::Release));
            }
        }
    }

    fn lead(self: &Arc<Self>, shard: &mut Shard, key: &Key, state: State) -> Lead {
        let state = watch::Sender::new(state);
        let flight = Arc::new(Flight { key: key.clone(), state, is_doomed: AtomicBool::new(false) });
        shard.flights.entry(key.target().into()).or_default().push(Arc::clone(&flight));
        Lead { flights: Arc::clone(self), flight }
    }

    fn shard(&self, target: &[u8]) -> MutexGuard<'_, Shard> {
        let place = self.hashing.hash_one(target) as usize % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, key: &Key) -> u64 {
        self.hashing.hash_one(key)
    }
}

/// Somebody else's answer, waited for.
pub struct Waiting(watch::Receiver<State>);

impl Waiting {
    /// Until its head is there, or will not be.
    pub async fn head(mut self) -> Awaited {
        let Ok(state) = self.0.wait_for(|state| !matches!(state, State::Waiting)).await else { return Awaited::Gone };
        match &*state {
            State::Came(entry) => Awaited::Came(Arc::clone(entry)),
            State::Direct => Awaited::Direct,
            State::Waiting | State::Gone => Awaited::Gone,
        }
    }
}

/// The duty to fetch something for others. Who drops it before the head came leaves it to one of them.
pub struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

impl Lead {
    /// The head is there, and will be stored. Until this is dropped others read it as it comes.
    pub fn came(&self, entry: &Arc<Entry>) {
        self.flight.state.send_replace(State::Came(Arc::clone(entry)));
    }

    /// It is not for everybody: who waits asks for himself, and so do others for so long.
    pub fn direct(&self, now: Duration, time: Duration) {
        self.give_way(now, Direct { until: now + time, has_failed: false });
    }

    /// It failed, and for so long what stands in for it may do so unasked.
    pub fn failed(&self, now: Duration, time: Duration) {
        self.give_way(now, Direct { until: now + time, has_failed: true });
    }

    fn give_way(&self, now: Duration, direct: Direct) {
        let hash = self.flights.hash(&self.flight.key);
        {
            let mut shard = self.flights.shard(self.flight.key.target());
            if shard.direct.len() >= MOST_DIRECT {
                shard.direct.retain(|_, direct| direct.until > now);
            }
            if shard.direct.len() < MOST_DIRECT {
                shard.direct.insert(hash, direct);
            }
        }
        self.flight.state.send_replace(State::Direct);
    }

    /// What was fetched was invalidated meanwhile.
    pub fn is_doomed(&self) -> bool {
        self.flight.is_doomed.load(Ordering::Acquire)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        {
            let mut shard = self.flights.shard(self.flight.key.target());
            if let hash_map::Entry::Occupied(mut all) = shard.flights.entry(self.flight.key.target().into()) {
                all.get_mut().retain(|flight| !Arc::ptr_eq(flight, &self.flight));
                if all.get().is_empty() {
                    all.remove();
                }
            }
        }
        self.flight.state.send_if_modified(|state| {
            let was_waiting = matches!(state, State::Waiting);
            if was_waiting {
                drop(mem::replace(state, State::Gone));
            }
            was_waiting
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::{entry, key};

    const NOW: Duration = Duration::from_secs(1000);
    const A_WHILE: Duration = Duration::from_secs(10);

    fn board(flights: &Arc<Flights>, key: &Key) -> Boarding {
        flights.board(key, true, |_| true, || None, NOW)
    }

    fn lead(flights: &Arc<Flights>, key: &Key) -> Lead {
        let Boarding::Lead(lead) = board(flights, key) else { panic!("somebody else has it") };
        lead
    }

    fn waiting(flights: &Arc<Flights>, key: &Key) -> Waiting {
        let Boarding::Wait(waiting) = board(flights, key) else { panic!("there is nobody to wait for") };
        waiting
    }

    #[actix_rt::test]
    async fn one_asks_and_the_others_wait_for_the_head() {
        let (flights, key) = (Arc::new(Flights::default()), key("/", None));
        let lead = lead(&flights, &key);
        let (first, second) = (waiting(&flights, &key), waiting(&flights, &key));
        let came = entry(1, "a");

        lead.came(&came);

        for waiting in [first, second] {
            assert!(matches!(waiting.head().await, Awaited::Came(entry) if Arc::ptr_eq(&entry, &came)));
        }
        assert!(matches!(board(&flights, &key), Boarding::Joined(_)), "as long as it comes");
        assert!(matches!(flights.board(&key, true, |_| false, || None, NOW), Boarding::Lead(_)), "it will not do");
        drop(lead);
        assert!(matches!(board(&flights, &key), Boarding::Lead(_)));
    }

    #[actix_rt::test]
    async fn where_the_first_one_leaves_another_has_to_ask() {
        let (flights, key) = (Arc::new(Flights::default()), key("/", None));
        let lead = lead(&flights, &key);
        let waiting = waiting(&flights, &key);

        drop(lead);

        assert!(matches!(waiting.head().await, Awaited::Gone));
        assert!(matches!(board(&flights, &key), Boarding::Lead(_)));
    }

    #[actix_rt::test]
    async fn for_what_is_not_for_everybody_nobody_waits_for_a_while() {
        let (flights, key, other) = (Arc::new(Flights::default()), key("/", None), key("/other", None));
        let lead = lead(&flights, &key);
        let waiting = waiting(&flights, &key);

        lead.direct(NOW, A_WHILE);

        assert!(matches!(waiting.head().await, Awaited::Direct));
        let (one, another) = (board(&flights, &key), board(&flights, &key));
        assert!(matches!((one, another), (Boarding::Direct { has_failed: false, .. }, Boarding::Direct { .. })));
        assert!(matches!(board(&flights, &other), Boarding::Lead(_)));
        let later = flights.board(&key, true, |_| true, || None, NOW + A_WHILE);
        assert!(matches!(later, Boarding::Lead(_)));
    }

    #[test]
    fn what_came_to_the_store_meanwhile_is_not_asked_for_again() {
        let flights = Arc::new(Flights::default());

        let boarding = flights.board(&key("/", None), true, |_| true, || Some(entry(1, "a")), NOW);

        assert!(matches!(boarding, Boarding::Stored(_)));
    }

    #[test]
    fn what_was_invalidated_on_its_way_is_waited_for_no_more() {
        let (flights, plain, with) = (Arc::new(Flights::default()), key("/", None), key("/", Some("1")));
        let (one, other) = (lead(&flights, &plain), lead(&flights, &with));

        flights.doom(plain.target());

        assert!(one.is_doomed() && other.is_doomed(), "all keys of a target");
        let newer = lead(&flights, &plain);
        drop(one);
        assert!(!newer.is_doomed());
        assert!(matches!(board(&flights, &plain), Boarding::Wait(_)), "it is still known");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let flights = Arc::new(Flights::default());
        for number in 0..40 * MOST_DIRECT {
            let key = key(&format!("/{number}"), None);
            if let Boarding::Lead(lead) = board(&flights, &key) {
                lead.direct(NOW, A_WHILE);
            }
        }

        for shard in &flights.shards {
            let shard = shard.lock().expect("nobody panics with it");
            assert!(shard.direct.len() <= MOST_DIRECT && shard.flights.is_empty());
        }
    }
}
