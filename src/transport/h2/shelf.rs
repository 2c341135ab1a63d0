//! Connections to one endpoint: which of them takes the next request, when another one is made, and who waits.
//!
//! The first connection with room takes it, so that those which are not needed grow idle and go. Many requests at once
//! wait for as few new connections as can carry them.

use std::{
    cell::{Cell, RefCell},
    mem,
    rc::{Rc, Weak},
    sync::{Arc, Weak as SharedWeak, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    failure::Failure,
    link::{self, Link},
    waiting::{For, News, Waiting},
};
use crate::{
    clock,
    settings::upstream::Protocol,
    transport::{
        Cause, Phase, Target,
        dial::{Offer, dial},
        pool::{self, Connection, Limits, Queued, Reaped, SHORTEST_SWEEP, SWEEP, Swept, by},
        spare,
    },
};

/// The connections of one worker to one endpoint.
pub struct Shelf {
    /// Gone once a reload has taken the endpoint away: then nothing is kept any more.
    limits: SharedWeak<Limits>,
    /// The oldest in front.
    links: RefCell<Vec<Rc<Link>>>,
    waiting: Waiting,
    /// Connections that are being made, and how far the latest has come.
    dialing: Cell<usize>,
    phase: Cell<Phase>,
    /// Requests that a new connection is expected to carry: what the last one could.
    expected: Cell<usize>,
    /// How many of those who wait for a permit do so here.
    queued_here: Cell<u64>,
    is_reaped: Cell<bool>,
}

/// Room for one request on a connection.
pub struct Place {
    pub link: Rc<Link>,
    shelf: Weak<Shelf>,
}

/// What was found for a request.
pub enum Found {
    /// Room on a connection of HTTP/2.
    Place(Place),
    /// The endpoint has chosen HTTP/1.1, on this connection if it was made for this request.
    Http1(Option<Box<Connection>>),
}

impl Shelf {
    /// For this endpoint.
    pub fn new(target: &Target) -> Self {
        Self {
            limits: Arc::downgrade(&target.pool),
            links: RefCell::default(),
            waiting: Waiting::default(),
            dialing: Cell::new(0),
            phase: Cell::new(Phase::Connect),
            expected: Cell::new(target.h2.max_streams as usize),
            queued_here: Cell::new(0),
            is_reaped: Cell::new(false),
        }
    }

    /// Room on a connection, within the limit. A fresh one has carried nothing before; where no other can be made, one
    /// that has will do.
    ///
    /// # Errors
    /// How far it came and why no further.
    pub async fn find(
        self: &Rc<Self>,
        target: &Target,
        limit: Option<Duration>,
        fresh: bool,
    ) -> Result<Found, (Phase, Cause)> {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let within = |phase| (phase, Cause::Timeout(limit.unwrap_or_default()));
        loop {
            if let Some(place) = self.room(&target.pool, fresh) {
                return Ok(Found::Place(place));
            }
            if self.is_enough_on_its_way() {
                let (_ticket, given) = self.waiting.queue_up(For::Dial);
                match by(until, given).await {
                    None => return Err(within(self.phase.get())),
                    Some(Ok(News::Place(place))) => return Ok(Found::Place(place)),
                    Some(Ok(News::Http1)) => return Ok(Found::Http1(None)),
                    Some(Ok(News::Failed(phase, failure))) => return Err((phase, failure.told())),
                    Some(Ok(News::Otherwise) | Err(_)) => continue,
                }
            }
            let permit = match Arc::clone(&target.pool.total).try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => match self.room(&target.pool, false) {
                    Some(place) => return Ok(Found::Place(place)),
                    None => match by(until, self.turn(&target.pool)).await {
                        None => return Err(within(Phase::Queue)),
                        Some(Ok(Turn::Place(place))) => return Ok(Found::Place(place)),
                        Some(Ok(Turn::Permit(permit))) => permit,
                        Some(Err(full)) => return Err((Phase::Queue, full)),
                    },
                },
            };
            return match by(until, self.dial(target, permit)).await {
                None => Err(within(self.phase.get())),
                Some(found) => found.map_err(|(phase, failure)| (phase, failure.told())),
            };
        }
    }

    /// Room on a connection that is there.
    fn room(self: &Rc<Self>, limits: &Limits, fresh: bool) -> Option<Place> {
        let now = clock::coarse();
        self.links.borrow_mut().retain(|link| !link.is_over(limits, now));
        let links = self.links.borrow();
        let fits = |link: &&Rc<Link>| !(fresh && link.is_proven.get()) && link.has_room(limits, now);
        links.iter().find(fits).map(|link| Place::on(link, self))
    }

    /// Those who make connections, those who wait for them and one more will have room on them.
    fn is_enough_on_its_way(&self) -> bool {
        let dialing = self.dialing.get();
        dialing.saturating_mul(self.expected.get()) > dialing + self.waiting.for_dial()
    }

    /// Waits for a permit, or for room on a connection of this worker.
    async fn turn(&self, limits: &Limits) -> Result<Turn, Cause> {
        let _queued = Queued::enter(limits).ok_or(Cause::Full)?;
        let _here = QueuedHere::enter(self);
        let (_ticket, given) = self.waiting.queue_up(For::Permit);
        limits.wanted.notify_waiters();
        tokio::select! {
            biased;
            Ok(News::Place(place)) = given => Ok(Turn::Place(place)),
            Ok(permit) = Arc::clone(&limits.total).acquire_owned() => Ok(Turn::Permit(permit)),
            else => Err(Cause::Full),
        }
    }

    /// Makes a connection. Whoever waits for it learns what becomes of it, also if this is dropped halfway.
    async fn dial(self: &Rc<Self>, target: &Target, permit: OwnedSemaphorePermit) -> Result<Found, (Phase, Failure)> {
        let mut dialing = Dialing::begin(self);
        match self.connect(target, permit).await {
            Ok(Found::Http1(connection)) => {
                dialing.end = End::Http1;
                Ok(Found::Http1(connection))
            }
            Ok(found) => Ok(found),
            Err(failure) => {
                dialing.end = End::Failed(failure.clone());
                Err((self.phase.get(), failure))
            }
        }
    }

    async fn connect(self: &Rc<Self>, target: &Target, permit: OwnedSemaphorePermit) -> Result<Found, Failure> {
        let offer = if target.protocol == Protocol::Auto { Offer::Either } else { Offer::Http2 };
        let socket = dial(target, offer, None, &self.phase).await?;
        if offer == Offer::Either && !socket.speaks_http2() {
            target.note_http1();
            return Ok(Found::Http1(Some(Box::new(Connection::new(socket, None, permit)))));
        }
        self.phase.set(Phase::Handshake);
        let (link, driver) = link::greet(socket, &target.h2).await?;
        let link = Rc::new(link);
        self.expected.set(link.most().max(1));
        actix_rt::spawn(driver.run(Rc::downgrade(&link), Rc::downgrade(self), permit));
        self.links.borrow_mut().push(Rc::clone(&link));
        let place = Place::on(&link, self);
        if let Some(limits) = self.limits.upgrade() {
            self.serve(&link, &limits);
            self.look_after(&limits);
        }
        Ok(Found::Place(place))
    }

    /// Gives what room there is to those who wait.
    fn serve(self: &Rc<Self>, link: &Rc<Link>, limits: &Limits) {
        while link.has_room(limits, clock::coarse()) {
            let Some(first) = self.waiting.first() else { return };
            // Nobody leaves between the two: all of this is on one thread.
            let _ = first.send(News::Place(Place::on(link, self)));
        }
    }

    /// A request has ended on this connection.
    fn is_free(self: &Rc<Self>, link: &Rc<Link>) {
        let now = clock::coarse();
        if link.is_idle() {
            link.idle_since.set(now);
        }
        let Some(limits) = self.limits.upgrade() else { return self.drop_idle(link) };
        self.serve(link, &limits);
        // The permit is worth more there.
        if self.queued_elsewhere(&limits) > 0 {
            link.retire();
        }
        let idle = self.links.borrow().iter().filter(|link| link.is_idle()).count();
        if idle > limits.max_idle || link.is_over(&limits, now) {
            self.drop_idle(link);
        }
    }

    /// How many wait for a permit on other workers.
    fn queued_elsewhere(&self, limits: &Limits) -> u64 {
        limits.queued.load(Ordering::Relaxed).saturating_sub(self.queued_here.get())
    }

    fn drop_idle(&self, link: &Rc<Link>) {
        if link.is_idle() {
            self.forget(link);
        }
    }

    /// The connection is gone, or is to go.
    pub fn forget(&self, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        let forgotten = links.iter().position(|known| Rc::ptr_eq(known, link)).map(|at| links.remove(at));
        drop(links);
        drop(forgotten);
    }

    fn look_after(self: &Rc<Self>, limits: &Limits) {
        if !self.is_reaped.replace(true) {
            actix_rt::spawn(pool::reap(Reaped::of(self), Arc::clone(&limits.wanted)));
        }
    }
}

impl Swept for Shelf {
    /// Drops what is idle for too long, too old or closed, and one more for each request that waits elsewhere.
    fn sweep(&self) -> Duration {
        let now = clock::coarse();
        let limits = self.limits.upgrade();
        let mut wanted = limits.as_ref().map_or(0, |limits| self.queued_elsewhere(limits));
        let mut kept = mem::take(&mut *self.links.borrow_mut());
        kept.retain(|link| {
            let is_idle = link.is_idle();
            let stays = !is_idle || limits.as_ref().is_some_and(|limits| wanted == 0 && !link.is_over(limits, now));
            wanted = wanted.saturating_sub(u64::from(is_idle && !stays));
            stays
        });
        let idle = kept.iter().filter(|link| link.is_idle());
        let until = |idle: &Rc<Link>| (idle.idle_since.get() + limits.as_ref()?.idle).checked_sub(now);
        let next = idle.filter_map(until).min().unwrap_or(SWEEP);
        *self.links.borrow_mut() = kept;
        next.clamp(SHORTEST_SWEEP, SWEEP)
    }

    fn is_empty(&self) -> bool {
        self.links.borrow().is_empty()
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
        all.extend(self.links.borrow().iter().filter(|link| link.is_idle()).map(|link| link.idle_since.get()));
    }

    fn give_up(&self, since: Duration, most: usize) -> usize {
        let mut left = most;
        self.links.borrow_mut().retain(|link| {
            let goes = left > 0 && link.is_idle() && link.idle_since.get() <= since;
            left -= usize::from(goes);
            !goes
        });
        most - left
    }
}

impl Place {
    fn on(link: &Rc<Link>, shelf: &Rc<Shelf>) -> Self {
        link.open.set(link.open.get() + 1);
        Self { link: Rc::clone(link), shelf: Rc::downgrade(shelf) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.link.open.set(self.link.open.get() - 1);
        if let Some(shelf) = self.shelf.upgrade() {
            shelf.is_free(&self.link);
        }
    }
}

enum Turn {
    Permit(OwnedSemaphorePermit),
    Place(Place),
}

/// Counts one who waits for a permit here.
struct QueuedHere<'s>(&'s Shelf);

impl<'s> QueuedHere<'s> {
    fn enter(shelf: &'s Shelf) -> Self {
        shelf.queued_here.set(shelf.queued_here.get() + 1);
        Self(shelf)
    }
}

impl Drop for QueuedHere<'_> {
    fn drop(&mut self) {
        self.0.queued_here.set(self.0.queued_here.get() - 1);
    }
}

/// A connection that is being made.
struct Dialing<'s> {
    shelf: &'s Shelf,
    end: End,
}

/// What became of it, for those who wait.
enum End {
    /// It is there, or nobody makes it any more: whoever has no place yet looks again.
    Otherwise,
    Http1,
    Failed(Failure),
}

impl<'s> Dialing<'s> {
    fn begin(shelf: &'s Shelf) -> Self {
        shelf.dialing.set(shelf.dialing.get() + 1);
        shelf.phase.set(Phase::Resolve);
        Self { shelf, end: End::Otherwise }
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        let others = self.shelf.dialing.get() - 1;
        self.shelf.dialing.set(others);
        let phase = self.shelf.phase.get();
        match &self.end {
            End::Otherwise => self.shelf.waiting.tell(|| News::Otherwise),
            End::Http1 => self.shelf.waiting.tell(|| News::Http1),
            // As long as others may have more luck.
            End::Failed(_) if others > 0 => {}
            End::Failed(failure) => self.shelf.waiting.tell(|| News::Failed(phase, failure.clone())),
        }
    }
}
