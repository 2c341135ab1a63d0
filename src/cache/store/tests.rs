use std::{collections::HashMap, sync::Mutex, time::SystemTime};

use futures_util::future::LocalBoxFuture;

use super::{lower::Usage, *};
use crate::{
    cache::{
        flight::Boarding,
        policy::{Ask, Rules},
        testing::{entry, key},
    },
    http::{HeaderMap, HeaderName, HeaderValue, Method},
};

/// A tier that keeps one answer for each key.
#[derive(Clone, Default)]
struct Cellar(Arc<Mutex<HashMap<Vec<u8>, Arc<Entry>>>>);

impl Cellar {
    fn count(&self) -> usize {
        self.0.lock().expect("nobody panics").len()
    }
}

impl Lower for Cellar {
    fn kind(&self) -> &'static str {
        "cellar"
    }

    fn find<'l>(&'l self, key: &'l Key, _: &'l HeaderMap) -> LocalBoxFuture<'l, Option<Entry>> {
        let found = self.0.lock().expect("nobody panics").get(key.as_bytes()).cloned();
        let copy = |entry: Arc<Entry>| Entry {
            sliced: None,
            head: entry.head.clone(),
            content: Arc::clone(&entry.content),
            since: entry.since,
        };
        Box::pin(async move { found.map(copy) })
    }

    fn put(&self, key: &Key, entry: &Arc<Entry>) {
        self.0.lock().expect("nobody panics").insert(key.as_bytes().to_vec(), Arc::clone(entry));
    }

    fn largest(&self) -> u64 {
        0
    }

    fn forget(&self, target: &[u8]) {
        self.0.lock().expect("nobody panics").retain(|key, _| key.split(|byte| *byte == b'\n').next() != Some(target));
    }

    fn forget_all(&self) {
        self.0.lock().expect("nobody panics").clear();
    }

    fn purge(&self, what: &What, _: Option<SystemTime>) -> u64 {
        let mut all = self.0.lock().expect("nobody panics");
        let before = all.len();
        all.retain(|target, entry| !what.holds(target, &entry.head));
        (before - all.len()) as u64
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

mod clocks;

fn shelf() -> (Arc<Shelf>, Cellar) {
    let cellar = Cellar::default();
    (Arc::new(Shelf::new("pages", 1 << 20).over(Box::new(cellar.clone()))), cellar)
}

fn lead(shelf: &Shelf, key: &Key) -> Lead {
    match shelf.flights.board(key, true, |_| true, || None, moment()) {
        Boarding::Lead(lead) => lead,
        _ => panic!("nobody else asks for it"),
    }
}

const TARGET: Target<'static> = Target { secure: false, authority: "a.example", path: "/", query: None };

/// What is found below memory for a request that wants variant `a`.
async fn found(shelf: &Shelf, key: &Key) -> Option<Arc<Entry>> {
    let (mut headers, rules) = (HeaderMap::new(), Rules::default());
    headers.insert(HeaderName::from_static("x-a"), HeaderValue::from_static("a"));
    let ask = Ask::of(&Method::GET, TARGET, &headers, false, &rules);
    shelf.find_below(key, &ask).await.map(|(entry, _)| entry)
}

fn is_in_memory(shelf: &Shelf, key: &Key) -> bool {
    shelf.memory.of_target(key).is_some()
}

#[actix_rt::test]
async fn what_is_stored_is_below_memory_too_and_comes_up_from_there() {
    let ((shelf, cellar), key) = (shelf(), key("/", None));
    shelf.put(&key, &entry(3, "a"), None);
    assert!(is_in_memory(&shelf, &key) && cellar.count() == 1);
    shelf.memory.clear();

    let found = found(&shelf, &key).await.expect("it is there");
    let lifted = shelf.lift(&key, found, lead(&shelf, &key));

    assert!(lifted.is_ok_and(|entry| entry.content.length() == Some(3)) && is_in_memory(&shelf, &key));
}

/// A way to have something go.
type Way<'w> = &'w dyn Fn(&Shelf, &Key);

#[actix_rt::test]
async fn what_is_invalidated_or_purged_while_it_comes_up_stays_below() {
    let purge = |shelf: &Shelf, what: What| assert_eq!(shelf.purge(&what, false), 1);
    let ways: [Way<'_>; 3] = [
        &|shelf, key| shelf.forget(key),
        &|shelf, key| purge(shelf, What::Url(vec![key.target().to_vec().into()])),
        &|shelf, _| purge(shelf, What::Everything),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let ((shelf, cellar), key) = (shelf(), key("/", None));
        shelf.put(&key, &entry(3, "a"), None);
        shelf.memory.clear();
        let lead = lead(&shelf, &key);
        let found = found(&shelf, &key).await.expect("it is there");

        way(&shelf, &key);

        assert!(shelf.lift(&key, found, lead).is_err() && !is_in_memory(&shelf, &key), "{number}");
        assert_eq!(cellar.count(), 0, "{number}");
    }
}

#[actix_rt::test]
async fn a_purge_long_ago_is_no_reason_to_leave_it_below() {
    let ((shelf, _), key) = (shelf(), key("/", None));
    shelf.put(&key, &entry(3, "a"), None);
    shelf.memory.clear();
    // So many that nobody remembers which.
    for number in 0..600 {
        shelf.purge(&What::url(&format!("http://b.example/{number}")).expect("a URL"), false);
    }

    let found = found(&shelf, &key).await.expect("it is there");

    assert!(shelf.lift(&key, found, lead(&shelf, &key)).is_ok() && is_in_memory(&shelf, &key));
}

#[test]
fn what_is_purged_in_memory_and_below_counts_once() {
    let (shelf, cellar) = shelf();
    shelf.put(&key("/a", None), &entry(3, "a"), None);
    shelf.put(&key("/b", None), &entry(3, "a"), None);

    assert_eq!(shelf.purge(&What::Everything, false), 2);
    assert_eq!((shelf.purged(), cellar.count(), shelf.memory.usage().targets), (2, 0, 0));
}

#[test]
fn what_is_invalidated_in_memory_is_so_below() {
    let ((shelf, cellar), plain, with) = (shelf(), key("/", None), key("/", Some("1")));
    shelf.put(&plain, &entry(3, "a"), None);
    shelf.put(&with, &entry(3, "a"), None);

    shelf.forget(&plain);

    assert_eq!(cellar.count(), 0);
    let kept = entry(3, "a");
    shelf.put(&plain, &kept, None);
    shelf.drop_entry(&plain, &kept);
    assert_eq!(cellar.count(), 0);
}
