//! Endpoints that are found: DNS is asked again and again, as its answers say, and files are watched.

mod dns;
mod file;

use std::{collections::HashMap, fmt::Display, sync::Arc};

use super::{Aborting, supervise};
use crate::{
    plan::{
        Discovery, Found,
        discovery::{Change, Source},
    },
    proxy::Proxy,
};

/// Looks for the endpoints of whichever plan is in force.
pub async fn discover_all(proxy: Proxy) {
    let mut plans = proxy.plans();
    let mut followed: HashMap<usize, (Arc<Discovery>, Aborting)> = HashMap::new();
    loop {
        plans.mark_unchanged();
        // By where it lies in memory, where it stays as long as it is held.
        let each = proxy.plan().discoveries.clone().into_values();
        let wanted: HashMap<_, _> = each.map(|discovery| (Arc::as_ptr(&discovery).addr(), discovery)).collect();
        followed.retain(|at, _| wanted.contains_key(at));
        for (at, discovery) in wanted {
            followed
                .entry(at)
                .or_insert_with(|| (Arc::clone(&discovery), follow(Search { discovery, proxy: proxy.clone() })));
        }
        if plans.changed().await.is_err() {
            return;
        }
    }
}

fn follow(search: Search) -> Aborting {
    let begin = move || {
        let search = search.clone();
        async move {
            match &search.discovery.source {
                Source::Dns(question) => dns::ask_again_and_again(question, &search).await,
                Source::File(path) => file::read_again_and_again(path, &search).await,
            }
        }
    };
    Aborting(actix_rt::spawn(supervise("looking for endpoints", begin)))
}

/// Whose endpoints are looked for.
#[derive(Clone)]
struct Search {
    discovery: Arc<Discovery>,
    proxy: Proxy,
}

impl Search {
    /// These are the endpoints from now on.
    fn found(&self, found: Vec<Found>) {
        let (name, source) = (&self.discovery.upstream.name, &self.discovery.source);
        match self.discovery.found(found) {
            Ok(change) => self.tell(change),
            Err(problems) => log::error!("what {source} says cannot be used for {name}:\n{}", problems.render(false)),
        }
    }

    fn tell(&self, change: Option<Change>) {
        if let Some(change) = change {
            let (name, source) = (&self.discovery.upstream.name, &self.discovery.source);
            log::info!("endpoints of {name} by {source}: {}", told(&change));
            self.proxy.has_other_endpoints();
        }
    }

    /// Nothing was found: what is known holds. Told once, until something is.
    fn failed(&self, why: &dyn Display) {
        let why = why.to_string();
        if self.discovery.note(Some(&why)) {
            self.warn(&why);
        } else {
            let (name, source) = (&self.discovery.upstream.name, &self.discovery.source);
            log::debug!("endpoints of {name} cannot be found: {source}: {why}");
        }
        self.discovery.upstream.give_up();
    }

    /// The same, told each time: somebody has written something else, and wants to know. At length, and shortly in `/status`.
    fn failed_again(&self, why: &dyn Display, at_length: &str) {
        self.discovery.note(Some(&why.to_string()));
        self.warn(at_length);
        self.discovery.upstream.give_up();
    }

    fn warn(&self, why: &str) {
        let (upstream, source) = (&self.discovery.upstream, &self.discovery.source);
        let known = upstream.members().endpoints.len();
        let holds = if known == 0 { "there are none" } else { "those that are known stay" };
        log::warn!("endpoints of {} cannot be found, {holds}: {source}: {why}", upstream.name);
    }

    /// All that was asked was answered.
    fn succeeded(&self) {
        if self.discovery.note(None) {
            log::info!("endpoints of {} are found again by {}", self.discovery.upstream.name, self.discovery.source);
        }
    }
}

/// So many endpoints are named; of more, how many there are.
const MOST_NAMES: usize = 10;

fn told(Change { came, gone }: &Change) -> String {
    let part = |what: &str, names: &[Arc<str>]| match names {
        [] => None,
        names if names.len() > MOST_NAMES => Some(format!("{} {what}", names.len())),
        names => Some(format!("{} {what}", names.join(", "))),
    };
    let parts: Vec<_> = [part("came", came), part("gone", gone)].into_iter().flatten().collect();
    if parts.is_empty() { "other weights".into() } else { parts.join("; ") }
}
