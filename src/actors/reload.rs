//! Settings and certificates are read again, and what can be made of them is put in force; or what is wrong is told, and
//! nothing changes.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use log::Level;
use tokio::time::{Instant, timeout_at};

use super::{Ask, FileWatch, ServiceManager, Standing, apart::apart, certificates::Keepers, expiry::Expiry};
use crate::{
    edge::{Handle, Reloaded},
    kinds::Kinds,
    plan::{self, Changes, ListenAddress},
    proxy::{Prepared, Proxy},
    settings::{Layers, Origins, Problem, Problems, ServerSettings, Settings, Size, admin::AdminListener},
};

/// How long a certificate may be there without its key, or the other way round, before that is told.
const SETTLE: Duration = Duration::from_secs(5);

/// Reloads a proxy and the server in front of it.
#[derive(Clone)]
pub struct Reloader {
    layers: Layers,
    /// Files of settings.
    settings: FileWatch,
    /// Files that settings name, of certificates and for filters.
    named: FileWatch,
    /// Where what is in force was written.
    origins: Arc<Origins>,
    /// Settings were read that could not be put in force: it may be for the sake of a certificate.
    is_behind: bool,
    proxy: Proxy,
    server: Handle,
    expiry: Expiry,
    /// Those who get certificates from directories.
    keepers: Keepers,
    asked: Ask,
    manager: ServiceManager,
    standing: Standing,
    /// What it was started with, and cannot change.
    level: String,
    admin: AdminListener,
}

/// What is in force, and how to see that something else has been written.
pub struct Read {
    /// What was read.
    pub layers: Layers,
    /// Where it was written.
    pub origins: Origins,
    /// Files of settings.
    pub settings: FileWatch,
    /// Files that settings name: see [`named_files()`].
    pub named: FileWatch,
}

/// The files that settings name, of certificates and for filters; to be asked for before a plan is drawn, which reads them.
pub fn named_files(settings: &Settings, kinds: &Kinds) -> FileWatch {
    FileWatch::before_reading(plan::files(settings, kinds))
}

impl Reloader {
    /// Of what was read.
    pub fn new(read: Read, proxy: &Proxy, server: Handle, manager: &ServiceManager) -> Self {
        let Read { layers, origins, settings, named } = read;
        let origins = Arc::new(origins);
        let plan = proxy.plan();
        Self {
            standing: Standing::first(layers.files(), &origins),
            layers,
            settings,
            named,
            origins: Arc::clone(&origins),
            is_behind: false,
            proxy: proxy.clone(),
            server,
            expiry: Expiry::told(&plan),
            keepers: Keepers::default(),
            asked: Ask::default(),
            manager: manager.clone(),
            level: plan.settings.log.level.clone(),
            admin: plan.settings.admin.listen.clone(),
        }
    }

    /// To ask it.
    pub fn ask(&self) -> Ask {
        self.asked.clone()
    }

    /// What it has to say of itself.
    pub fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// As long as the server runs.
    pub(super) async fn run(mut self, asked: Ask) {
        self.asked = asked.clone();
        self.follow();
        loop {
            let watches = self.proxy.plan().settings.server.watch;
            if !watches {
                self.settings.rest();
                self.named.rest();
            }
            tokio::select! {
                () = asked.heard() => self.reload().await,
                () = asked.heard_for_certificates() => self.renew().await,
                () = self.settings.changed(), if watches => self.reload().await,
                () = self.named.changed(), if watches => self.follow_named().await,
                () = self.expiry.due() => self.expiry.tell(&self.proxy.plan()),
            }
        }
    }

    /// A file that settings name is another one: of the plan in force, or of settings that could not be.
    async fn follow_named(&mut self) {
        if self.is_behind {
            self.reload().await;
        }
        self.renew().await;
    }

    /// All of it; the service manager hears of it.
    async fn reload(&mut self) {
        self.manager.reloading();
        let waiting = self.asked.those_who_wait();
        let before = self.proxy.generation();
        self.read_all().await;
        let standing = self.standing.now();
        for waits in waiting {
            let refused = standing.refused.clone().filter(|_| standing.generation == before);
            // Who has left need not know.
            let _ = waits.send(refused.map_or(Ok(standing.generation), Err));
        }
        self.manager.ready(standing);
    }

    async fn read_all(&mut self) {
        let before = self.proxy.generation();
        if !self.settings.has_files() {
            let what = format!("there is nothing to read: no settings file; generation {before} stays in force");
            return self.refuse(Level::Warn, what, Vec::new());
        }
        self.settings.are_read();
        let (layers, proxy) = (self.layers.clone(), self.proxy.clone());
        let Some(Drawn { drawn, mut named }) = self.apart(move || read(layers, &proxy)).await else { return };
        self.is_behind = drawn.is_err();
        match drawn {
            Ok((next, changes, origins)) => {
                if self.commit(next, &changes).await {
                    self.origins = Arc::new(origins);
                    self.standing.was_written(&self.origins);
                    self.named = named.take().unwrap_or_else(|| self.named.clone());
                } else {
                    self.is_behind = true;
                }
            }
            Err(problems) => {
                let told = problems.render(false);
                let what = format!("the settings are wrong, generation {before} stays in force\n{told}");
                self.refuse(Level::Error, what, problems.0);
            }
        }
        if let Some(wanted) = named {
            self.named.watch_also(&wanted);
        }
    }

    /// What is in force, with what the files hold by now that it names. A pair that does not fit may be half written:
    /// what is wrong with it is told only if nothing more comes.
    async fn renew(&mut self) {
        let until = Instant::now() + SETTLE;
        let in_force = plan::files(&self.proxy.plan().settings, self.proxy.kinds());
        let mut others = Vec::new();
        loop {
            let read = self.named.are_read().into_iter().filter(|file| in_force.contains(file));
            others.extend(read.filter(|file| !others.contains(file)).collect::<Vec<_>>());
            if others.is_empty() {
                return;
            }
            let proxy = self.proxy.clone();
            let prepared = self.apart(move || proxy.prepare(proxy.plan().settings.clone())).await;
            let Some(prepared) = prepared else { return };
            match prepared {
                Ok(next) => {
                    self.commit(next, &format!("{} was read again", listed(&others))).await;
                    return;
                }
                Err(problems) => {
                    log::debug!("{} may be half written: more is waited for", listed(&others));
                    if timeout_at(until, self.named.changed()).await.is_ok() {
                        continue;
                    }
                    let (before, problems) = (self.proxy.generation(), self.origins.locate(problems));
                    let told = problems.render(false);
                    let what =
                        format!("what files hold cannot be used, that of generation {before} stays in force\n{told}");
                    return self.refuse(Level::Error, what, problems.0);
                }
            }
        }
    }

    /// Does this on a thread of its own, or tells that there is none.
    async fn apart<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let made = apart("reading", read).await;
        let refuse = |error: io::Error| {
            let before = self.proxy.generation();
            let what = format!("there is no thread to read settings on: {error}; generation {before} stays in force");
            self.refuse(Level::Error, what, Vec::new());
        };
        made.map_err(refuse).ok()
    }

    /// Puts a plan in force, with the server's part of it.
    async fn commit(&mut self, next: Prepared, what: &str) -> bool {
        let before = self.proxy.generation();
        let plan = next.plan();
        let settings = &plan.settings;
        let server = match self.server.prepare(&server_settings(settings), &settings.server_name, &plan.listeners) {
            Ok(server) => server,
            Err(error) => {
                self.refuse(Level::Error, format!("{error}; generation {before} stays in force"), Vec::new());
                return false;
            }
        };
        let (other_level, other_admin) = (settings.log.level != self.level, settings.admin.listen != self.admin);
        let generation = next.commit();
        self.standing.accepted(generation, self.is_behind);
        let Reloaded { added, removed, mut needs_restart } = server.commit().await;
        log::info!("generation {generation} is in force: {what}");
        tell("listening on", &added);
        tell("no longer listening on", &removed);
        needs_restart.extend(other_level.then_some("log.level"));
        needs_restart.extend(other_admin.then_some("admin.listen"));
        if !needs_restart.is_empty() {
            log::warn!("needs a restart: {}", needs_restart.join(", "));
        }
        self.expiry.tell(&self.proxy.plan());
        self.follow();
        true
    }

    /// Certificates are kept as the plan in force says.
    fn follow(&mut self) {
        self.keepers.follow(&self.proxy.plan(), &self.proxy, &self.server, &self.asked);
    }

    /// Nothing has changed, and why is told.
    fn refuse(&self, level: Level, why: String, problems: Vec<Problem>) {
        // Whoever reads the log may ask at once.
        self.standing.refused(why.clone(), problems);
        log::log!(level, "{why}");
    }
}

/// What was made of what is written by now.
struct Drawn {
    /// A plan, in what its settings differ from those in force, and where they were written.
    drawn: Result<(Prepared, String, Origins), Problems>,
    /// The files that it names, if as much could be read.
    named: Option<FileWatch>,
}

fn read(layers: Layers, proxy: &Proxy) -> Drawn {
    let mut named = None;
    let drawn = layers.read().draw(|settings| {
        named = Some(named_files(&settings, proxy.kinds()));
        let next = proxy.prepare(settings)?;
        let changes = Changes::between(&proxy.plan().settings, &next.plan().settings).to_string();
        Ok((next, changes))
    });
    Drawn { drawn: drawn.map(|((next, changes), origins)| (next, changes, origins)), named }
}

/// The server's part of the settings. Each route has a limit of its own for bodies; the server's would go before a
/// wider one.
pub fn server_settings(settings: &Settings) -> ServerSettings {
    let mut server = settings.server.clone();
    server.http.max_body = Size::kib(0);
    server
}

fn tell(what: &str, addresses: &[ListenAddress]) {
    for address in addresses {
        log::info!("{what} {address}");
    }
}

fn listed(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}
