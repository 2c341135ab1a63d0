//! What one worker has for itself: its copy of the plan and its connections to endpoints.

use std::{
    cell::{OnceCell, RefCell},
    rc::{Rc, Weak},
    sync::atomic::Ordering,
    time::Instant,
};

use super::{Proxy, snapshot::Snapshot};
use crate::{
    telemetry::{
        metrics::{Ledger, Recorder},
        tail::Ears,
    },
    transport::{awc::AwcTransport, own::Own},
};

/// One proxy on one thread. All services of the proxy on this thread share it, however many listeners there are.
pub struct Worker {
    proxy: Proxy,
    snapshot: RefCell<(u64, Rc<Snapshot>)>,
    /// Connections to endpoints.
    pub own: Own,
    awc: OnceCell<AwcTransport>,
    recorder: OnceCell<Rc<Recorder>>,
    /// Some time before now; for exchanges whose times nobody reads.
    pub born: Instant,
}

thread_local! {
    static WORKERS: RefCell<Vec<(u64, Weak<Worker>)>> = const { RefCell::new(Vec::new()) };
}

impl Worker {
    /// This thread's worker of the proxy.
    pub fn here(proxy: &Proxy) -> Rc<Self> {
        WORKERS.with_borrow_mut(|workers| {
            workers.retain(|(_, worker)| worker.strong_count() > 0);
            let known = workers.iter().find(|(id, _)| *id == proxy.0.id).and_then(|(_, worker)| worker.upgrade());
            known.unwrap_or_else(|| {
                let worker = Rc::new(Self::new(proxy.clone()));
                workers.push((proxy.0.id, Rc::downgrade(&worker)));
                worker
            })
        })
    }

    fn new(proxy: Proxy) -> Self {
        let generation = proxy.0.generation.load(Ordering::Acquire);
        let snapshot = RefCell::new((generation, Rc::new(Snapshot(proxy.active()))));
        Self { proxy, snapshot, own: Own::new(), awc: OnceCell::new(), recorder: OnceCell::new(), born: Instant::now() }
    }

    /// This worker, for a task of its own.
    pub fn shared(&self) -> Rc<Self> {
        Self::here(&self.proxy)
    }

    /// The plan as of now, to be kept for the whole journey. One atomic load, unless there is a new plan; the copy
    /// is counted on this thread alone.
    pub fn snapshot(&self) -> Rc<Snapshot> {
        let generation = self.proxy.0.generation.load(Ordering::Acquire);
        let mut snapshot = self.snapshot.borrow_mut();
        if snapshot.0 != generation {
            *snapshot = (generation, Rc::new(Snapshot(self.proxy.active())));
        }
        Rc::clone(&snapshot.1)
    }

    /// Who wants to know how requests end that begin now.
    pub fn ears(&self) -> Ears {
        let active = self.snapshot();
        let recorder = active.is_measured().then(|| Rc::clone(self.recorder(&active.plan.ledger)));
        Ears { log: active.log.clone(), recorder }
    }

    /// The counts of this worker: the ledger is the same in every plan.
    fn recorder(&self, ledger: &Ledger) -> &Rc<Recorder> {
        self.recorder.get_or_init(|| ledger.recorder())
    }

    /// Somebody looks for endpoints that are not written.
    pub fn is_told_of_endpoints(&self) -> bool {
        self.proxy.0.is_told_of_endpoints.load(Ordering::Relaxed)
    }

    /// The awc client, made when the first upstream asks for it.
    pub fn awc(&self) -> &AwcTransport {
        self.awc.get_or_init(AwcTransport::new)
    }
}
