//! The endpoints of an upstream at one time, and who is picked of them.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use arc_swap::{ArcSwap, Guard};

use super::{
    Endpoint,
    affinity::{Affinity, Tokens},
    balancers::Balancer,
    lineup::{Lineup, Rules},
};
use crate::clock;

/// Endpoints with the rule by which one of them is picked. Others may take their place while the upstream stays.
pub struct Members {
    /// The endpoints; none where none is known yet.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The rule by which one is picked.
    pub balancer: Box<dyn Balancer>,
    /// Who may be picked, besides being well.
    pub rules: Rules,
    lineup: ArcSwap<Lineup>,
    tokens: OnceLock<Tokens>,
}

/// The members of an upstream, as long as somebody has to do with them.
pub enum Held<'u> {
    /// They stay as long as the upstream: nothing is counted.
    Fixed(&'u Members),
    /// Others may have taken their place.
    Counted(Arc<Members>),
}

/// Where an upstream has its members.
pub(super) enum Roster {
    Fixed(Members),
    Changing(ArcSwap<Members>),
}

impl Members {
    /// These endpoints, with a balancer that was made for them.
    pub fn new(endpoints: Vec<Arc<Endpoint>>, balancer: Box<dyn Balancer>, rules: Rules) -> Self {
        let lineup = ArcSwap::from_pointee(Lineup::of(&endpoints, &rules, clock::coarse()));
        Self { endpoints, balancer, rules, lineup, tokens: OnceLock::new() }
    }

    /// What the endpoints are called in the cookies of their upstream.
    pub fn tokens(&self, affinity: &Affinity) -> &Tokens {
        self.tokens.get_or_init(|| affinity.tokens(&self.endpoints))
    }

    /// Who may be picked now. Whoever first asks after a change draws it up.
    pub fn lineup(&self) -> Guard<Arc<Lineup>> {
        let lineup = self.lineup.load();
        if lineup.is_current(clock::coarse) {
            return lineup;
        }
        self.lineup.store(Arc::new(Lineup::of(&self.endpoints, &self.rules, clock::coarse())));
        self.lineup.load()
    }
}

impl Roster {
    /// For as long as a request takes: a guard of `arc_swap` is for moments, and there are few of them.
    pub(super) fn held(&self) -> Held<'_> {
        match self {
            Self::Fixed(members) => Held::Fixed(members),
            Self::Changing(members) => Held::Counted(members.load_full()),
        }
    }
}

impl Deref for Held<'_> {
    type Target = Members;

    fn deref(&self) -> &Members {
        match self {
            Self::Fixed(members) => members,
            Self::Counted(members) => members,
        }
    }
}
