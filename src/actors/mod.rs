//! What is not on a request's way: tasks with a mailbox, on a thread of their own where they may read files.

mod apart;
mod certificates;
mod chores;
mod discovery;
mod expiry;
mod file_watch;
mod health;
mod reload;
pub mod service_manager;
mod standing;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use actix_rt::Arbiter;
use tokio::{
    sync::{Notify, oneshot},
    task::{JoinError, JoinHandle},
    time::sleep,
};

pub use self::{
    file_watch::FileWatch,
    reload::{Read, Reloader, named_files, server_settings},
    service_manager::ServiceManager,
    standing::{Refused, Standing, State},
};
use crate::proxy::Proxy;

/// The thread of the actors; they end with it, and it ends when this is dropped.
pub struct Actors {
    arbiter: Arbiter,
}

/// To ask a reloader to read the settings again, or the certificates alone. Asked twice while it reads, it reads once more.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    settings: Arc<Notify>,
    certificates: Arc<Notify>,
    waiting: Arc<Mutex<Vec<oneshot::Sender<Outcome>>>>,
}

/// What became of settings that were read: which plan is in force now, or why it is the same as before.
pub type Outcome = Result<u64, Refused>;

impl Actors {
    /// A thread for them.
    pub fn start() -> Self {
        Self { arbiter: Arbiter::new() }
    }

    /// Asks endpoints whether they are well, wherever their upstream says so, and those that are left alone whether they take
    /// connections, as long as this lives. `aqueduct run` does so by itself; whoever mounts a proxy calls it. Otherwise
    /// requests alone show whether an endpoint has recovered.
    pub fn check_health(&self, proxy: &Proxy) {
        let (checked, ejected) = (proxy.clone(), proxy.clone());
        let begin = move || health::check_all(checked.clone());
        let also_begin = move || health::ask_for_connections(ejected.clone());
        let spawn = move || {
            actix_rt::spawn(supervise("checking endpoints", begin));
            actix_rt::spawn(supervise("asking endpoints for connections", also_begin));
        };
        if !self.arbiter.spawn_fn(spawn) {
            log::error!("endpoints will not be checked: the thread of the actors has ended");
        }
    }

    /// Looks for the endpoints of upstreams that say how they are found, as long as this lives. `aqueduct run` does so by
    /// itself; whoever mounts a proxy calls it. Otherwise such an upstream has no endpoints: its requests are answered with
    /// 503.
    pub fn discover(&self, proxy: &Proxy) {
        proxy.will_be_told_of_endpoints();
        let proxy = proxy.clone();
        let begin = move || discovery::discover_all(proxy.clone());
        if !self.arbiter.spawn_fn(move || drop(actix_rt::spawn(supervise("looking for endpoints", begin)))) {
            log::error!("endpoints will not be looked for: the thread of the actors has ended");
        }
    }

    /// Does what filters have to do that is on no request's way, such as fetching keys, as long as this lives. `aqueduct run`
    /// does so by itself; whoever mounts a proxy calls it.
    pub fn do_chores(&self, proxy: &Proxy) {
        let proxy = proxy.clone();
        let begin = move || chores::do_all(proxy.clone());
        if !self.arbiter.spawn_fn(move || drop(actix_rt::spawn(supervise("doing the chores of filters", begin)))) {
            log::error!("filters will not have their chores done: the thread of the actors has ended");
        }
    }

    /// Reloads whenever the settings change or it is asked to.
    pub fn reload(&self, reloader: Reloader) -> Ask {
        let ask = reloader.ask();
        let asked = ask.clone();
        let begin = move || reloader.clone().run(asked.clone());
        if !self.arbiter.spawn_fn(move || drop(actix_rt::spawn(supervise("reading settings", begin)))) {
            log::error!("settings will not be read again: the thread of the actors has ended");
        }
        ask
    }

    /// The service manager hears from them that they are alive.
    pub fn keep_alive(&self, manager: &ServiceManager) {
        let manager = manager.clone();
        self.arbiter.spawn(manager.keep_alive());
    }
}

impl Drop for Actors {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

/// Before a task that failed begins anew; longer each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A task that ends with whoever waits for it.
struct Aborting(JoinHandle<()>);

impl Future for Aborting {
    type Output = Result<(), JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins a task again whenever it panics, until it ends.
async fn supervise<F: Future<Output = ()> + 'static>(name: &'static str, begin: impl Fn() -> F) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = Aborting(actix_rt::spawn(begin())).await {
        if error.is_cancelled() {
            return;
        }
        log::error!("{name} failed, and begins anew in {pause:?}: {error}");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Ask {
    /// Asks.
    pub fn now(&self) {
        self.settings.notify_one();
    }

    /// The same, and tells what became of it. Nobody may be there who does so.
    pub fn and_hear(&self) -> oneshot::Receiver<Outcome> {
        let (tell, outcome) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(tell);
        self.now();
        outcome
    }

    /// Those who are to be told.
    fn those_who_wait(&self) -> Vec<oneshot::Sender<Outcome>> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn for_certificates(&self) {
        self.certificates.notify_one();
    }

    async fn heard(&self) {
        self.settings.notified().await;
    }

    async fn heard_for_certificates(&self) {
        self.certificates.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    #[actix_rt::test]
    async fn a_task_that_nobody_waits_for_any_more_is_ended() {
        let held = Rc::new(());
        let given = Rc::clone(&held);
        let supervised = actix_rt::spawn(supervise("a test", move || {
            let held = Rc::clone(&given);
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        }));
        while Rc::strong_count(&held) < 3 {
            tokio::task::yield_now().await;
        }

        supervised.abort();

        while Rc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[actix_rt::test]
    async fn a_task_that_panics_begins_anew() {
        tokio::time::pause();
        let begun = Rc::new(Cell::new(0));
        let counting = Rc::clone(&begun);

        supervise("a test", move || {
            let begun = Rc::clone(&counting);
            async move {
                begun.set(begun.get() + 1);
                assert!(begun.get() == 3, "not yet");
            }
        })
        .await;

        assert_eq!(begun.get(), 3);
    }
}
