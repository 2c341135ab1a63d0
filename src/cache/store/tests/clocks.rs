//! The clock is set forward and back while answers are in memory and on disk.

use std::time::SystemTime;

use super::*;
use crate::{
    cache::{
        content::Content,
        policy::{self, Times, Use, lookup},
        store::disk::Disk,
    },
    http::{StatusCode, header},
};

const LIFETIME: u64 = 60;
const STEPS: usize = 600;

/// What was put last under a path, by the clock of that moment.
#[derive(Clone, Copy)]
struct Kept {
    came: u64,
    age: u64,
    is_purged: bool,
}

impl Kept {
    /// As far as the clock tells (RFC 9111, 4.2), which may be a second off.
    fn may_be_fresh(&self, now: u64) -> bool {
        !self.is_purged && now + 1 >= self.came && self.age + now.saturating_sub(self.came) < LIFETIME
    }
}

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn target() -> Target<'static> {
    Target { secure: false, authority: "a.example", path: "/", query: None }
}

fn answered(age: u64, now: u64) -> Arc<Entry> {
    let (rules, request, mut answer) = (Rules::default(), HeaderMap::new(), HeaderMap::new());
    let ask = Ask::of(&Method::GET, target(), &request, false, &rules);
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    answer.insert(header::ETAG, HeaderValue::from_static("\"a\""));
    answer.insert(header::AGE, age.into());
    let times = Times { asked: at(now), answered: at(now) };
    let head = policy::store(&ask, StatusCode::OK, &answer, times, &rules).expect("it may be stored");
    let (content, writer) = Content::begin(Some(0));
    assert!(writer.finish(None));
    Entry::new(head, content, moment())
}

/// Is it said to be fresh? What is said of its age is none that nobody can have.
fn is_fresh(entry: &Entry, now: u64) -> bool {
    let (rules, request) = (Rules::default(), HeaderMap::new());
    let ask = Ask::of(&Method::GET, target(), &request, false, &rules);
    let response = entry.respond(&ask, at(now)).expect("its body is there");
    let age = response.headers.get(header::AGE).and_then(|age| age.to_str().ok()).expect("it says how old it is");
    assert!(age.parse::<u64>().is_ok(), "{age}");
    let ttl = entry.head.ttl(at(now));
    let is_fresh = lookup(&ask, &entry.head, at(now)) == Use::Fresh;
    assert!(if is_fresh { (0..=LIFETIME as i64).contains(&ttl) } else { ttl <= 0 }, "{ttl}");
    is_fresh
}

#[actix_rt::test]
async fn whatever_a_clock_does_nothing_is_fresh_for_longer_than_it_says() {
    let place = tempfile::tempdir().expect("a folder");
    let disk = Disk::new(place.path().join("store"), 64 << 20, Arc::default());
    let shelf = Shelf::new("pages", 1 << 20).over(Box::new(disk));
    let lower = &shelf.lower()[0];
    lower.wake();
    let (mut dice, mut now) = (Dice(0x5eed), 1_790_000_000_u64);
    let mut kept: HashMap<String, Kept> = HashMap::new();
    let (mut fresh, mut on_disk) = (0, 0);
    for step in 0..STEPS {
        now += dice.roll(20);
        now = match dice.roll(8) {
            0 => now.saturating_sub([1, 2, 30, 3_600, 40_000_000, u64::MAX][dice.roll(6) as usize]),
            1 => now + [1, 2, 30, 3_600, 40_000_000, 8_000_000_000][dice.roll(6) as usize],
            // It is right again.
            2 => 1_790_000_000 + 10 * step as u64,
            _ => now,
        };
        let path = format!("/{}", dice.roll(4));
        let key = key(&path, None);
        match dice.roll(4) {
            0 => {
                let age = dice.roll(30);
                shelf.put(&key, &answered(age, now), None);
                kept.insert(path, Kept { came: now, age, is_purged: false });
            }
            1 if dice.roll(3) == 0 => {
                let what = What::Url(vec![key.target().to_vec().into()]);
                lower.flush(Duration::from_secs(30));
                lower.purge(&what, Some(at(now)));
                shelf.memory.purge_target(key.target(), |_, _| true, Some(at(now)));
                kept.entry(path).and_modify(|kept| kept.is_purged = true);
            }
            _ => {
                lower.flush(Duration::from_secs(30));
                let found = lower.find(&key, &HeaderMap::new()).await.map(Arc::new);
                let Some(kept) = kept.get(&path) else { continue };
                on_disk += usize::from(found.is_some());
                for entry in shelf.memory.entries(key.target()).into_iter().map(|(_, entry)| entry).chain(found) {
                    let is_fresh = is_fresh(&entry, now);
                    assert_eq!(
                        is_fresh,
                        kept.may_be_fresh(now),
                        "step {step}: {path} at {now}, which came {}",
                        kept.came
                    );
                    fresh += usize::from(is_fresh);
                }
            }
        }
    }
    assert!(fresh > 20 && on_disk > 100, "{fresh} {on_disk}");
}
