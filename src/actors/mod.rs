//! What is not on a request's way: tasks with a mailbox, on a thread of their own where they may read files.

mod reload;
mod settings_watch;

use std::sync::Arc;

use actix_rt::Arbiter;
use tokio::sync::Notify;

pub use self::{
    reload::{Reloader, server_settings},
    settings_watch::SettingsWatch,
};

/// The thread of the actors; they end with it, and it ends when this is dropped.
pub struct Actors {
    arbiter: Arbiter,
}

/// To ask a reloader to read the settings again. Asked twice while it reads, it reads once more.
#[derive(Debug, Clone, Default)]
pub struct Ask(Arc<Notify>);

impl Actors {
    /// A thread for them.
    pub fn start() -> Self {
        Self { arbiter: Arbiter::new() }
    }

    /// Reloads whenever the settings change or it is asked to.
    pub fn reload(&self, reloader: Reloader) -> Ask {
        let ask = Ask::default();
        let asked = ask.clone();
        if !self.arbiter.spawn_fn(move || drop(actix_rt::spawn(reloader.run(asked)))) {
            log::error!("settings will not be read again: the thread of the actors has ended");
        }
        ask
    }
}

impl Drop for Actors {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

impl Ask {
    /// Asks.
    pub fn now(&self) {
        self.0.notify_one();
    }

    async fn heard(&self) {
        self.0.notified().await;
    }
}
