//! What is counted of requests, for whoever asks for metrics.
//!
//! Each worker has a [`Recorder`] of its own, with a page for each pair of route and upstream: to count is a few additions to
//! memory that no other core writes to, without a lock. Whoever is asked adds the pages of all workers up. Which page it is,
//! is known from the plan; a client chooses no name.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::{
    count::{Count, SharedCount},
    events::Event,
    histogram::{BOUNDS, Buckets},
    page::{CLASSES, Sums},
    recorder::Recorder,
    tally::Tally,
};
use self::{events::Events, recorder::Book};
use crate::exchange::Subject;

mod count;
mod events;
mod histogram;
mod page;
mod recorder;
mod tally;

/// The counts of a proxy. It outlives every plan, so that a counter never goes back.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Inner>);

#[derive(Default)]
struct Inner {
    subjects: Mutex<Subjects>,
    books: Mutex<Vec<Arc<Book>>>,
    events: Events,
}

/// The names of subjects; their place is their number.
struct Subjects {
    names: Vec<Names>,
    known: HashMap<Names, Subject>,
}

/// A route and an upstream; the latter is empty where the route itself answers.
pub type Names = (Arc<str>, Arc<str>);

/// The route of subjects that are too many to be told apart.
const OTHER: &str = "other";

const OTHERS: Subject = Subject(1);

impl Default for Subjects {
    fn default() -> Self {
        Self { names: vec![("".into(), "".into()), (OTHER.into(), "".into())], known: HashMap::new() }
    }
}

impl Ledger {
    /// The subject of this name. If there are `most` of them already, it is one with all that come later.
    pub fn subject(&self, route: &Arc<str>, upstream: &Arc<str>, most: usize) -> Subject {
        let mut subjects = self.subjects();
        let names = (Arc::clone(route), Arc::clone(upstream));
        if let Some(known) = subjects.known.get(&names) {
            return *known;
        }
        let Some(next) = u32::try_from(subjects.names.len()).ok().filter(|_| subjects.known.len() < most) else {
            return OTHERS;
        };
        subjects.names.push(names.clone());
        subjects.known.insert(names, Subject(next));
        Subject(next)
    }

    /// For one worker, which goes on where one left off that is gone.
    pub fn recorder(&self) -> Rc<Recorder> {
        let mut books = self.0.books.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else writes to a book that only this list has.
        let free = books.iter_mut().find_map(|book| Arc::get_mut(book).is_some().then(|| Arc::clone(book)));
        let book = free.unwrap_or_else(|| {
            books.push(Arc::default());
            Arc::clone(books.last().expect("it was just put there"))
        });
        Rc::new(Recorder::of(book))
    }

    /// What was counted so far, by subject; without those of which nothing was.
    pub fn sums(&self) -> Vec<(Names, Sums)> {
        let names = self.subjects().names.clone();
        let books = self.0.books.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut sums: Vec<Sums> = names.iter().map(|_| Sums::default()).collect();
        for book in books {
            for (place, page) in book.pages().iter().enumerate() {
                if let (Some(page), Some(sum)) = (page, sums.get_mut(place)) {
                    page.add_to(sum);
                }
            }
        }
        names.into_iter().zip(sums).filter(|(_, sum)| !sum.is_empty()).collect()
    }

    /// Counts what happens to filters of this kind: both are words of the source.
    pub fn event(&self, filter: &'static str, event: &'static str) -> Event {
        self.0.events.named((filter, event))
    }

    /// How often each of these has happened.
    pub fn events(&self) -> Vec<((&'static str, &'static str), u64)> {
        self.0.events.counts()
    }

    fn subjects(&self) -> MutexGuard<'_, Subjects> {
        self.0.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{exchange::Facts, http::StatusCode};

    fn one(recorder: &Rc<Recorder>, subject: Subject) {
        let mut facts = Facts { subject, first_byte: Some(Duration::from_millis(3)), ..Facts::unknown() };
        Tally::of(recorder, &mut facts).over(StatusCode::OK, 5);
    }

    #[test]
    fn what_workers_count_is_added_up() {
        let ledger = Ledger::default();
        let subject = ledger.subject(&"/".into(), &"shop".into(), 10);
        let (first, second) = (ledger.recorder(), ledger.recorder());

        one(&first, subject);
        one(&second, subject);
        one(&second, subject);

        let sums = ledger.sums();
        let [((route, upstream), sum)] = &sums[..] else { panic!("one subject") };
        assert_eq!((&**route, &**upstream), ("/", "shop"));
        assert_eq!((sum.classes[1], sum.sent, sum.head.count()), (3, 15, 3));
    }

    #[test]
    fn an_answer_that_came_whole_took_until_its_head_unless_something_went_wrong() {
        let ledger = Ledger::default();
        let recorder = ledger.recorder();

        for error in [None, Some("connection_terminated")] {
            let mut facts = Facts { first_byte: Some(Duration::ZERO), error, ..Facts::unknown() };
            facts.started = Instant::now() - Duration::from_secs(7);
            let mut tally = Tally::of(&recorder, &mut facts);
            tally.came_whole();
            tally.over(StatusCode::OK, 5);
        }

        let took = &ledger.sums()[0].1.duration;
        assert_eq!((took.counts[0], took.count(), took.micros / 7_000_000), (1, 2, 1));
    }

    #[test]
    fn a_worker_that_comes_later_goes_on_with_what_one_before_has_counted() {
        let ledger = Ledger::default();
        let first = ledger.recorder();
        one(&first, Subject::default());
        drop(first);

        one(&ledger.recorder(), Subject::default());

        assert_eq!(ledger.sums()[0].1.classes[1], 2);
        assert_eq!(ledger.0.books.lock().expect("nobody panicked").len(), 1);
    }

    #[test]
    fn the_same_name_is_the_same_subject_and_of_too_many_the_rest_is_one() {
        let ledger = Ledger::default();
        let subject = |route: &str| ledger.subject(&route.into(), &"shop".into(), 2);
        let first = subject("/a");

        assert_eq!(subject("/a"), first);
        assert_ne!(subject("/b"), first);
        assert_eq!((subject("/c"), subject("/d")), (OTHERS, OTHERS));
        assert_eq!(subject("/a"), first);
    }
}
