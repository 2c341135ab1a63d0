//! Settings are read again, and what can be made of them is put in force; or what is wrong is told, and nothing changes.

use super::{Ask, SettingsWatch};
use crate::{
    edge::{Handle, Reloaded},
    plan::{Changes, ListenAddress},
    proxy::Proxy,
    settings::{Layers, ServerSettings, Settings, Size},
};

/// Reloads a proxy and the server in front of it.
#[derive(Clone)]
pub struct Reloader {
    layers: Layers,
    watch: SettingsWatch,
    proxy: Proxy,
    server: Handle,
    /// The level that the log was made with.
    level: String,
}

impl Reloader {
    /// Of what these layers say.
    pub fn new(layers: Layers, watch: SettingsWatch, proxy: &Proxy, server: Handle) -> Self {
        let level = proxy.plan().settings.log.level.clone();
        Self { layers, watch, proxy: proxy.clone(), server, level }
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
            return log::warn!("there is nothing to read: no settings file; generation {before} stays in force");
        }
        self.watch.are_read();
        let drawn = self.layers.clone().read().draw(|settings| self.proxy.prepare(settings));
        let (next, _) = match drawn {
            Ok(drawn) => drawn,
            Err(problems) => {
                return log::error!(
                    "the settings are wrong, generation {before} stays in force\n{}",
                    problems.render(false)
                );
            }
        };
        let plan = next.plan();
        let settings = &plan.settings;
        let server = match self.server.prepare(&server_settings(settings), &settings.server_name, &plan.listeners) {
            Ok(server) => server,
            Err(error) => return log::error!("{error}; generation {before} stays in force"),
        };
        let changes = Changes::between(&self.proxy.plan().settings, settings);
        let other_level = settings.log.level != self.level;
        let generation = next.commit();
        let Reloaded { added, removed, mut needs_restart } = server.commit().await;
        log::info!("generation {generation} is in force: {changes}");
        tell("listening on", &added);
        tell("no longer listening on", &removed);
        needs_restart.extend(other_level.then_some("log.level"));
        if !needs_restart.is_empty() {
            log::warn!("needs a restart: {}", needs_restart.join(", "));
        }
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
