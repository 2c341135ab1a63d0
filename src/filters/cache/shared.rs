//! A Redis below memory, for small answers that several machines share. No hit in memory asks it, a purge is seen by all, and where it is
//! dead or hangs there are misses and nothing else.
//!
//! ```text
//! PREFIX:cache:STORE:count     the number of the last purge, or of what else has made answers old
//! PREFIX:cache:STORE:purges    the newest of them, each with its number
//! PREFIX:cache:STORE:HASH      the answers of a target, by what else is in their keys
//! ```
//!
//! Whoever looks for something is told the number as well: if he has not heard of all purges yet, it is a miss, and he is to hear of them.

mod news;
mod orders;
mod purges;
mod record;
mod scripts;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use redis::{FromRedisValue, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{Mutex as Turn, Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use self::{
    orders::{Orders, Queue},
    purges::Known,
    record::Record,
};
use crate::{
    cache::{
        content::Content,
        entry::{Entry, now},
        key::Key,
        purge::What,
        store::{
            Shelf,
            lower::{Lower, Usage, may_leave_memory},
        },
    },
    chance,
    http::HeaderMap,
    settings::RedisSettings,
};

/// What this process knows of what all share.
pub struct Shared {
    name: String,
    settings: RedisSettings,
    /// This process among the others.
    process: u64,
    largest: u64,
    connection: Mutex<Option<MultiplexedConnection>>,
    known: Mutex<Known>,
    /// What has become old is told in this order, also if the Redis is away meanwhile.
    orders: Orders,
    ordered: Turn<Queue>,
    /// Something is to be done at once: to hear of purges, or to connect again.
    wanted: Notify,
    /// After a reload there may be another one than before, and for a while both.
    shelves: Mutex<Vec<Weak<Shelf>>>,
    /// So often in a row who was waiting has waited in vain.
    failures: AtomicU32,
    puts: Arc<Semaphore>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    found: AtomicU64,
    stored: AtomicU64,
    dropped: AtomicU64,
    errors: AtomicU64,
}

/// The same as a tier.
pub struct Tier(pub Arc<Shared>);

/// An answer on its way there.
struct Put {
    place: String,
    field: String,
    /// The last purge that this process was through with.
    count: u64,
    record: Vec<u8>,
    keeps: Duration,
}

/// Nobody waits longer for what is not in memory.
const LONGEST: Duration = Duration::from_millis(50);
/// After so many failures in a row it is left alone until it answers again.
const MOST_FAILURES: u32 = 3;
/// Puts at once; more are not made.
const MOST_PUTS: usize = 64;
/// Answers of one target, as in memory: one more, and it is begun anew.
const MOST_VARIANTS: usize = 64;
/// What is stale is of use for a while, to be asked about.
const AFTERWARDS: Duration = Duration::from_hours(1);

impl Shared {
    /// What it is known by: all that it is made of, without its secrets.
    pub fn named(name: &str, settings: &RedisSettings) -> String {
        let RedisSettings { url, ca, timeout, prefix, max_object } = settings;
        format!("redis:{name}:{:x}:{ca:?}:{timeout}:{prefix}:{max_object}", chance::hash(url.expose().as_bytes()))
    }

    /// One that nobody has reached yet.
    pub fn new(name: &str, settings: &RedisSettings) -> Self {
        let (orders, ordered) = Orders::new();
        Self {
            name: name.to_owned(),
            settings: settings.clone(),
            process: chance::roll(),
            largest: settings.max_object.0,
            connection: Mutex::default(),
            known: Mutex::default(),
            orders,
            ordered: Turn::new(ordered),
            wanted: Notify::new(),
            shelves: Mutex::default(),
            failures: AtomicU32::new(0),
            puts: Arc::new(Semaphore::new(MOST_PUTS)),
            counts: Counts::default(),
        }
    }

    /// What is heard is for this one, too.
    pub fn tells(&self, shelf: &Arc<Shelf>) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(shelf)));
        shelves.push(Arc::downgrade(shelf));
    }

    /// Those that somebody still has.
    fn shelves(&self) -> Vec<Arc<Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    fn key(&self, rest: &str) -> String {
        format!("{}cache:{}:{rest}", self.settings.prefix, self.name)
    }

    fn place(&self, target: &[u8]) -> String {
        self.key(&record::hash(target))
    }

    fn connection(&self) -> Option<MultiplexedConnection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks where nobody waits for it, for no longer than this.
    async fn ask<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        pipe: &redis::Pipeline,
        longest: Duration,
    ) -> Result<T, RedisError> {
        let limit = self.settings.timeout.0.map_or(longest, |limit| limit.min(longest));
        let late = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let answer = timeout(limit, pipe.query_async(connection)).await.unwrap_or_else(|_| Err(late()));
        if answer.is_err() {
            self.counts.errors.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Asks for somebody who waits. If that is in vain too often it is left alone, whatever becomes of what nobody waits for.
    async fn ask_now<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        pipe: &redis::Pipeline,
    ) -> Result<T, RedisError> {
        let answer = self.ask(connection, pipe, LONGEST).await;
        match &answer {
            Ok(_) => self.failures.store(0, Ordering::Relaxed),
            Err(error) if error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() => {
                self.has_failed(error);
            }
            // It is there, and says no.
            Err(_) => {}
        }
        answer
    }

    fn has_failed(&self, error: &RedisError) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_FAILURES {
            self.is_lost(error);
        }
    }

    fn is_lost(&self, error: &RedisError) {
        let had = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        if had.is_some() {
            log::warn!("the Redis of the store {} is lost, and what it holds is asked for anew: {error}", self.name);
            self.wanted.notify_one();
        }
    }

    async fn look_for(&self, key: &Key, headers: &HeaderMap) -> Option<Entry> {
        // What is there is what was, until this is told.
        let mut connection = self.connection().filter(|_| self.orders.are_settled())?;
        let mut pipe = redis::pipe();
        pipe.cmd("HGET").arg(self.place(key.target())).arg(record::field(key)).cmd("GET").arg(self.key("count"));
        let answer = self.ask_now::<(Option<Vec<u8>>, Option<u64>)>(&mut connection, &pipe).await;
        let (value, count) = answer.ok()?;
        let value = value?;
        let Some(mut record) = Record::read(&value, key) else {
            self.counts.errors.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        {
            let known = self.known();
            if count != Some(known.count) {
                self.wanted.notify_one();
                return None;
            }
            if known.has_purged(record.count, key.target(), &record.head) {
                return None;
            }
        }
        if !record.head.vary.matches(headers) {
            return None;
        }
        record.head.vary.is_seen_in(headers);
        self.counts.found.fetch_add(1, Ordering::Relaxed);
        let (content, writer) = Content::begin(Some(record.body.len() as u64));
        writer.push(record.body);
        let since = if record.process == self.process { record.since } else { Duration::ZERO };
        writer.finish(None).then(|| Entry { head: record.head, content, sliced: None, since })
    }

    /// Puts an answer there, unless something has become old since that this process has not heard of.
    async fn send(self: Arc<Self>, _permit: OwnedSemaphorePermit, put: Put) {
        let Put { place, field, count, record, keeps } = put;
        let Some(mut connection) = self.connection() else { return };
        let mut pipe = redis::pipe();
        pipe.cmd("EVAL").arg(scripts::PUT).arg(2).arg(self.key("count")).arg(place);
        pipe.arg(count).arg(field).arg(record).arg(keeps.as_millis() as u64).arg(MOST_VARIANTS);
        match self.ask::<(u64,)>(&mut connection, &pipe, LONGEST).await {
            Ok((1,)) => drop(self.counts.stored.fetch_add(1, Ordering::Relaxed)),
            Ok(_) => self.wanted.notify_one(),
            Err(_) => {}
        }
    }

    /// What is there of a target is not good any more.
    async fn drop_place(self: Arc<Self>, place: String) {
        if let Some(mut connection) = self.connection() {
            let mut pipe = redis::pipe();
            pipe.cmd("DEL").arg(place).ignore();
            let _ = self.ask::<()>(&mut connection, &pipe, LONGEST).await;
        }
    }
}

/// What it is called.
const KIND: &str = "redis";

impl Lower for Tier {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn find<'l>(&'l self, key: &'l Key, headers: &'l HeaderMap) -> LocalBoxFuture<'l, Option<Entry>> {
        Box::pin(self.0.look_for(key, headers))
    }

    fn put(&self, key: &Key, entry: &Arc<Entry>) {
        let Self(shared) = self;
        let is_small = entry.content.length().is_some_and(|length| length <= shared.largest);
        let may_be_put =
            is_small && entry.content.is_plain() && entry.content.is_in_memory() && may_leave_memory(key, entry);
        if !may_be_put || shared.connection().is_none() {
            return;
        }
        let Ok(permit) = Arc::clone(&shared.puts).try_acquire_owned() else {
            shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let count = shared.known().settled;
        let Some(record) = record::written(key, entry, count, shared.process) else { return };
        let keeps = Duration::from_secs(u64::try_from(entry.head.ttl(now())).unwrap_or(0)) + AFTERWARDS;
        let (place, field) = (shared.place(key.target()), record::field(key));
        actix_rt::spawn(Arc::clone(shared).send(permit, Put { place, field, count, record, keeps }));
    }

    fn largest(&self) -> u64 {
        self.0.largest
    }

    fn forget(&self, target: &[u8]) {
        self.0.orders.give(What::Url(vec![Bytes::copy_from_slice(target)]), false);
    }

    fn let_go(&self, target: &[u8]) {
        if self.0.connection().is_some() {
            actix_rt::spawn(Arc::clone(&self.0).drop_place(self.0.place(target)));
        }
    }

    fn forget_group(&self, group: &str) {
        self.0.orders.give(What::Group(Bytes::copy_from_slice(group.as_bytes())), false);
    }

    fn forget_all(&self) {
        self.0.orders.give(What::Everything, false);
    }

    fn purge(&self, what: &What, soft: Option<SystemTime>) -> u64 {
        let told = self.0.orders.give_and_tell(Some(what.clone()), soft.is_some());
        // Where it is away, they hear of it when it is back, before anything is found there.
        if self.0.connection().is_some() {
            let _ = told.recv_timeout(LONGEST * 4);
        }
        // How many there were nobody counts.
        0
    }

    fn flush(&self, longest: Duration) {
        if !self.0.orders.are_settled() {
            let _ = self.0.orders.give_and_tell(None, false).recv_timeout(longest);
        }
    }

    fn usage(&self) -> Usage {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { found, stored, dropped, errors } = &self.0.counts;
        let (found, stored, dropped, errors) = (of(found), of(stored), of(dropped), of(errors));
        Usage { found, stored, dropped, errors, ..Usage::default() }
    }
}

#[cfg(test)]
mod tests;
