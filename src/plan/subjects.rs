//! What the requests of a route are counted under.

use std::sync::Arc;

use super::{Route, Target};
use crate::{exchange::Subject, routing::Entry, telemetry::metrics::Ledger, upstream::Upstream};

/// The subjects of a route: one for each upstream it leads to, and one where it answers itself.
#[derive(Debug, Default)]
pub struct Subjects {
    /// What goes to no upstream.
    pub own: Subject,
    upstreams: Vec<(Arc<str>, Subject)>,
}

impl Subjects {
    /// What goes to this one.
    pub fn of(&self, upstream: &Upstream) -> Subject {
        let mut known = self.upstreams.iter().filter(|(name, _)| Arc::ptr_eq(name, &upstream.name));
        known.next().map_or(self.own, |(_, subject)| *subject)
    }
}

impl Target {
    /// Those that it leads to.
    pub fn upstreams(&self) -> Vec<&Arc<Upstream>> {
        match self {
            Self::Upstream { upstream, .. } => vec![upstream],
            Self::Split(split) => split.sides().iter().map(|side| &side.upstream).collect(),
            Self::Redirect(_) | Self::Respond(_) => Vec::new(),
        }
    }
}

/// Gives all of them their subjects, `most` in all; those that had one before keep it.
pub fn number(routes: &mut [Entry<Route>], ledger: &Ledger, most: usize) {
    for Entry { value: route, .. } in routes {
        let subject = |upstream: &Arc<str>| ledger.subject(&route.name, upstream, most);
        let names = route.target.upstreams().into_iter().map(|upstream| &upstream.name);
        let upstreams = names.map(|name| (Arc::clone(name), subject(name))).collect();
        route.subjects = Subjects { own: subject(&"".into()), upstreams };
    }
}
