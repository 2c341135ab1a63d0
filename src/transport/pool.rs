//! Connections kept for the next request: per worker and endpoint, last in first out.
//!
//! What has just been used is used next, so that what is not needed grows old and goes. Each open connection holds one
//! of the endpoint's permits, idle or not: `max_total` is what the endpoint will see, over all workers.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    pin::pin,
    rc::{Rc, Weak},
    sync::{
        Arc, Weak as SharedWeak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    time::{sleep, timeout_at},
};

use super::{
    Cause, Phase, Target,
    dial::{Offer, Stream, dial},
    spare,
};
use crate::{
    clock::{self, Deadline},
    prefetch,
};

/// Limits on the connections to one endpoint.
pub struct Limits {
    /// Idle connections kept per worker.
    pub max_idle: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
    /// How old a connection may get.
    pub lifetime: Duration,
    /// Connections in all, over all workers; a permit each.
    pub total: Arc<Semaphore>,
    /// How many requests may wait for a permit, over all workers.
    pub max_queue: usize,
    /// How many wait now.
    pub queued: AtomicU64,
    /// Tells the workers that somebody waits, and an idle connection is to be given up.
    pub wanted: Arc<Notify>,
}

/// The endpoint is gone: those who look after its connections close them at once.
impl Drop for Limits {
    fn drop(&mut self) {
        self.wanted.notify_waiters();
    }
}

/// One connection to an endpoint, with what it keeps from exchange to exchange.
pub struct Connection {
    /// The socket.
    pub stream: Stream,
    /// The one deadline of whatever happens on it.
    pub deadline: Deadline,
    /// It has carried an exchange before.
    pub reused: bool,
    /// By the coarse clock, like `idle_since`.
    born: Duration,
    /// What it began with: whose it is, if an endpoint is told.
    preamble: Option<Rc<[u8]>>,
    idle_since: Duration,
    permit: OwnedSemaphorePermit,
}

/// Which connection will do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Want<'r> {
    /// One that began with this, and no other.
    pub preamble: Option<&'r Rc<[u8]>>,
    /// One that has carried nothing before.
    pub fresh: bool,
}

/// All of one worker's connections, endpoint by endpoint.
pub struct Shelves<S>(RefCell<HashMap<u64, Rc<S>, foldhash::fast::RandomState>>);

/// All of one worker's idle connections of HTTP/1.1.
pub type Pool = Shelves<Shelf>;

/// What is swept now and then: connections to one endpoint.
pub trait Swept: spare::Keeps {
    /// Drops what is not to be kept. Says when to look again.
    fn sweep(&self) -> Duration;

    /// There is nothing to look after.
    fn is_empty(&self) -> bool;

    /// The endpoint is gone from the settings.
    fn is_abandoned(&self) -> bool;

    /// Somebody looks after it.
    fn is_reaped(&self) -> &Cell<bool>;
}

/// The idle connections to one endpoint.
pub struct Shelf {
    /// Gone once a reload has taken the endpoint away: then nothing is kept any more.
    limits: SharedWeak<Limits>,
    /// The oldest in front.
    idle: RefCell<VecDeque<Box<Connection>>>,
    /// Those who wait, by their tickets.
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<Box<Connection>>>>,
    next_ticket: Cell<u64>,
    is_reaped: Cell<bool>,
}

/// How often idle connections are looked after.
pub const SWEEP: Duration = Duration::from_secs(5);
/// The least there is between two looks.
pub const SHORTEST_SWEEP: Duration = Duration::from_millis(10);

impl<S: Swept> Shelves<S> {
    /// The shelf of an endpoint.
    pub fn of(&self, target: &Target, new: impl FnOnce() -> S) -> Rc<S> {
        let mut shelves = self.0.borrow_mut();
        if let Some(known) = shelves.get(&target.id) {
            return Rc::clone(known);
        }
        let shelf = Rc::new(new());
        shelves.insert(target.id, Rc::clone(&shelf));
        // An endpoint that is gone from the settings leaves an empty shelf behind.
        if shelves.len() > 64 && shelves.len().is_power_of_two() {
            shelves.retain(|_, shelf| !shelf.is_abandoned());
        }
        shelf
    }
}

impl<S> Default for Shelves<S> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl Pool {
    /// The shelf of an endpoint.
    pub fn shelf(&self, target: &Target) -> Rc<Shelf> {
        self.of(target, || Shelf::new(&target.pool))
    }
}

impl Want<'_> {
    /// What is kept may be of no use.
    fn is_particular(self) -> bool {
        self.fresh || self.preamble.is_some()
    }
}

impl Shelf {
    fn new(limits: &Arc<Limits>) -> Self {
        Self {
            limits: Arc::downgrade(limits),
            idle: RefCell::default(),
            waiting: RefCell::default(),
            next_ticket: Cell::new(0),
            is_reaped: Cell::new(false),
        }
    }

    /// A connection that was used before and is still good, if there is one. No system call, unless something was
    /// heard from it meanwhile.
    pub fn take(&self, limits: &Limits, preamble: Option<&[u8]>) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return None;
        }
        let now = clock::coarse();
        while let Some(mut connection) = take_last(&mut idle, preamble) {
            if connection.is_fresh(limits, now) && connection.is_quiet() {
                // Where many are under way it has not been touched for a while, and is asked for soon.
                if let Some(next) = idle.back() {
                    prefetch::value(&**next);
                }
                return Some(connection);
            }
        }
        None
    }

    /// A connection, used before unless it must be fresh, or new, within the limit; a wait for a permit counts.
    ///
    /// # Errors
    /// How far it came and why no further.
    pub async fn connection(
        &self,
        target: &Target,
        limit: Option<Duration>,
        want: Want<'_>,
    ) -> Result<Box<Connection>, (Phase, Cause)> {
        // What is too far away to be counted is no limit.
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let within = |phase| (phase, Cause::Timeout(limit.unwrap_or_default()));
        let free = Arc::clone(&target.pool.total).try_acquire_owned().ok();
        // What a kept one counts for is worth a new one, too.
        let kept = || if want.is_particular() { self.idle.borrow_mut().pop_front() } else { None };
        let permit = match free.or_else(|| kept().map(|kept| kept.permit)) {
            Some(permit) => permit,
            None => match by(until, self.turn(&target.pool)).await {
                None => return Err(within(Phase::Queue)),
                Some(Turn::Connection(mut connection)) => {
                    if connection.is(want) && connection.is_quiet() {
                        return Ok(connection);
                    }
                    // Closed since, or not wanted: what it counted for is worth another one.
                    connection.permit
                }
                Some(Turn::Permit(permit)) => permit,
                Some(Turn::Full) => return Err((Phase::Queue, Cause::Full)),
            },
        };
        let phase = Cell::new(Phase::Resolve);
        let preamble = want.preamble.map(|preamble| &**preamble);
        match by(until, dial(target, Offer::Http1, preamble, &phase)).await {
            None => Err(within(phase.get())),
            Some(Ok(stream)) => Ok(Box::new(Connection::new(stream, want.preamble.cloned(), permit))),
            Some(Err(error)) => Err((phase.get(), Cause::Io(error))),
        }
    }

    /// Waits for a permit, or for a connection that comes back on this worker.
    async fn turn(&self, limits: &Limits) -> Turn {
        let Some(_queued) = Queued::enter(limits) else { return Turn::Full };
        let (_place, given) = self.queue_up();
        limits.wanted.notify_waiters();
        tokio::select! {
            biased;
            Ok(connection) = given => Turn::Connection(connection),
            Ok(permit) = Arc::clone(&limits.total).acquire_owned() => Turn::Permit(permit),
            else => Turn::Full,
        }
    }

    fn queue_up(&self) -> (Place<'_>, oneshot::Receiver<Box<Connection>>) {
        let ticket = self.next_ticket.replace(self.next_ticket.get() + 1);
        let (give, given) = oneshot::channel();
        self.waiting.borrow_mut().insert(ticket, give);
        (Place { shelf: self, ticket }, given)
    }

    /// Takes a connection back after a complete exchange.
    pub fn put(self: &Rc<Self>, mut connection: Box<Connection>) {
        connection.reused = true;
        connection.deadline.rest();
        self.put_new(connection);
    }

    /// Takes a connection that has carried nothing yet.
    pub fn put_new(self: &Rc<Self>, mut connection: Box<Connection>) {
        while let Some((_, waiting)) = self.waiting.borrow_mut().pop_first() {
            // Whoever gave up waiting sends it on to the next.
            match waiting.send(connection) {
                Ok(()) => return,
                Err(back) => connection = back,
            }
        }
        let Some(limits) = self.limits.upgrade() else { return };
        // Somebody on another worker waits: the permit is worth more there.
        if limits.queued.load(Ordering::Relaxed) > 0 || limits.max_idle == 0 {
            return;
        }
        connection.idle_since = clock::coarse();
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= limits.max_idle {
            idle.pop_front();
        }
        idle.push_back(connection);
        if !self.is_reaped.replace(true) {
            actix_rt::spawn(reap(Reaped::of(self), Arc::clone(&limits.wanted)));
        }
    }

    /// Drops all idle connections: one of them turned out to be closed, and the others were kept as long.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}

impl Swept for Shelf {
    /// Drops what is too old or was closed by the endpoint, and one more for each request that waits elsewhere. Says
    /// when to look again.
    fn sweep(&self) -> Duration {
        let now = clock::coarse();
        let mut idle = self.idle.borrow_mut();
        let Some(limits) = self.limits.upgrade() else {
            idle.clear();
            return SWEEP;
        };
        idle.retain_mut(|connection| connection.is_fresh(&limits, now) && connection.is_quiet());
        let wanted = usize::try_from(limits.queued.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let given_up = wanted.min(idle.len());
        idle.drain(..given_up);
        let oldest = idle.front().map_or(SWEEP, |oldest| (oldest.idle_since + limits.idle).saturating_sub(now));
        oldest.clamp(SHORTEST_SWEEP, SWEEP)
    }

    fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty()
    }

    fn is_abandoned(&self) -> bool {
        self.limits.strong_count() == 0
    }

    fn is_reaped(&self) -> &Cell<bool> {
        &self.is_reaped
    }
}

impl spare::Keeps for Shelf {
    fn idle_since(&self, all: &mut Vec<Duration>) {
        all.extend(self.idle.borrow().iter().map(|connection| connection.idle_since));
    }

    fn give_up(&self, since: Duration, most: usize) -> usize {
        let mut idle = self.idle.borrow_mut();
        // The oldest are in front.
        let old = idle.iter().take(most).take_while(|connection| connection.idle_since <= since).count();
        idle.drain(..old);
        old
    }
}

/// The one used last of those that began so. Where nothing is said first, any will do.
fn take_last(idle: &mut VecDeque<Box<Connection>>, preamble: Option<&[u8]>) -> Option<Box<Connection>> {
    if preamble.is_none() {
        return idle.pop_back();
    }
    let place = idle.iter().rposition(|connection| connection.preamble.as_deref() == preamble)?;
    idle.remove(place)
}

/// Looks after a shelf until there was nothing on it when its time had come. Not before: between two requests a busy
/// shelf is empty as often as not, and would have a new task for each.
pub async fn reap<S: Swept>(reaped: Reaped<S>, wanted: Arc<Notify>) {
    loop {
        let mut wanted = pin!(wanted.notified());
        // From here on no call is missed, also one that comes while we sweep.
        wanted.as_mut().enable();
        let Some(next) = reaped.shelf.upgrade().map(|shelf| shelf.sweep()) else { return };
        tokio::select! {
            () = wanted => {}
            () = sleep(next) => {
                if reaped.shelf.upgrade().is_none_or(|shelf| shelf.is_empty()) {
                    return;
                }
            }
        }
    }
}

/// Says that nobody looks after the shelf any more, also when the runtime is dropped under it. Until then there may be
/// something on it that can be given up.
pub struct Reaped<S: Swept> {
    shelf: Weak<S>,
    _known: spare::Known,
}

impl<S: Swept + 'static> Reaped<S> {
    /// Of this shelf.
    pub fn of(shelf: &Rc<S>) -> Self {
        let shelf = Rc::downgrade(shelf);
        let keeper: Weak<dyn spare::Keeps> = shelf.clone();
        Self { shelf, _known: spare::know(keeper) }
    }
}

impl<S: Swept> Drop for Reaped<S> {
    fn drop(&mut self) {
        if let Some(shelf) = self.shelf.upgrade() {
            shelf.is_reaped().set(false);
        }
    }
}

/// A place among those who wait on this worker. Whoever leaves takes it along: no connection may ever come back here.
struct Place<'s> {
    shelf: &'s Shelf,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shelf.waiting.borrow_mut().remove(&self.ticket);
    }
}

enum Turn {
    Permit(OwnedSemaphorePermit),
    Connection(Box<Connection>),
    Full,
}

/// A place in the queue, given up when dropped.
pub struct Queued<'l>(&'l Limits);

impl<'l> Queued<'l> {
    /// A place, if there is one.
    pub fn enter(limits: &'l Limits) -> Option<Self> {
        if limits.queued.fetch_add(1, Ordering::Relaxed) >= limits.max_queue as u64 {
            limits.queued.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(limits))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// One that has just been made, and begins with this.
    pub fn new(stream: Stream, preamble: Option<Rc<[u8]>>, permit: OwnedSemaphorePermit) -> Self {
        let now = clock::coarse();
        Self { stream, deadline: Deadline::new(), reused: false, born: now, preamble, idle_since: now, permit }
    }

    fn is(&self, want: Want<'_>) -> bool {
        !want.fresh && self.preamble.as_deref() == want.preamble.map(|preamble| &**preamble)
    }

    fn is_fresh(&self, limits: &Limits, now: Duration) -> bool {
        now.saturating_sub(self.idle_since) < limits.idle && now.saturating_sub(self.born) < limits.lifetime
    }

    /// Nothing was heard from the endpoint since the last exchange. Whatever it says unasked, a connection that says
    /// it is not used again.
    fn is_quiet(&mut self) -> bool {
        self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// The socket, and the permit that it holds, for something else than HTTP.
    pub fn into_stream(self) -> (Stream, OwnedSemaphorePermit) {
        (self.stream, self.permit)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("stream", &self.stream).field("reused", &self.reused).finish_non_exhaustive()
    }
}

/// Waits until then at most; without a limit for ever.
pub async fn by<F: Future>(until: Option<Instant>, future: F) -> Option<F::Output> {
    match until {
        Some(until) => timeout_at(until.into(), future).await.ok(),
        None => Some(future.await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        settings::upstream::{EndpointHttp2, Protocol},
        transport::Address,
    };

    fn target(total: usize) -> Target {
        Target {
            address: Address::Tcp { host: "127.0.0.1".into(), port: 9 },
            tls: None,
            proxy_protocol: None,
            authority: "origin".into(),
            protocol: Protocol::Auto,
            h2: EndpointHttp2::default(),
            http1_until: AtomicU64::new(0),
            id: 1,
            pool: Arc::new(Limits {
                max_idle: 8,
                idle: SWEEP,
                lifetime: SWEEP,
                total: Arc::new(Semaphore::new(total)),
                max_queue: 8,
                queued: AtomicU64::new(0),
                wanted: Arc::default(),
            }),
        }
    }

    #[actix_rt::test]
    async fn who_gives_up_waiting_leaves_nothing_behind() {
        let target = target(0);
        let shelf = Pool::default().shelf(&target);

        for _ in 0..3 {
            let waited = shelf.connection(&target, Some(Duration::from_millis(1)), Want::default()).await;
            assert!(matches!(waited, Err((Phase::Queue, Cause::Timeout(_)))), "{waited:?}");
        }

        assert_eq!(shelf.waiting.borrow().len(), 0);
        assert_eq!(target.pool.queued.load(Ordering::Relaxed), 0);
    }

    #[actix_rt::test]
    async fn what_is_kept_goes_with_its_endpoint() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let target = Target { address: Address::Tcp { host: "127.0.0.1".into(), port }, ..target(1) };
        let shelf = Pool::default().shelf(&target);
        let connection = shelf.connection(&target, None, Want::default()).await.expect("it listens");
        shelf.put(connection);
        shelf.sweep();
        assert_eq!(shelf.idle.borrow().len(), 1);

        drop(target);
        shelf.sweep();

        assert_eq!(shelf.idle.borrow().len(), 0);
    }

    #[actix_rt::test]
    async fn who_is_handed_a_connection_that_has_closed_makes_another() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let target = Target { address: Address::Tcp { host: "127.0.0.1".into(), port }, ..target(1) };
        let shelf = Pool::default().shelf(&target);
        let mut held = shelf.connection(&target, None, Want::default()).await.expect("it listens");
        drop(listener.accept().await.expect("it connected"));
        while held.is_quiet() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }

        let handing = async { shelf.put(held) };
        let (handed, ()) = futures_util::future::join(shelf.connection(&target, None, Want::default()), handing).await;

        assert!(!handed.expect("it listens").reused);
    }

    #[actix_rt::test]
    async fn who_must_have_a_new_connection_takes_the_place_of_a_kept_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let target = Target { address: Address::Tcp { host: "127.0.0.1".into(), port }, ..target(1) };
        let shelf = Pool::default().shelf(&target);
        let kept = shelf.connection(&target, None, Want::default()).await.expect("it listens");
        shelf.put(kept);

        let connection =
            shelf.connection(&target, None, Want { fresh: true, ..Want::default() }).await.expect("it listens");

        assert!(!connection.reused);
        assert_eq!(shelf.idle.borrow().len(), 0);
    }
}
