//! Certificates that a directory gives us: asked for when there is none, renewed before they end (docs/adr/0013-acme.md).
//!
//! What is given is written to a file that the plan names, and shown like any other file of certificates that changes.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, SystemTime},
};

use tokio::{task::JoinHandle, time::sleep};

use self::{
    order::{Answers, OrderError, obtain},
    store::Store,
    timing::{due, earlier, pause, random},
};
use super::Ask;
use crate::{
    edge::Handle,
    plan::{Plan, acme},
    proxy::Proxy,
    settings::tls::AcmeSettings,
    transport::tls::identity::Identity,
};

mod directory;
mod order;
mod store;
mod timing;

/// However long a certificate holds, its file is looked at as often: somebody else may have renewed it.
const LOOK: Duration = Duration::from_secs(3600);
/// How often it is tried to be the one who asks a directory.
const TURN: Duration = Duration::from_secs(5);

/// Those who see to a certificate each, by the name that the settings give it.
#[derive(Debug, Default)]
pub struct Keepers(HashMap<String, Keeper>);

#[derive(Debug)]
struct Keeper {
    settings: AcmeSettings,
    task: JoinHandle<()>,
}

/// A copy begins without any.
impl Clone for Keepers {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keepers {
    /// As many as the plan in force asks for, each by its own words; those who are at it already go on.
    pub fn follow(&mut self, plan: &Plan, proxy: &Proxy, server: &Handle, ask: &Ask) {
        let shown = plan.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let wanted: HashMap<_, _> =
            shown.filter_map(|tls| Some((tls.name.clone(), tls.settings.acme.clone()?))).collect();
        self.0.retain(|name, keeper| wanted.get(name) == Some(&keeper.settings));
        for (name, settings) in wanted {
            self.0.entry(name).or_insert_with_key(|name| {
                let keeping = Keeping {
                    name: name.clone(),
                    settings: settings.clone(),
                    proxy: proxy.clone(),
                    server: server.clone(),
                    ask: ask.clone(),
                };
                let begin = move || keeping.clone().run();
                Keeper { settings, task: actix_rt::spawn(super::supervise("keeping a certificate", begin)) }
            });
        }
    }
}

/// One certificate, and whom to tell of it.
#[derive(Clone)]
struct Keeping {
    name: String,
    settings: AcmeSettings,
    proxy: Proxy,
    server: Handle,
    ask: Ask,
}

impl Keeping {
    /// As long as the settings ask for it.
    async fn run(self) {
        let store = Store::of(&self.name, &self.settings);
        let (mut failures, mut was_refused) = (0, false);
        loop {
            self.until_due().await;
            match self.renew(&store).await {
                Ok(()) => {
                    failures = 0;
                    // Whoever has written it, it is to be shown.
                    self.ask.for_certificates();
                }
                Err(error) => {
                    if was_refused != error.is_refusal() {
                        (failures, was_refused) = (0, error.is_refusal());
                    }
                    let pause = pause(was_refused, failures, random());
                    failures += 1;
                    log::warn!("{self}: {}; the next try is in {} s", error.in_full(), pause.as_secs());
                    sleep(pause).await;
                }
            }
        }
    }

    /// Returns when there is none, or it is time for another one: clocks are looked at from time to time.
    async fn until_due(&self) {
        let mut early = None;
        while let Some(wait) = self.due().and_then(|due| due.duration_since(SystemTime::now()).ok()) {
            let early = *early.get_or_insert_with(|| earlier(wait, random()));
            match wait.checked_sub(early) {
                Some(wait) if !wait.is_zero() => sleep(wait.min(LOOK)).await,
                _ => return,
            }
        }
    }

    /// When the one there is has to be renewed; `None` if there is none that covers what is asked for.
    fn due(&self) -> Option<SystemTime> {
        let stored = acme::stored(&self.name, &self.settings).ok().flatten()?;
        let renew_before = self.settings.renew_before.and_then(|time| time.0);
        self.covers_all(&stored).then(|| due(&stored.validity, renew_before))
    }

    fn covers_all(&self, identity: &Identity) -> bool {
        self.settings.domains.iter().all(|domain| identity.names.contains(&domain.to_ascii_lowercase()))
    }

    /// In turn with others who ask the same directory; one of them may have been for this certificate.
    async fn renew(&self, store: &Store) -> Result<(), OrderError> {
        let in_store = |source| OrderError::Store { folder: store.folder().display().to_string(), source };
        let _lock = loop {
            match store.lock().map_err(in_store)? {
                Some(lock) => break lock,
                None => sleep(TURN).await,
            }
        };
        if self.due().is_some_and(|due| due > SystemTime::now()) {
            return Ok(());
        }
        let is_own = |shown: &crate::edge::tls::Certificates| shown.name() == self.name;
        let certificates = self.server.certificates().into_iter().filter(is_own).collect();
        let answers = Answers { challenges: self.proxy.challenges().clone(), certificates };
        log::info!("{self} is asked for");
        obtain(&self.settings, store, &answers).await?;
        // Else it would be asked for at once, and for ever.
        let due = self.due().filter(|due| *due > SystemTime::now()).ok_or(OrderError::Useless)?;
        log::info!("{self} was given; it is renewed on {}", httpdate::fmt_http_date(due));
        Ok(())
    }
}

impl fmt::Display for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AcmeSettings { domains, directory, .. } = &self.settings;
        write!(f, "tls.{}: a certificate for {} from {directory}", self.name, domains.join(", "))
    }
}
