//! Whom to ask, and whom next.

use std::{ptr, sync::Arc, time::Duration};

use super::{
    Candidates, Endpoint, Members, Upstream,
    affinity::Guest,
    candidates::Places,
    health::{Standing, Trial},
    lineup::Lineup,
};
use crate::{chance, clock, exchange::Exchange, http::HeaderMap};

pub use self::room::Unasked;

mod room;
mod spare;

/// The picks for one request. Costs nothing until an endpoint failed.
pub struct Selection<'u> {
    upstream: &'u Upstream,
    members: &'u Members,
    count: u32,
    tried: Vec<usize>,
    guest: Option<Guest>,
}

/// Who shall take the request.
pub struct Pick<'u> {
    /// The endpoint.
    pub endpoint: &'u Arc<Endpoint>,
    /// It shows whether the endpoint has recovered.
    pub trial: Option<Trial<'u>>,
}

impl<'u> Selection<'u> {
    /// Of these members of the upstream; nobody was asked yet.
    pub fn of(upstream: &'u Upstream, members: &'u Members) -> Self {
        Self { upstream, members, count: 0, tried: Vec::new(), guest: None }
    }

    /// Looks whether the client has been here before, where that matters; its cookie goes no further.
    pub fn recognise(&mut self, request: &mut HeaderMap) {
        if let Some(affinity) = &self.upstream.affinity {
            self.guest = affinity.recognise(request, clock::unix_coarse());
        }
    }

    /// Tells the client whom to stay with, if that is news to it.
    pub fn remind(&self, endpoint: &Arc<Endpoint>, exchange: &Exchange, answer: &mut HeaderMap) {
        let Some(affinity) = &self.upstream.affinity else { return };
        let tokens = self.members.tokens(affinity);
        let is_this = |place: &usize| Arc::ptr_eq(&self.members.endpoints[*place], endpoint);
        // Mostly it is where the client was: nobody else is looked at then.
        let known = self.guest.and_then(|guest| tokens.place_of(guest)).filter(is_this);
        // Who is at home there leaves with the cookie that it has.
        if known.is_some() && endpoint.health.is_drained() {
            return;
        }
        let Some(place) = known.or_else(|| self.place_of(endpoint)) else { return };
        affinity.remind(self.guest, tokens.of(place), clock::unix_coarse(), exchange.client.secure, answer);
    }

    /// The next one; nobody twice. With `may_try` the request can be sent again, so that it costs its client nothing to show
    /// whether an endpoint has recovered.
    pub fn pick(&self, exchange: &Exchange, may_try: bool) -> Option<Pick<'u>> {
        // One endpoint needs no balancer, nor a counter that all cores write to.
        if let ([only], []) = (&self.members.endpoints[..], &self.tried[..]) {
            let may_be_asked = !only.health.is_drained() || self.place_of_guest().is_some() && is_well(only);
            return may_be_asked.then_some(Pick { endpoint: only, trial: None });
        }
        let lineup = self.members.lineup();
        let home = self.home(&lineup);
        // Who is drained or revived since the lineup was drawn up keeps its clients either way.
        if let Some(endpoint) = home.filter(|home| is_well(home)).or_else(|| self.home_that_empties(&lineup)) {
            return Some(Pick { endpoint, trial: None });
        }
        if lineup.drained() == self.members.endpoints.len() {
            return None;
        }
        if let Some(tried) = self.trial(&lineup, may_try) {
            return Some(tried);
        }
        // Nobody is well: then one is as good as another, but for what it knows.
        if let Some(endpoint) = home {
            return Some(Pick { endpoint, trial: None });
        }
        let endpoint = if self.tried.is_empty() {
            self.among(lineup.places.as_ref(), &lineup, exchange)?
        } else {
            self.among(Some(&self.left(&lineup)?), &lineup, exchange)?
        };
        Some(Pick { endpoint, trial: None })
    }

    /// There is another one to ask than this one, which is not [noted](Self::note) yet.
    pub fn may_have_another(&self, than: &Arc<Endpoint>) -> bool {
        let is_another = |place: &usize| !Arc::ptr_eq(&self.members.endpoints[*place], than);
        self.may_go_on() && self.untried(&self.members.lineup()).any(|place| is_another(&place))
    }

    /// If the one that is picked next fails, the request does no harm at another one.
    pub fn may_be_sent_again(&self, exchange: &Exchange) -> bool {
        self.upstream.retry.is_harmless(&exchange.method) && self.may_go_on() && {
            let lineup = self.members.lineup();
            let picked = usize::from(self.home_that_empties(&lineup).is_none());
            self.untried(&lineup).nth(picked).is_some()
        }
    }

    fn may_go_on(&self) -> bool {
        self.members.endpoints.len() > 1 && self.count + 1 < self.upstream.retry.attempts
    }

    /// Who was not asked, and may be by whoever is at home nowhere.
    fn untried(&self, lineup: &Lineup) -> impl Iterator<Item = usize> {
        (0..self.members.endpoints.len()).filter(|place| !self.tried.contains(place) && !lineup.is_drained(*place))
    }

    /// How many were asked before.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// It was asked, and failed.
    pub fn note(&mut self, endpoint: &Arc<Endpoint>) {
        self.count += 1;
        self.tried.extend(self.place_of(endpoint));
    }

    /// Where the client is at home, if that one may be picked. While it is well the client does not show whether another one
    /// has recovered: that one does not know it.
    fn home(&self, lineup: &Lineup) -> Option<&'u Arc<Endpoint>> {
        self.place_of_guest().filter(|place| lineup.has(*place)).map(|place| &self.members.endpoints[place])
    }

    /// Where the client is at home, if that one is drained and well: what it knows of the client it knows until the client
    /// leaves.
    fn home_that_empties(&self, lineup: &Lineup) -> Option<&'u Arc<Endpoint>> {
        let place = self.place_of_guest().filter(|place| lineup.is_drained(*place))?;
        Some(&self.members.endpoints[place]).filter(|home| is_well(home))
    }

    fn place_of_guest(&self) -> Option<usize> {
        let (guest, affinity) = self.guest.zip(self.upstream.affinity.as_ref())?;
        if self.tried.is_empty() { self.members.tokens(affinity).place_of(guest) } else { None }
    }

    fn trial(&self, lineup: &Lineup, may_try: bool) -> Option<Pick<'u>> {
        let mut free = lineup.on_trial.iter().filter(|place| !self.tried.contains(place));
        free.find_map(|place| {
            let endpoint = &self.members.endpoints[*place];
            let trial =
                (may_try || self.upstream.is_overdue(endpoint)).then(|| endpoint.health.begin_trial(clock::coarse()));
            Some(Pick { endpoint, trial: Some(trial.flatten()?) })
        })
    }

    fn among(&self, places: Option<&Places>, lineup: &Lineup, exchange: &Exchange) -> Option<&'u Arc<Endpoint>> {
        let all = &self.members.endpoints[..];
        let Some(places) = places else {
            let candidates = Candidates::all(all)?;
            let picked = self.members.balancer.pick(candidates, exchange);
            return Some(self.instead(picked, candidates, lineup, exchange).unwrap_or(picked));
        };
        let candidates = Candidates::only(all, places)?;
        let picked = self.members.balancer.pick(candidates, exchange);
        let picked = &all[self.place_of(picked)?];
        Some(self.instead(picked, candidates, lineup, exchange).unwrap_or(picked))
    }

    /// Who takes the request of one that is to be spared, for it has not been well for long.
    fn instead(
        &self,
        picked: &Arc<Endpoint>,
        candidates: Candidates<'_>,
        lineup: &Lineup,
        exchange: &Exchange,
    ) -> Option<&'u Arc<Endpoint>> {
        if !lineup.is_warming || self.members.has_its_share(picked, clock::coarse()) {
            return None;
        }
        let all = &self.members.endpoints[..];
        let spared = self.place_of(picked)?;
        let others = (0..candidates.len()).map(|index| candidates.place(index)).filter(|place| *place != spared);
        let others = Places::these(others)?;
        let picked = self.members.balancer.pick(Candidates::only(all, &others)?, exchange);
        Some(&all[self.place_of(picked)?])
    }

    /// Who may be picked and was not: if it comes to that the backups, and whoever is not well.
    fn left(&self, lineup: &Lineup) -> Option<Places> {
        let untried = |place: &usize| !self.tried.contains(place);
        lineup
            .places
            .as_ref()
            .and_then(|places| Places::these(places.as_slice().iter().copied().filter(untried)))
            .or_else(|| Places::these(self.untried(lineup)))
    }

    /// Mostly what is given is one of these, and where it lies tells which: however many there are, one is looked at.
    fn place_of(&self, endpoint: &Arc<Endpoint>) -> Option<usize> {
        let all = &self.members.endpoints[..];
        let place = ptr::from_ref(endpoint).addr().wrapping_sub(all.as_ptr().addr()) / size_of::<Arc<Endpoint>>();
        let is_this = |one: &Arc<Endpoint>| Arc::ptr_eq(one, endpoint);
        if all.get(place).is_some_and(is_this) { Some(place) } else { all.iter().position(is_this) }
    }
}

/// Its clients may stay with it, whether or not an operator wants it left alone.
fn is_well(endpoint: &Endpoint) -> bool {
    endpoint.health.condition(clock::coarse()) == Standing::Well
}

impl Upstream {
    /// It has waited for a request that can be sent again, and none came: there may never be one, as with gRPC.
    fn is_overdue(&self, endpoint: &Endpoint) -> bool {
        let due = self.outlier.and_then(|outlier| endpoint.health.overdue_at(outlier.eject, outlier.longest));
        due.is_some_and(|due| due <= clock::coarse())
    }
}

impl Members {
    /// One that is warm, or may have this request while it warms: the longer it has been well the more of them.
    fn has_its_share(&self, endpoint: &Endpoint, now: Duration) -> bool {
        const LEAST: f64 = 0.1;
        let Some((span, since)) = self.rules.slow_start.zip(endpoint.health.well_since()) else { return true };
        chance::happens((now.saturating_sub(since).as_secs_f64() / span.as_secs_f64()).max(LEAST))
    }
}
