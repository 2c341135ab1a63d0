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

mod purges;
mod record;
mod scripts;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc as replies,
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::LocalBoxFuture};
use redis::{FromRedisValue, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{Mutex as Turn, Notify, mpsc},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use self::{
    purges::{Heard, Known, Purge},
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
    filters::{remote, site::Chore},
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
    orders: mpsc::Sender<Order>,
    ordered: Turn<mpsc::Receiver<Order>>,
    /// So many of them waited that others hear that everything is old.
    has_lost_orders: AtomicBool,
    /// Something is to be done at once: to hear of purges, or to connect again.
    wanted: Notify,
    shelf: OnceLock<Weak<Shelf>>,
    failures: AtomicU32,
    putting: AtomicU64,
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

struct Order {
    what: What,
    is_soft: bool,
    done: Option<replies::SyncSender<()>>,
}

/// Nobody waits longer for what is not in memory.
const LONGEST: Duration = Duration::from_millis(50);
/// After so many failures in a row it is left alone until it answers again.
const MOST_FAILURES: u32 = 3;
const BEFORE_NEXT_TRY: Duration = Duration::from_millis(500);
/// Others' purges are heard of within this time, also where nobody looks for anything.
const TICK: Duration = Duration::from_millis(100);
/// Puts at once; more are not made.
const MOST_PUTS: u64 = 64;
const MOST_ORDERS: usize = 4096;
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
        let (orders, ordered) = mpsc::channel(MOST_ORDERS);
        Self {
            name: name.to_owned(),
            settings: settings.clone(),
            process: chance::roll(),
            largest: settings.max_object.0,
            connection: Mutex::default(),
            known: Mutex::default(),
            orders,
            ordered: Turn::new(ordered),
            has_lost_orders: AtomicBool::new(false),
            wanted: Notify::new(),
            shelf: OnceLock::new(),
            failures: AtomicU32::new(0),
            putting: AtomicU64::new(0),
            counts: Counts::default(),
        }
    }

    /// What is heard is for this one.
    pub fn tells(&self, shelf: &Arc<Shelf>) {
        let _ = self.shelf.set(Arc::downgrade(shelf));
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

    /// Asks, as long as somebody may wait for it.
    async fn ask<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        pipe: &redis::Pipeline,
    ) -> Result<T, RedisError> {
        let limit = self.settings.timeout.0.map_or(LONGEST, |limit| limit.min(LONGEST));
        let late = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let answer = timeout(limit, pipe.query_async(connection)).await.unwrap_or_else(|_| Err(late()));
        match &answer {
            Ok(_) => self.failures.store(0, Ordering::Relaxed),
            Err(error) if error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() => {
                self.has_failed(error);
            }
            // It is there, and says no.
            Err(_) => drop(self.counts.errors.fetch_add(1, Ordering::Relaxed)),
        }
        answer
    }

    fn has_failed(&self, error: &RedisError) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
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
        let mut connection = self.connection()?;
        let mut pipe = redis::pipe();
        pipe.cmd("HGET").arg(self.place(key.target())).arg(record::field(key)).cmd("GET").arg(self.key("count"));
        let answer = self.ask::<(Option<Vec<u8>>, Option<u64>)>(&mut connection, &pipe).await;
        let (value, count) = answer.ok()?;
        let value = value?;
        let Some(record) = Record::read(&value, key) else {
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
        self.counts.found.fetch_add(1, Ordering::Relaxed);
        let (content, writer) = Content::begin(Some(record.body.len() as u64));
        writer.push(record.body);
        let since = if record.process == self.process { record.since } else { Duration::ZERO };
        writer.finish(None).then(|| Entry { head: record.head, content, sliced: None, since })
    }

    /// Puts an answer there, unless something has become old since that this process has not heard of.
    async fn send(self: Arc<Self>, place: String, field: String, count: u64, record: Vec<u8>, keeps: Duration) {
        if let Some(mut connection) = self.connection() {
            let mut pipe = redis::pipe();
            pipe.cmd("EVAL").arg(scripts::PUT).arg(2).arg(self.key("count")).arg(place);
            pipe.arg(count).arg(field).arg(record).arg(keeps.as_millis() as u64);
            match self.ask::<(u64,)>(&mut connection, &pipe).await {
                Ok((1,)) => drop(self.counts.stored.fetch_add(1, Ordering::Relaxed)),
                Ok(_) => self.wanted.notify_one(),
                Err(_) => {}
            }
        }
        self.putting.fetch_sub(1, Ordering::Relaxed);
    }

    /// What is there of a target is not good any more.
    async fn drop_place(self: Arc<Self>, place: String) {
        if let Some(mut connection) = self.connection() {
            let mut pipe = redis::pipe();
            pipe.cmd("DEL").arg(place).ignore();
            let _ = self.ask::<()>(&mut connection, &pipe).await;
        }
    }

    /// Has all others hear of it, now or when the Redis is there again.
    fn order(&self, what: What, is_soft: bool, done: Option<replies::SyncSender<()>>) {
        if self.orders.try_send(Order { what, is_soft, done }).is_err() {
            self.has_lost_orders.store(true, Ordering::Relaxed);
        }
    }

    async fn carry_out(&self, connection: &mut MultiplexedConnection, order: &Order) -> Result<(), RedisError> {
        let places: Vec<String> = match &order.what {
            What::Url(targets) => targets.iter().map(|target| self.place(target)).collect(),
            _ => Vec::new(),
        };
        let text = purges::written(&order.what, order.is_soft, self.process);
        let mut pipe = redis::pipe();
        pipe.cmd("EVAL").arg(scripts::PURGE).arg(2 + places.len()).arg(self.key("count")).arg(self.key("purges"));
        pipe.arg(&places).arg(micros(now())).arg(text).ignore();
        self.ask::<()>(connection, &pipe).await?;
        self.hear(connection).await
    }

    /// Hears of all that has become old since the last time.
    async fn hear(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        // Where it was flushed, or is new, counting begins at a number that nobody has seen.
        pipe.cmd("SET").arg(self.key("count")).arg(micros(now())).arg("NX").ignore();
        pipe.cmd("GET").arg(self.key("count")).cmd("LRANGE").arg(self.key("purges")).arg(0).arg(-1);
        let (count, lines) = self.ask::<(u64, Vec<String>)>(connection, &pipe).await?;
        let heard = self.known().hear(count, &lines);
        let Some(shelf) = self.shelf.get().and_then(Weak::upgrade) else { return Ok(()) };
        let purges = match heard {
            Heard::All(purges) => purges.into_iter().filter(|purge| purge.process != self.process).collect(),
            Heard::TooLate => {
                log::info!("what the store {} has in memory is asked for anew: others may have purged it", self.name);
                vec![Purge { what: What::Everything, is_soft: false, process: 0 }]
            }
        };
        if !purges.is_empty() {
            // It may take a while to look at everything.
            let hear = move || purges.iter().map(|purge| shelf.hear(&purge.what, purge.is_soft, KIND)).sum::<u64>();
            let _ = spawn_blocking(hear).await;
        }
        Ok(())
    }

    /// Does what there is to do as long as it answers.
    async fn serve(&self, connection: &mut MultiplexedConnection, ordered: &mut mpsc::Receiver<Order>) -> RedisError {
        let mut order = None;
        loop {
            let done = match &order {
                None => self.hear(connection).await,
                Some(order) => self.carry_out(connection, order).await,
            };
            match done {
                Ok(()) => {
                    let done = order.take().and_then(|order: Order| order.done);
                    if let Some(done) = done {
                        // Who has waited for too long has gone.
                        let _ = done.try_send(());
                    }
                }
                Err(error) => {
                    // It is to be told all the same.
                    if let Some(order) = order {
                        self.order(order.what, order.is_soft, order.done);
                    }
                    return error;
                }
            }
            if ordered.is_empty() && self.has_lost_orders.swap(false, Ordering::Relaxed) {
                order = Some(Order { what: What::Everything, is_soft: false, done: None });
                continue;
            }
            if ordered.is_empty() {
                // All that was old is known there: what is found is not.
                self.is_found(connection);
            }
            order = tokio::select! {
                biased;
                next = ordered.recv() => next,
                () = self.wanted.notified() => None,
                () = sleep(TICK) => None,
            };
            if self.connection().is_none() && order.is_none() {
                return std::io::Error::from(std::io::ErrorKind::TimedOut).into();
            }
        }
    }

    fn is_found(&self, connection: &MultiplexedConnection) {
        let mut own = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_none() {
            log::info!("the Redis of the store {} is found", self.name);
            self.failures.store(0, Ordering::Relaxed);
            *own = Some(connection.clone());
        }
    }
}

/// What it is called.
const KIND: &str = "redis";

impl Chore for Shared {
    fn name(&self) -> &'static str {
        "hearing of purges of others"
    }

    fn work(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        async move {
            // Several filters have the store, and one of them does this.
            let mut ordered = self.ordered.lock().await;
            loop {
                let error = match remote::connect(&self.settings).await {
                    Err(error) => error,
                    Ok(mut connection) => self.serve(&mut connection, &mut ordered).await,
                };
                self.is_lost(&error);
                sleep(BEFORE_NEXT_TRY).await;
            }
        }
        .boxed_local()
    }
}

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
        if shared.putting.fetch_add(1, Ordering::Relaxed) >= MOST_PUTS {
            shared.putting.fetch_sub(1, Ordering::Relaxed);
            shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let count = shared.known().count;
        let record = record::written(key, entry, count, shared.process);
        let fresh = Duration::from_secs(u64::try_from(entry.head.ttl(now())).unwrap_or(0));
        let (place, field) = (shared.place(key.target()), record::field(key));
        actix_rt::spawn(Arc::clone(shared).send(place, field, count, record, fresh + AFTERWARDS));
    }

    fn largest(&self) -> u64 {
        self.0.largest
    }

    fn forget(&self, target: &[u8]) {
        self.0.order(What::Url(vec![Bytes::copy_from_slice(target)]), false, None);
    }

    fn let_go(&self, target: &[u8]) {
        if self.0.connection().is_some() {
            actix_rt::spawn(Arc::clone(&self.0).drop_place(self.0.place(target)));
        }
    }

    fn forget_group(&self, group: &str) {
        self.0.order(What::Group(Bytes::copy_from_slice(group.as_bytes())), false, None);
    }

    fn forget_all(&self) {
        self.0.order(What::Everything, false, None);
    }

    fn purge(&self, what: &What, soft: Option<SystemTime>) -> u64 {
        let (done, told) = replies::sync_channel(1);
        self.0.order(what.clone(), soft.is_some(), Some(done));
        // Where it is away, they hear of it when it is back, before anything is found there.
        if self.0.connection().is_some() {
            let _ = told.recv_timeout(LONGEST * 4);
        }
        // How many there were nobody counts.
        0
    }

    fn usage(&self) -> Usage {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { found, stored, dropped, errors } = &self.0.counts;
        let (found, stored, dropped, errors) = (of(found), of(stored), of(dropped), of(errors));
        Usage { found, stored, dropped, errors, ..Usage::default() }
    }
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
