//! Settings are read again, and what can be made of them is put in force; or what is wrong is told, and nothing changes.

use log::Level;

use super::{Ask, SettingsWatch, Standing};
use crate::{
    edge::{Handle, Reloaded},
    plan::{Changes, ListenAddress},
    proxy::Proxy,
    settings::{AdminSettings, Layers, ServerSettings, Settings, Size},
};

/// Reloads a proxy and the server in front of it.
#[derive(Clone)]
pub struct Reloader {
    layers: Layers,
    watch: SettingsWatch,
    proxy: Proxy,
    server: Handle,
    standing: Standing,
    /// What it was started with, and cannot change.
    level: String,
    admin: AdminSettings,
}

impl Reloader {
    /// Of what these layers say.
    pub fn new(layers: Layers, watch: SettingsWatch, proxy: &Proxy, server: Handle) -> Self {
        let settings = &proxy.plan().settings;
        let (level, admin) = (settings.log.level.clone(), settings.admin.clone());
        let standing = Standing::first(layers.files());
        Self { layers, watch, proxy: proxy.clone(), server, standing, level, admin }
    }

    /// What it has to say of itself.
    pub fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// As long as the server runs.
    pub(super) async fn run(mut self, asked: Ask) {
        loop {
            let watches = self.proxy.plan().settings.server.watch;
            if !watches {
                self.watch.rest();
            }
            tokio::select! {
                () = asked.heard() => {}
                () = self.watch.changed(), if watches => {}
            }
            self.reload().await;
        }
    }

    async fn reload(&mut self) {
        let before = self.proxy.generation();
        if !self.watch.has_files() {
            return self.refuse(
                Level::Warn,
                format!("there is nothing to read: no settings file; generation {before} stays in force"),
            );
        }
        self.watch.are_read();
        let drawn = self.layers.clone().read().draw(|settings| self.proxy.prepare(settings));
        let (next, _) = match drawn {
            Ok(drawn) => drawn,
            Err(problems) => {
                let problems = problems.render(false);
                let what = format!("the settings are wrong, generation {before} stays in force\n{problems}");
                return self.refuse(Level::Error, what);
            }
        };
        let plan = next.plan();
        let settings = &plan.settings;
        let server = match self.server.prepare(&server_settings(settings), &settings.server_name, &plan.listeners) {
            Ok(server) => server,
            Err(error) => return self.refuse(Level::Error, format!("{error}; generation {before} stays in force")),
        };
        let changes = Changes::between(&self.proxy.plan().settings, settings);
        let (other_level, other_admin) = (settings.log.level != self.level, settings.admin != self.admin);
        let generation = next.commit();
        self.standing.accepted(generation);
        let Reloaded { added, removed, mut needs_restart } = server.commit().await;
        log::info!("generation {generation} is in force: {changes}");
        tell("listening on", &added);
        tell("no longer listening on", &removed);
        needs_restart.extend(other_level.then_some("log.level"));
        needs_restart.extend(other_admin.then_some("admin.listen"));
        if !needs_restart.is_empty() {
            log::warn!("needs a restart: {}", needs_restart.join(", "));
        }
    }

    /// Nothing has changed, and why is told.
    fn refuse(&self, level: Level, why: String) {
        // Whoever reads the log may ask at once.
        self.standing.refused(why.clone());
        log::log!(level, "{why}");
    }
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
