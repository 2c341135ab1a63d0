//! Limits that several processes share, by leases from a Redis that no request waits for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::LocalBoxFuture};
use redis::{ErrorKind, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender},
    },
    time::{sleep, timeout},
};

use super::{
    bucket::Empty,
    lease::{Holding, Spending, Window},
};
use crate::{
    clock,
    exchange::Exchange,
    filters::{
        keys::Key,
        remote,
        site::{Chore, Site},
        table::{Place, Table},
    },
    settings::RedisSettings,
    telemetry::metrics::Event,
};

/// What this process holds of each key, and how it gets more.
pub struct Leases {
    made_of: MadeOf,
    table: Table,
    asks: Sender<Ask>,
    asked: Mutex<Receiver<Ask>>,
    reach: AtomicU8,
    lost: Event,
    found: Event,
}

/// What they are made of: with the same, they go on over a reload.
#[derive(Clone, PartialEq)]
pub struct MadeOf {
    /// Where the limit is written: it is the same limit for all processes in which it is written there.
    pub name: String,
    pub store: RedisSettings,
    pub window: Window,
    pub key: Key,
    pub max_keys: u32,
}

/// More is wanted of this key.
struct Ask {
    place: Place,
    window: u64,
    key: [u8; 16],
}

/// Nobody knows yet whether the store can be reached: until it was, this process counts by itself.
const UNKNOWN: u8 = 0;
const REACHED: u8 = 1;
const LOST: u8 = 2;

/// Asks that wait to be sent. Of more, each asks again with its key's next request.
const MOST_ASKS: usize = 4096;
const MOST_AT_ONCE: usize = 256;

/// A store that is not asked anything is asked whether it is there.
const PING: Duration = Duration::from_secs(1);
const BEFORE_NEXT_TRY: Duration = Duration::from_millis(500);

/// Whether this store can be had.
///
/// # Errors
/// The key it is wrong at (`url` or `ca`), and what is wrong.
pub fn check_store(redis: &RedisSettings) -> Result<(), (&'static str, String)> {
    remote::check(redis)
}

impl Leases {
    /// None yet.
    pub fn new(made_of: MadeOf, site: &Site<'_>) -> Self {
        let (asks, asked) = mpsc::channel(MOST_ASKS);
        Self {
            table: Table::with_room_for(made_of.max_keys),
            made_of,
            asks,
            asked: Mutex::new(asked),
            reach: AtomicU8::new(UNKNOWN),
            lost: site.event("store_lost"),
            found: site.event("store_found"),
        }
    }

    /// Whether these are what is wanted now.
    pub fn are_of(&self, made_of: &MadeOf) -> bool {
        self.made_of == *made_of
    }

    /// One is to pass now. While the store cannot be reached, it may.
    pub fn spend(&self, exchange: &Exchange) -> Result<Option<Place>, Empty> {
        if self.reach.load(Ordering::Relaxed) != REACHED {
            return Ok(None);
        }
        let (number, left) = self.made_of.window.at(clock::unix_coarse());
        let hash = self.made_of.key.of(exchange, self.table.seed());
        let rule = Spending::new(number, self.made_of.window);
        let (place, _) = self.table.change(hash, &rule);
        let outcome = rule.outcome();
        if outcome.asks {
            // Those that have no place of their own are one key for the store as well.
            let key = if place.is_shared() { [0; 16] } else { self.made_of.key.digest(exchange) };
            if self.asks.try_send(Ask { place, window: number, key }).is_err() {
                self.forget_that_it_was_asked(place);
            }
        }
        match (outcome.passes, outcome.is_over) {
            (true, _) => Ok(Some(place)),
            (false, true) => Err(Empty(left)),
            // More may come any moment.
            (false, false) => Err(Empty(left.min(Duration::from_secs(1)))),
        }
    }

    /// It did not pass after all.
    pub fn give_back(&self, place: Place) {
        let (number, _) = self.made_of.window.at(clock::unix_coarse());
        self.table.change_at(place, |number_of_key| {
            let known = Holding::of(number_of_key);
            let is_of_now = known.window == number as u16;
            Holding { spent: known.spent.saturating_sub(u32::from(is_of_now)), ..known }.packed()
        });
    }

    fn forget_that_it_was_asked(&self, place: Place) {
        self.table.change_at(place, |number| Holding { is_asked: false, ..Holding::of(number) }.packed());
    }

    /// Asks for leases until the store is lost.
    async fn serve(&self, connection: &mut MultiplexedConnection, asked: &mut Receiver<Ask>) -> RedisError {
        let mut asks = Vec::with_capacity(MOST_AT_ONCE);
        loop {
            asks.clear();
            let answer = match timeout(PING, asked.recv_many(&mut asks, MOST_AT_ONCE)).await {
                Ok(_) => self.lease(connection, &asks).await,
                Err(_) => redis::cmd("PING").query_async(connection).await,
            };
            if let Err(error) = answer {
                asks.iter().for_each(|ask| self.forget_that_it_was_asked(ask.place));
                return error;
            }
        }
    }

    /// For each key one addition to what all have asked for in its window: that is the order in which they get it.
    async fn lease(&self, connection: &mut MultiplexedConnection, asks: &[Ask]) -> Result<(), RedisError> {
        let MadeOf { name, store, window, .. } = &self.made_of;
        let wants: Vec<u32> = asks.iter().map(|ask| self.wants(ask)).collect();
        let mut pipe = redis::pipe();
        for (ask, wanted) in asks.iter().zip(&wants) {
            let key = ask.key.map(|byte| format!("{byte:02x}")).concat();
            let of_window = format!("{}{name}:{}/{}:{}:{key}", store.prefix, window.quota, window.length, ask.window);
            // Clocks may differ by a window.
            pipe.cmd("INCRBY")
                .arg(&of_window)
                .arg(*wanted)
                .cmd("PEXPIRE")
                .arg(&of_window)
                .arg(2 * window.length)
                .ignore();
        }
        let totals: Vec<u64> = pipe.query_async(connection).await?;
        if totals.len() != asks.len() {
            return Err((ErrorKind::UnexpectedReturnType, "as many answers as questions").into());
        }
        for ((ask, wanted), total) in asks.iter().zip(wants).zip(totals) {
            self.table.change_at(ask.place, |number| {
                let known = Holding::of(number);
                let is_of_it = known.window == ask.window as u16;
                if is_of_it { known.answered(wanted, total, *window).packed() } else { number }
            });
        }
        Ok(())
    }

    fn wants(&self, ask: &Ask) -> u32 {
        let known = self.table.number_at(ask.place).map(Holding::of);
        known.filter(|known| known.window == ask.window as u16).map_or(0, |known| known.wants(self.made_of.window))
    }

    fn is_lost(&self, error: &RedisError) {
        if self.reach.swap(LOST, Ordering::Relaxed) != LOST {
            log::warn!("the store of {} is lost, and this process counts by itself: {error}", self.made_of.name);
            self.lost.happened();
        }
    }

    fn is_found(&self) {
        self.reach.store(REACHED, Ordering::Relaxed);
        log::info!("the store of {} is found, and this process counts with all others", self.made_of.name);
        self.found.happened();
    }
}

impl Chore for Leases {
    fn name(&self) -> &'static str {
        "leasing shared limits"
    }

    fn work(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        async move {
            let mut asked = self.asked.lock().await;
            loop {
                let error = match remote::connect(&self.made_of.store).await {
                    Err(error) => error,
                    Ok(mut connection) => {
                        self.is_found();
                        self.serve(&mut connection, &mut asked).await
                    }
                };
                self.is_lost(&error);
                sleep(BEFORE_NEXT_TRY).await;
                while let Ok(ask) = asked.try_recv() {
                    self.forget_that_it_was_asked(ask.place);
                }
            }
        }
        .boxed_local()
    }
}
