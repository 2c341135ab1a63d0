//! Other addresses and other limits while the server runs (docs/adr/0007-reload.md).

use std::{
    collections::HashMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, watch};

use super::{
    drain::Stop,
    inherited::{Passed, Purpose},
    limits::Limits,
    listener::{self, Caps, Manner, Opened},
    open::{self, ListensAt, Open},
    proxy_protocol::Senders,
    socket_file,
    tls::{Certificates, Next, Protocol, Speaks, Spoken},
    worker::{Change, Entrance, Tellers},
};
use crate::{
    plan::{ListenAddress, Listener, ListenerTls},
    proxy::Proxy,
    settings::{FileMode, ServerSettings},
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
    /// Has a permit of each worker that stands at its doors.
    at_work: Arc<Semaphore>,
    now: Mutex<Now>,
}

struct Now {
    /// Nothing changes meanwhile: somebody is offered what is open.
    is_offered: bool,
    /// How long requests in flight may take once it stops.
    grace: Option<Duration>,
    workers: Tellers,
    open: Vec<Open>,
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
    /// What others may do with the files of sockets that stay.
    modes: Vec<(PathBuf, FileMode)>,
    added: Vec<Open>,
    /// For each worker.
    entrances: Vec<Vec<Entrance>>,
}

impl Live {
    /// A server that is about to begin at these addresses.
    pub fn new(
        stop: &Stop,
        caps: &Arc<Caps>,
        log_of: Option<Proxy>,
        started: ServerSettings,
        opened: Vec<Opened>,
    ) -> Arc<Self> {
        let open = opened.into_iter().map(|opened| Open::of(opened, stop)).collect();
        let now = Now { is_offered: false, grace: started.drain.grace.0, workers: Tellers::new(), open };
        let (stop, caps, at_work) = (stop.clone(), Arc::clone(caps), Arc::new(Semaphore::new(0)));
        Arc::new(Self { stop, caps, log_of, started, at_work, now: Mutex::new(now) })
    }

    /// Where a worker is to stand, of so many.
    pub fn entrances(&self, worker: usize, workers: usize) -> io::Result<Vec<Entrance>> {
        open::entrances(&self.now().open, worker, workers)
    }

    /// To be given a permit by each worker that stands there.
    pub fn at_work(&self) -> Arc<Semaphore> {
        Arc::clone(&self.at_work)
    }

    /// Ready once all of them do.
    pub async fn all_at_work(&self) {
        let workers = u32::try_from(self.now().workers.len()).unwrap_or(u32::MAX);
        // Nobody closes it.
        drop(self.at_work.acquire_many(workers).await);
    }

    /// Whom to tell of changes.
    pub fn has_workers(&self, workers: Tellers) {
        self.now().workers = workers;
    }

    /// How long requests in flight may take once it stops.
    pub fn grace(&self) -> Option<Duration> {
        self.now().grace
    }

    /// Nobody else comes in. Whoever listens there next may have the paths of its sockets.
    pub fn end(&self) {
        let mut now = self.now();
        // First our copies: whoever comes once the workers have closed theirs is to be refused, not to wait in vain.
        now.open.clear();
        self.stop.say();
    }

    /// What is open, for another process to go on with. Nothing changes as long as the offer stands.
    pub fn offer(self: &Arc<Self>, purpose: Purpose) -> io::Result<Offer> {
        let mut now = self.now();
        if self.stop.is_said() || now.is_offered {
            return Err(io::Error::other("the server is about to end"));
        }
        let sockets = now.open.iter().flat_map(|open| open.passed(purpose)).collect::<io::Result<_>>()?;
        now.is_offered = true;
        Ok(Offer { live: Arc::clone(self), sockets })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.now().open.iter().map(|open| open.address.clone()).collect()
    }

    /// The same, with what is shown and what was counted there.
    pub fn listening(&self) -> Vec<ListensAt> {
        self.now().open.iter().map(Open::told).collect()
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
        if now.is_offered {
            return Err(io::Error::other("another process is about to take over, and reads the settings itself"));
        }
        let mut known: Vec<&Open> = now.open.iter().collect();
        let (mut kept, mut opened, mut speak, mut modes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut showing = Showing::before(&now.open);
        for Listener { address, tls, h2, max_connections, timeouts, mode, proxy_protocol } in listeners {
            let newest = if *h2 { Protocol::Http2 } else { Protocol::Http1 };
            let certificates = tls.as_ref().map(|tls| showing.next(tls)).transpose()?;
            let senders = proxy_protocol.as_ref().map(|settings| Arc::new(Senders::of(settings)));
            let room = max_connections.map(|most| Caps::new(most, 0));
            let timeouts = timeouts.clone().map(Arc::new);
            let spoken = Spoken { certificates, newest, senders, room, timeouts, counts: Arc::default() };
            if let Some(at) = known.iter().position(|known| known.asked == *address) {
                let open = known.swap_remove(at);
                speak.push((open.speaks.clone(), spoken));
                kept.push(open.asked.clone());
                if let (ListenAddress::Unix(path), Some(mode)) = (address, mode) {
                    modes.push((path.clone(), *mode));
                }
            } else {
                let manner = Manner { backlog: settings.backlog, ..Manner::of(&self.started, *mode) };
                let mut door = listener::open(address, manner).map_err(|error| cannot_listen(address, &error))?;
                door.spoken = spoken;
                opened.push(door);
            }
        }
        let added: Vec<Open> = opened.into_iter().map(|opened| Open::of(opened, &self.stop)).collect();
        let workers = now.workers.len();
        let entrances =
            (0..workers).map(|worker| open::entrances(&added, worker, workers)).collect::<io::Result<_>>()?;
        let limits = Limits { log_of: self.log_of.clone(), ..Limits::of(settings, server_name) };
        let (live, settings) = (Arc::clone(self), settings.clone());
        Ok(Prepared { live, settings, limits, kept, shown: showing.next, speak, modes, added, entrances })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn needs_restart(&self, settings: &ServerSettings) -> Vec<&'static str> {
        let started = &self.started;
        let keys = [
            ("server.workers", started.workers != settings.workers),
            ("server.backlog", started.backlog != settings.backlog),
            ("server.reuse_port", started.reuse_port != settings.reuse_port),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }
}

impl Prepared {
    /// Makes the change: ready when every worker has, and nobody listens any more at the addresses that are gone.
    pub async fn commit(self) -> Reloaded {
        let Self { live, settings, limits, kept, shown, speak, modes, added, entrances } = self;
        for (path, mode) in modes {
            if let Err(error) = socket_file::permit(&path, mode) {
                log::error!("{} has not got the mode {mode}: {error}", path.display());
            }
        }
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
        let closing: Vec<_> = removed.into_iter().map(Open::close).collect();
        let done = async {
            made.closed().await;
            closed(&closing).await;
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

/// What is listened on, offered to another process. Dropped, it goes on here.
#[must_use = "nobody has taken it yet"]
pub struct Offer {
    live: Arc<Live>,
    sockets: Vec<Passed>,
}

impl Offer {
    /// What there is to take.
    pub fn sockets(&self) -> &[Passed] {
        &self.sockets
    }

    /// Somebody has: ready once nobody else comes in here. What is under way is finished, up to the grace; tunnels may go
    /// on until then.
    pub async fn taken(self) {
        let closing: Vec<_> = {
            let mut now = self.live.now();
            now.open.drain(..).map(Open::leave).collect()
        };
        self.live.stop.say_to_requests();
        closed(&closing).await;
    }
}

/// Ready once no worker has a door of these any more.
async fn closed(doors: &[watch::Sender<()>]) {
    for doors in doors {
        doors.closed().await;
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.live.now().is_offered = false;
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

/// Which address it is about, and why.
pub fn cannot_listen(address: &ListenAddress, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}
