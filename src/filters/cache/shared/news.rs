//! Telling others what has become old here, and hearing of what has there, away from every request.

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, future::LocalBoxFuture};
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    KIND, Shared,
    orders::Queue,
    purges::{self, Heard, Purge},
    scripts,
};
use crate::{
    cache::{entry::now, purge::What},
    filters::{remote, site::Chore},
};

const BEFORE_NEXT_TRY: Duration = Duration::from_millis(500);
/// Others' purges are heard of within this time, also where nobody looks for anything.
const TICK: Duration = Duration::from_millis(100);

impl Shared {
    /// Has all others hear of these.
    async fn tell(&self, connection: &mut MultiplexedConnection, purges: &[(What, bool)]) -> Result<(), RedisError> {
        let targets =
            purges.iter().filter_map(|(what, _)| if let What::Url(targets) = what { Some(targets) } else { None });
        let places: Vec<String> = targets.flatten().map(|target| self.place(target)).collect();
        let mut pipe = redis::pipe();
        pipe.cmd("EVAL").arg(scripts::PURGE).arg(2 + places.len()).arg(self.key("count")).arg(self.key("purges"));
        pipe.arg(&places).arg(micros(now())).arg(purges::MOST);
        for (what, is_soft) in purges {
            pipe.arg(purges::written(what, *is_soft, self.process));
        }
        self.ask(connection, pipe.ignore(), Duration::MAX).await
    }

    /// Hears of all that has become old since the last time.
    async fn hear(self: &Arc<Self>, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let known = self.known().count;
        let mut pipe = redis::pipe();
        pipe.cmd("EVAL").arg(scripts::HEAR).arg(2).arg(self.key("count")).arg(self.key("purges"));
        pipe.arg(micros(now())).arg(known).arg(purges::MOST);
        let ((count, lines),) = self.ask::<((u64, Vec<String>),)>(connection, &pipe, Duration::MAX).await?;
        let purges: Vec<_> = match self.known().hear(count, &lines) {
            Heard::All(purges) => purges.into_iter().filter(|purge| purge.process != self.process).collect(),
            Heard::TooLate => {
                log::info!("what the store {} has in memory is asked for anew: others may have purged it", self.name);
                vec![Purge { what: What::Everything, is_soft: false, process: 0 }]
            }
        };
        if purges.is_empty() {
            self.known().is_through(count);
            return Ok(());
        }
        let shared = Arc::clone(self);
        // It may take a while to look at everything, and is gone through with also if nobody waits for it any more.
        let hear = move || {
            for shelf in shared.shelves() {
                for Purge { what, is_soft, .. } in &purges {
                    shelf.hear(what, *is_soft, KIND);
                }
            }
            shared.known().is_through(count);
        };
        let _ = spawn_blocking(hear).await;
        Ok(())
    }

    async fn tell_and_hear(
        self: &Arc<Self>,
        connection: &mut MultiplexedConnection,
        ordered: &mut Queue,
    ) -> Result<(), RedisError> {
        ordered.fill(&self.orders);
        let purges = ordered.purges();
        if !purges.is_empty() {
            self.tell(connection, &purges).await?;
        }
        self.hear(connection).await?;
        ordered.settle(&self.orders);
        Ok(())
    }

    /// Does what there is to do as long as it answers.
    async fn serve(self: &Arc<Self>, connection: &mut MultiplexedConnection, ordered: &mut Queue) -> RedisError {
        if let Err(error) = self.tell_and_hear(connection, ordered).await {
            return error;
        }
        self.is_found(connection);
        loop {
            tokio::select! {
                biased;
                () = ordered.wait() => {}
                () = self.wanted.notified() => {}
                () = sleep(TICK) => {}
            }
            if self.connection().is_none() {
                // Who was waiting has given it up.
                return io::Error::from(io::ErrorKind::TimedOut).into();
            }
            if let Err(error) = self.tell_and_hear(connection, ordered).await {
                return error;
            }
        }
    }

    pub(super) fn is_found(&self, connection: &MultiplexedConnection) {
        log::info!("the Redis of the store {} is found", self.name);
        self.failures.store(0, Ordering::Relaxed);
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
    }
}

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

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
