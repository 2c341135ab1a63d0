//! Other addresses and other limits while the server runs (docs/adr/0007-reload.md).

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    drain::Stop,
    limits::Limits,
    listener::{self, Caps, Door, Listening, Opened, SocketFile},
    proxy_protocol::Senders,
    tls::{Certificates, Next, Protocol, Speaks, Spoken},
    worker::{Change, Entrance, Tellers},
};
use crate::{
    plan::{ListenAddress, Listener, ListenerTls},
    proxy::Proxy,
    settings::ServerSettings,
};

/// How long workers may take to do as they are told before it is said that they have not.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running server, as far as it can be changed.
pub struct Live {
    stop: Stop,
    caps: Arc<Caps>,
    log_of: Option<Proxy>,
    /// What it was started with.
    started: ServerSettings,
    now: Mutex<Now>,
}

struct Now {
    /// How long requests in flight may take once it stops.
    grace: Option<Duration>,
    workers: Tellers,
    open: Vec<Open>,
}

/// An address that is listened on.
struct Open {
    speaks: Speaks,
    asked: ListenAddress,
    address: ListenAddress,
    stop: Stop,
    /// Closed once no worker has its door any more.
    doors: watch::Sender<()>,
    /// Goes with it.
    _file: Option<SocketFile>,
}

/// What a reload changed at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Where it listens now, too.
    pub added: Vec<ListenAddress>,
    /// Where it listens no more.
    pub removed: Vec<ListenAddress>,
    /// Settings that differ from those the server was started with, and that it cannot take while it runs.
    pub needs_restart: Vec<&'static str>,
}

/// A change that can be made: new addresses are listened on, but nobody is served there yet. Dropped, they are given
/// up and nothing has changed.
#[must_use = "nothing changes before it is committed"]
pub struct Prepared {
    live: Arc<Live>,
    settings: ServerSettings,
    limits: Limits,
    kept: Vec<ListenAddress>,
    /// What is shown from then on under a name that stays.
    shown: Vec<Next>,
    /// What addresses that stay speak from then on.
    speak: Vec<(Speaks, Spoken)>,
    added: Vec<Open>,
    /// For each worker.
    entrances: Vec<Vec<Entrance>>,
}

impl Live {
    /// A server that is about to begin at these addresses; and where its workers are to stand.
    pub fn new(
        stop: &Stop,
        caps: &Arc<Caps>,
        log_of: Option<Proxy>,
        started: ServerSettings,
        opened: Vec<Opened>,
    ) -> (Arc<Self>, Vec<Entrance>) {
        let (open, entrances) = opened.into_iter().map(|opened| entrance(opened, stop)).unzip();
        let now = Now { grace: started.drain.grace.0, workers: Tellers::new(), open };
        let live = Self { stop: stop.clone(), caps: Arc::clone(caps), log_of, started, now: Mutex::new(now) };
        (Arc::new(live), entrances)
    }

    /// Whom to tell of changes.
    pub fn has_workers(&self, workers: Tellers) {
        self.now().workers = workers;
    }

    /// How long requests in flight may take once it stops.
    pub fn grace(&self) -> Option<Duration> {
        self.now().grace
    }

    /// Whoever listens there next may have the paths of its sockets.
    pub fn give_up_paths(&self) {
        self.now().open.clear();
    }

    /// There is nothing to change any more.
    pub fn end(&self) {
        self.stop.say();
        self.give_up_paths();
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.now().open.iter().map(|open| open.address.clone()).collect()
    }

    /// The same, with the name of what is shown there.
    pub fn listening(&self) -> Vec<(ListenAddress, Option<String>)> {
        let shown = |open: &Open| open.speaks.now().certificates.as_ref().map(Certificates::name);
        self.now().open.iter().map(|open| (open.address.clone(), shown(open))).collect()
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.caps.open()
    }

    /// What it shows clients, each once however many addresses share it.
    pub fn certificates(&self) -> Vec<Certificates> {
        Showing::before(&self.now().open).known.into_values().collect()
    }

    /// Listens on what is new.
    pub fn prepare(
        self: &Arc<Self>,
        settings: &ServerSettings,
        server_name: &str,
        listeners: &[Listener],
    ) -> io::Result<Prepared> {
        if self.stop.is_said() {
            return Err(io::Error::other("the server is about to end"));
        }
        let now = self.now();
        let mut known: Vec<&Open> = now.open.iter().collect();
        let (mut kept, mut opened, mut speak) = (Vec::new(), Vec::new(), Vec::new());
        let mut showing = Showing::before(&now.open);
        for Listener { address, tls, h2, proxy_protocol } in listeners {
            let newest = if *h2 { Protocol::Http2 } else { Protocol::Http1 };
            let certificates = tls.as_ref().map(|tls| showing.next(tls)).transpose()?;
            let senders = proxy_protocol.as_ref().map(|settings| Arc::new(Senders::of(settings)));
            let spoken = Spoken { certificates, newest, senders };
            if let Some(at) = known.iter().position(|known| known.asked == *address) {
                let open = known.swap_remove(at);
                speak.push((open.speaks.clone(), spoken));
                kept.push(open.asked.clone());
            } else {
                let mut door =
                    listener::open(address, settings.backlog).map_err(|error| cannot_listen(address, &error))?;
                door.spoken = spoken;
                opened.push(door);
            }
        }
        let (added, doors): (Vec<Open>, Vec<Entrance>) =
            opened.into_iter().map(|opened| entrance(opened, &self.stop)).unzip();
        let for_one = || doors.iter().map(Entrance::again).collect::<io::Result<Vec<_>>>();
        let entrances = now.workers.iter().map(|_| for_one()).collect::<io::Result<Vec<_>>>()?;
        let limits = Limits { log_of: self.log_of.clone(), ..Limits::of(settings, server_name) };
        let (live, settings) = (Arc::clone(self), settings.clone());
        Ok(Prepared { live, settings, limits, kept, shown: showing.next, speak, added, entrances })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn needs_restart(&self, settings: &ServerSettings) -> Vec<&'static str> {
        let started = &self.started;
        let keys = [
            ("server.workers", started.workers != settings.workers),
            ("server.backlog", started.backlog != settings.backlog),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }
}

impl Prepared {
    /// Makes the change: ready when every worker has, and nobody listens any more at the addresses that are gone.
    pub async fn commit(self) -> Reloaded {
        let Self { live, settings, limits, kept, shown, speak, added, entrances } = self;
        shown.into_iter().for_each(Next::show);
        speak.into_iter().for_each(|(speaks, spoken)| speaks.from_now_on(spoken));
        live.caps.change(settings.max_connections, settings.max_connections_per_ip);
        let (made, until_made) = watch::channel(());
        let addresses = |open: &[Open]| open.iter().map(|open| open.address.clone()).collect();
        let needs_restart = live.needs_restart(&settings);
        let mut reloaded = Reloaded { added: addresses(&added), removed: Vec::new(), needs_restart };
        let removed = {
            let mut now = live.now();
            now.grace = settings.drain.grace.0;
            for (worker, entrances) in now.workers.iter().zip(entrances) {
                let change = Change { limits: limits.clone(), entrances, until_made: until_made.clone() };
                if worker.send(change).is_err() {
                    log::debug!("a worker that has ended hears of no change");
                }
            }
            let removed = now.keep(kept);
            now.open.extend(added);
            removed
        };
        drop(until_made);
        reloaded.removed = addresses(&removed);
        for open in &removed {
            open.stop.say();
        }
        let done = async {
            made.closed().await;
            for open in &removed {
                open.doors.closed().await;
            }
        };
        if tokio::time::timeout(PATIENCE, done).await.is_err() {
            log::warn!("not every worker has done what was to change within {PATIENCE:?}; it will, when it can");
        }
        reloaded
    }
}

/// What is shown under each name: what a name has shown goes on with it, and is shared by all who name it.
struct Showing {
    known: HashMap<String, Certificates>,
    named: HashMap<String, Certificates>,
    next: Vec<Next>,
}

impl Showing {
    fn before(open: &[Open]) -> Self {
        let known =
            open.iter().filter_map(|open| open.speaks.now().certificates).map(|known| (known.name(), known)).collect();
        Self { known, named: HashMap::new(), next: Vec::new() }
    }

    fn next(&mut self, tls: &ListenerTls) -> io::Result<Certificates> {
        if let Some(named) = self.named.get(&tls.name) {
            return Ok(named.clone());
        }
        let certificates = match self.known.get(&tls.name) {
            Some(known) => {
                self.next.push(known.next(tls)?);
                known.clone()
            }
            None => Certificates::of(tls)?,
        };
        self.named.insert(tls.name.clone(), certificates.clone());
        Ok(certificates)
    }
}

impl Now {
    /// Keeps one address for each of these, and gives the others.
    fn keep(&mut self, mut kept: Vec<ListenAddress>) -> Vec<Open> {
        let stays = |open: &mut Open| match kept.iter().position(|kept| *kept == open.asked) {
            Some(at) => {
                kept.swap_remove(at);
                false
            }
            None => true,
        };
        self.open.extract_if(.., stays).collect()
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

fn entrance(opened: Opened, stop: &Stop) -> (Open, Entrance) {
    let Opened { asked, address, listening, spoken } = opened;
    let (door, file) = match listening {
        Listening::Tcp(listener) => (Door::Tcp(listener), None),
        Listening::Unix(listener, file) => (Door::Unix(listener), Some(file)),
    };
    let (doors, until_closed) = watch::channel(());
    let stop = stop.below();
    let speaks = Speaks::of(spoken);
    let entrance = Entrance { door, speaks: speaks.clone(), stop: stop.clone(), until_closed };
    (Open { speaks, asked, address, stop, doors, _file: file }, entrance)
}

/// Which address it is about, and why.
pub fn cannot_listen(address: &ListenAddress, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}
