//! The journey of a request and the handle on it. Start reading at [`journey::serve`].

use std::{
    fmt, mem,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

use crate::{
    kinds::Kinds,
    plan::Plan,
    settings::{Problems, Settings},
    telemetry::{access_log::AccessLog, tail::Ears},
};

pub mod builder;
pub mod challenges;
pub mod decision;
mod detached;
mod dispatch;
mod hedge;
pub mod intake;
pub mod journey;
mod mirror;
pub mod mount;
mod outcome;
pub mod outgoing;
pub mod rehearsal;
mod snapshot;
pub(crate) mod worker;

pub use self::{builder::Builder, mount::Mount};
use self::{challenges::Challenges, snapshot::Active, worker::Worker};

/// A reverse proxy: cheap to clone, shared by all workers, swapped as a whole by [`Proxy::reload`].
///
/// It is an actix service: `App::new().default_service(proxy.clone())` gives it what no other handler takes, and
/// `App::new().service(proxy.mount("/legacy"))` what is below a path.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    id: u64,
    kinds: Kinds,
    challenges: Challenges,
    /// Counts the plans: a worker looks at this one number per request, and at the lock only when it moved.
    generation: AtomicU64,
    active: RwLock<Arc<Active>>,
    /// For who is on no request's way and wants to be told.
    plans: watch::Sender<()>,
    /// Somebody looks for endpoints that are not written.
    is_told_of_endpoints: AtomicBool,
}

/// A plan that could be drawn and is not in force.
#[must_use = "nothing changes before it is committed"]
pub struct Prepared {
    proxy: Proxy,
    next: Active,
}

impl Prepared {
    /// What it would do.
    pub fn plan(&self) -> &Plan {
        &self.next.plan
    }

    /// Puts it in force, and gives its number.
    pub fn commit(self) -> u64 {
        let Self { proxy: Proxy(shared), next } = self;
        let next = Arc::new(next);
        // Whoever lets go of the one before does not keep the lock meanwhile.
        let before = mem::replace(&mut *shared.active.write().unwrap_or_else(PoisonError::into_inner), next);
        drop(before);
        let generation = shared.generation.fetch_add(1, Ordering::Release) + 1;
        shared.plans.send_replace(());
        generation
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("id", &self.0.id).finish_non_exhaustive()
    }
}

impl Proxy {
    /// A proxy that is described in code; what it can say is what settings can say.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A proxy that does what the settings say.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn from_settings(settings: Settings) -> Result<Self, Problems> {
        Self::with_kinds(settings, Kinds::built_in())
    }

    /// The same with filters and balancers of one's own.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn with_kinds(settings: Settings, kinds: Kinds) -> Result<Self, Problems> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let plan = Plan::draw(settings, &kinds, None)?;
        plan.warn();
        plan.warn_of_expiry();
        let challenges = Challenges::default();
        let active = Active::of(plan, challenges.clone())?;
        Ok(Self(Arc::new(Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            kinds,
            challenges,
            generation: AtomicU64::new(1),
            active: RwLock::new(Arc::new(active)),
            plans: watch::Sender::new(()),
            is_told_of_endpoints: AtomicBool::new(false),
        })))
    }

    /// Swaps the plan. Requests under way keep the one they started with; endpoints that stay keep their state and
    /// their connections. Files that settings name are read here: not on a worker. Where a server listens, what it
    /// shows there and its limits are its own: see [`Handle::reload`].
    ///
    /// # Errors
    /// Everything that is wrong with the settings; nothing has changed then.
    ///
    /// [`Handle::reload`]: crate::edge::Handle::reload
    pub fn reload(&self, settings: Settings) -> Result<(), Problems> {
        let next = self.prepare(settings)?;
        next.plan().warn_of_expiry();
        next.commit();
        Ok(())
    }

    /// The same in two steps, for whoever has something else to change between them.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn prepare(&self, settings: Settings) -> Result<Prepared, Problems> {
        let before = self.active();
        let plan = Plan::draw(settings, &self.0.kinds, Some(&before.plan))?;
        plan.warn();
        Ok(Prepared { proxy: self.clone(), next: Active::after(plan, &before)? })
    }

    /// The kinds of filters and balancers that its settings can name.
    pub fn kinds(&self) -> &Kinds {
        &self.0.kinds
    }

    /// Counts the plans that were in force so far, this one included.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// What it does now.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.active().plan)
    }

    /// Tells of every plan that comes into force, and of endpoints that came or are gone.
    pub fn plans(&self) -> watch::Receiver<()> {
        self.0.plans.subscribe()
    }

    /// Where it writes a line for each request, if it does.
    pub fn access_log(&self) -> Option<AccessLog> {
        self.active().log.clone()
    }

    /// Who wants to know how requests end that begin now, on this thread.
    pub(crate) fn ears(&self) -> Ears {
        Worker::here(self).ears()
    }

    /// What directories of certificates are told that ask for it; it stays as it is over a reload.
    pub fn challenges(&self) -> &Challenges {
        &self.0.challenges
    }

    /// Takes every request below a path of an `App`, whole: routes see the path as the client wrote it.
    pub fn mount(&self, path: &str) -> Mount {
        Mount::new(self.clone(), path)
    }

    /// Somebody looks for endpoints that are not written: requests wait until something is known of them.
    pub(crate) fn will_be_told_of_endpoints(&self) {
        self.0.is_told_of_endpoints.store(true, Ordering::Relaxed);
    }

    /// An upstream of the plan has others than before.
    pub(crate) fn has_other_endpoints(&self) {
        self.0.plans.send_replace(());
    }

    fn active(&self) -> Arc<Active> {
        Arc::clone(&self.0.active.read().unwrap_or_else(PoisonError::into_inner))
    }
}
