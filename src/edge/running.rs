//! A server while it runs, and how it ends.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

use super::{
    drain::Stop,
    inherited::Purpose,
    open::ListensAt,
    reload::{Live, Offer, Prepared, Reloaded},
    tls::Certificates,
    worker::Workers,
};
use crate::{
    plan::{ListenAddress, Listener},
    settings::ServerSettings,
};

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was under way was finished.
    Drained,
    /// Not everything was, within the grace.
    GraceExpired,
    /// It was told to end at once.
    Forced,
}

/// Tells a running server to end, or to go on otherwise, from wherever.
#[derive(Debug, Clone)]
pub struct Handle {
    drain: Stop,
    stop: Arc<Notify>,
    live: Arc<Live>,
}

impl Handle {
    pub(super) fn new(drain: Stop, live: Arc<Live>) -> Self {
        Self { drain, stop: Arc::new(Notify::new()), live }
    }

    /// Listens on these addresses from now on, under these limits for connections that come from now on. Where it
    /// listens already it goes on; where it is to listen no more, what is under way is finished, and connections that
    /// are kept are closed after their answer.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why; nothing has changed then.
    pub async fn reload(
        &self,
        settings: &ServerSettings,
        server_name: &str,
        listeners: &[Listener],
    ) -> io::Result<Reloaded> {
        Ok(self.prepare(settings, server_name, listeners)?.commit().await)
    }

    /// The same in two steps, for whoever has something else to change between them. One at a time: of two that are
    /// prepared at once, the later commit does not know of the earlier.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub fn prepare(
        &self,
        settings: &ServerSettings,
        server_name: &str,
        listeners: &[Listener],
    ) -> io::Result<Prepared> {
        self.live.prepare(settings, server_name, listeners)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.live.addresses()
    }

    /// The same, each with what is shown and what was counted there.
    pub fn listening(&self) -> Vec<ListensAt> {
        self.live.listening()
    }

    /// Connections of clients that are open.
    pub fn connections(&self) -> usize {
        self.live.connections()
    }

    /// What it shows clients, each once however many addresses share it.
    pub fn certificates(&self) -> Vec<Certificates> {
        self.live.certificates()
    }

    /// No new connections; what is under way is finished, up to the grace.
    pub fn drain(&self) {
        self.live.end();
    }

    /// It drains, whoever said so.
    pub fn is_draining(&self) -> bool {
        self.drain.is_said()
    }

    /// Ready once it drains, whoever said so.
    pub async fn drains(&self) {
        self.drain.said().await;
    }

    /// Ready once every worker accepts.
    pub async fn accepts(&self) {
        self.live.all_at_work().await;
    }

    /// What it listens on, for another process to go on with.
    ///
    /// # Errors
    /// It is about to end, or somebody else is asked already; or there is no descriptor left.
    pub fn offer(&self, purpose: Purpose) -> io::Result<Offer> {
        self.live.offer(purpose)
    }

    /// Ends it at once, and drops what is under way.
    pub fn stop(&self) {
        self.stop.notify_one();
    }
}

/// A server that runs while this is awaited.
#[must_use = "a server runs while it is awaited"]
pub struct Running {
    handle: Handle,
    end: LocalBoxFuture<'static, io::Result<Outcome>>,
}

impl Running {
    pub(super) fn new(workers: io::Result<Workers>, handle: Handle, signals: bool) -> Self {
        let over = Over(Arc::clone(&handle.live));
        let signals = match (signals, tokio::runtime::Handle::try_current()) {
            (false, _) => Heeded::None,
            // Whoever knows that it runs may say at once that it is to end.
            (true, Ok(_)) => Heeded::Already(Signals::new()),
            (true, Err(_)) => Heeded::Later,
        };
        let end = Box::pin(run(workers, handle.clone(), signals, over));
        Self { handle, end }
    }

    /// To end it, or to change it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Future for Running {
    type Output = io::Result<Outcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.end.as_mut().poll(cx)
    }
}

/// Whoever still has a handle has one to nothing.
struct Over(Arc<Live>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn run(workers: io::Result<Workers>, handle: Handle, signals: Heeded, _over: Over) -> io::Result<Outcome> {
    let mut workers = workers?;
    let mut signals = match signals {
        Heeded::None => None,
        Heeded::Already(signals) => Some(signals?),
        Heeded::Later => Some(Signals::new()?),
    };
    let is_by_signal = tokio::select! {
        ended = workers.ended() => return ended.map(|()| Outcome::Drained),
        () = handle.stop.notified() => return force(workers, Outcome::Forced).await,
        () = handle.drain.said() => false,
        () = Signals::next(&mut signals) => true,
    };
    if is_by_signal {
        handle.live.end();
    }
    let grace = handle.live.grace();
    let ends_at_once = async {
        if !is_by_signal {
            Signals::next(&mut signals).await;
            handle.live.end();
        }
        Signals::next(&mut signals).await;
    };
    let outcome = tokio::select! {
        ended = workers.ended() => return ended.map(|()| Outcome::Drained),
        () = handle.stop.notified() => Outcome::Forced,
        () = ends_at_once => Outcome::Forced,
        () = expired(grace) => Outcome::GraceExpired,
    };
    if outcome == Outcome::GraceExpired && handle.drain.is_said_to_requests_alone() {
        handle.live.end();
        let _told = tokio::time::timeout(FAREWELL, workers.ended()).await;
    }
    force(workers, outcome).await
}

/// What is under way is dropped with the workers.
async fn force(mut workers: Workers, outcome: Outcome) -> io::Result<Outcome> {
    workers.force();
    match tokio::time::timeout(FORCE, workers.ended()).await {
        Ok(ended) => ended?,
        Err(_) => log::warn!("a worker that does not end is left behind"),
    }
    Ok(outcome)
}

/// How long tunnels have to end that were spared until now.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long workers may take to end.
const FORCE: Duration = Duration::from_secs(1);

async fn expired(grace: Option<Duration>) {
    match grace {
        Some(grace) => tokio::time::sleep(grace).await,
        None => std::future::pending().await,
    }
}

/// Since when signals are heard.
enum Heeded {
    None,
    Already(io::Result<Signals>),
    /// Once there is a runtime to hear them.
    Later,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(signals: &mut Option<Self>) {
        match signals {
            Some(Self { terminate, interrupt }) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}
