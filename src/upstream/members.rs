//! The endpoints of an upstream at one time, and who is picked of them.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::{
    Endpoint, Upstream,
    affinity::{Affinity, Tokens},
    balancers::Balancer,
    lineup::{Lineup, Rules},
};
use crate::{clock, transport::address::Speech};

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
    speak_http1_alone: bool,
}

/// Of more nobody asks what they have lately spoken: each would cost every request something.
const MOST_ASKED: usize = 64;

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
    Changing(Changing),
}

/// Members that others may take the place of.
pub(super) struct Changing {
    members: ArcSwap<Members>,
    /// Something is known: who there is, or that nobody can be found.
    is_settled: watch::Sender<bool>,
}

impl Members {
    /// These endpoints, with a balancer that was made for them.
    pub fn new(endpoints: Vec<Arc<Endpoint>>, balancer: Box<dyn Balancer>, rules: Rules) -> Self {
        let lineup = ArcSwap::from_pointee(Lineup::of(&endpoints, &rules, clock::coarse()));
        let speak_http1_alone = endpoints.iter().all(|endpoint| endpoint.target.speaks_http1_alone());
        Self { endpoints, balancer, rules, lineup, tokens: OnceLock::new(), speak_http1_alone }
    }

    /// One of them does, or may.
    pub fn may_speak_http2(&self) -> bool {
        let may = |endpoint: &Arc<Endpoint>| endpoint.target.speech() != Speech::Http1;
        !self.speak_http1_alone && (self.endpoints.len() > MOST_ASKED || self.endpoints.iter().any(may))
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
        let drawn = Arc::new(Lineup::of(&self.endpoints, &self.rules, clock::coarse()));
        self.lineup.store(Arc::clone(&drawn));
        // This one, not whichever is there by now: another worker may just have put down one that it drew up before.
        Guard::from_inner(drawn)
    }
}

impl Upstream {
    /// Its members now. A request asks once, and keeps to them.
    pub fn members(&self) -> Held<'_> {
        self.roster.held()
    }

    /// Others take the place of its members. Requests under way stay with those that they had. Says whether that may be.
    pub fn replace(&self, members: Members) -> bool {
        let Roster::Changing(changing) = &self.roster else { return false };
        changing.members.store(Arc::new(members));
        changing.is_settled.send_replace(true);
        true
    }

    /// Nobody can be found just now: who waits for that waits no more.
    pub fn give_up(&self) {
        if let Roster::Changing(changing) = &self.roster {
            changing.is_settled.send_replace(true);
        }
    }

    /// Waits until it has members, or it is known that nobody can be found.
    pub async fn is_settled(&self) {
        if let Roster::Changing(changing) = &self.roster {
            // It is there as long as this is.
            let _ = changing.is_settled.subscribe().wait_for(|settled| *settled).await;
        }
    }
}

impl Roster {
    pub(super) fn changing(members: Members) -> Self {
        let is_settled = watch::Sender::new(!members.endpoints.is_empty());
        Self::Changing(Changing { members: ArcSwap::from_pointee(members), is_settled })
    }

    /// For as long as a request takes: a guard of `arc_swap` is for moments, and there are few of them.
    fn held(&self) -> Held<'_> {
        match self {
            Self::Fixed(members) => Held::Fixed(members),
            Self::Changing(changing) => Held::Counted(changing.members.load_full()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        settings::upstream::{EndpointHttp2, PoolSettings, Protocol},
        transport::Address,
        upstream::balancers::{Kind, Nothing, Random},
    };

    #[test]
    fn whether_one_may_speak_http_2_is_known_of_all() {
        for (protocols, may) in [
            (vec![], false),
            (vec![Protocol::H1, Protocol::Auto], false),
            (vec![Protocol::H1, Protocol::H2c], true),
            ([vec![Protocol::H2c], vec![Protocol::H1; 100]].concat(), true),
            (vec![Protocol::Auto; 100], false),
        ] {
            let endpoint = |protocol: &Protocol| {
                let address = Address::Tcp { host: "127.0.0.1".into(), port: 80 };
                let endpoint = Endpoint::new(address, "endpoint", 1, &PoolSettings::default());
                Arc::new(endpoint.speaking(*protocol, &EndpointHttp2::default()))
            };
            let endpoints: Vec<_> = protocols.iter().map(endpoint).collect();
            let balancer = Random::build(Nothing {}, &endpoints).unwrap_or_else(|wrong| panic!("{wrong}"));

            let members = Members::new(endpoints, balancer, Rules::default());

            assert_eq!(members.may_speak_http2(), may, "{protocols:?}");
        }
    }
}
