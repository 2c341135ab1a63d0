//! A request that waits for longer than most is sent to a second endpoint as well; the first good answer is the client's.
//! Whoever is not needed any more is dropped, and with it its connection (a stream of HTTP/2 is reset).

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};
use tokio::time::timeout;

use super::{
    dispatch::{Dispatch, ask},
    outcome::{heed, told},
    outgoing,
};
use crate::{
    clock,
    exchange::{Exchange, InFlight},
    http::Method,
    transport::{Incoming, Outgoing, TransportError},
    upstream::{
        Endpoint, Members, Upstream,
        hedge::Hedge,
        selection::{Pick, Selection},
    },
};

/// What became of an attempt.
pub type Sent = Result<Incoming, TransportError>;

/// One attempt, and when it began, where somebody wants to know.
pub struct Attempt<'u> {
    /// Who is asked.
    pub pick: Pick<'u>,
    /// Since when.
    pub began: Option<Instant>,
}

/// A request that may go to two endpoints at once.
pub struct Race<'r, 'u> {
    pub dispatch: &'r Dispatch<'r>,
    pub hedge: &'r Hedge,
    pub upstream: &'u Arc<Upstream>,
    pub members: &'u Members,
    pub selection: &'r mut Selection<'u>,
    pub exchange: &'r mut Exchange,
}

impl Dispatch<'_> {
    /// How this request is hedged, if it may be: sent twice at once it must do no harm. That is more than idempotent: a PUT that
    /// loses may arrive after the next one.
    pub fn hedge(
        &self,
        upstream: &Upstream,
        selection: &Selection<'_>,
        picked: &Arc<Endpoint>,
        exchange: &Exchange,
        outgoing: &Outgoing,
    ) -> Option<&Hedge> {
        let hedge = self.matched.entry.value.hedge.as_deref()?;
        let is_safe = matches!(exchange.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let has_nothing_else = outgoing.body.is_empty() && outgoing.upgrade.is_none();
        // A client that stays with its endpoint is not known to others.
        let is_anybodys = upstream.affinity.is_none();
        (is_safe && is_anybodys && has_nothing_else && selection.may_have_another(picked)).then_some(hedge)
    }
}

impl<'u> Race<'_, 'u> {
    /// Who has answered, and what; others were heeded. `exchange` counts the request where the answer comes from.
    pub async fn run(mut self, first: Attempt<'u>, outgoing: &mut Outgoing) -> (Attempt<'u>, Sent) {
        self.hedge.budget.earn();
        let began = Instant::now();
        let (attempt, sent) = match self.hedge.delay().filter(|_| self.hedge.budget.is_left()) {
            None => {
                let sent = ask(self.dispatch.worker, self.upstream, first.pick.endpoint, outgoing).await;
                (first, sent)
            }
            Some(delay) => self.for_long(delay, began, first, outgoing).await,
        };
        if sent.is_ok() {
            self.hedge.observe(began.elapsed());
        }
        (attempt, sent)
    }

    async fn for_long(
        &mut self,
        delay: Duration,
        began: Instant,
        first: Attempt<'u>,
        outgoing: &mut Outgoing,
    ) -> (Attempt<'u>, Sent) {
        let mut copy = outgoing.copy();
        let (worker, upstream) = (self.dispatch.worker, self.upstream);
        let mut asked = pin!(ask(worker, upstream, first.pick.endpoint, outgoing));
        if let Ok(sent) = timeout(delay, &mut asked).await {
            return (first, sent);
        }
        let Some((second, in_flight)) = self.second(&first, &mut copy) else { return (first, asked.await) };
        copy.timeouts.total = copy.timeouts.total.map(|total| total.saturating_sub(began.elapsed()));
        let also_asked = pin!(ask(worker, upstream, second.pick.endpoint, &mut copy));
        match select(asked, also_asked).await {
            Either::Left((sent, _)) if self.is_good(&sent) => (first, sent),
            Either::Left((sent, also_asked)) => {
                self.lost(first, sent);
                let sent = also_asked.await;
                (self.won(second, in_flight), sent)
            }
            Either::Right((sent, _)) if self.is_good(&sent) => {
                self.was_slow(&first);
                (self.won(second, in_flight), sent)
            }
            Either::Right((sent, asked)) => {
                let first_sent = asked.await;
                if self.is_good(&first_sent) {
                    self.lost(second, sent);
                    return (first, first_sent);
                }
                // As after a retry, it is the second that is passed on.
                self.lost(first, first_sent);
                (self.won(second, in_flight), sent)
            }
        }
    }

    /// Whom to ask as well, if there is somebody, room for it, and a budget. It counts as an attempt.
    fn second(&mut self, first: &Attempt<'u>, copy: &mut Outgoing) -> Option<(Attempt<'u>, InFlight)> {
        let route = &self.dispatch.matched.entry.value;
        // Balancers look for their keys in the exchange.
        std::mem::swap(&mut self.exchange.headers, &mut copy.headers);
        let spare = self.selection.spare(first.pick.endpoint, self.exchange);
        let entered = spare.and_then(|endpoint| match &self.upstream.limit {
            None => Some((endpoint, endpoint.enter())),
            Some(limit) => Some((endpoint, limit.admit_at_once(endpoint, self.exchange, route.class)?)),
        });
        std::mem::swap(&mut self.exchange.headers, &mut copy.headers);
        let (endpoint, in_flight) = entered.filter(|_| self.hedge.budget.spend())?;
        self.selection.note(first.pick.endpoint);
        self.exchange.facts.attempts += 1;
        self.exchange.facts.hedged = true;
        self.upstream.counts.hedges_sent.one();
        outgoing::address(copy, &route.host, endpoint, self.exchange);
        let began = first.began.map(|_| Instant::now());
        Some((Attempt { pick: Pick { endpoint, trial: None }, began }, in_flight))
    }

    /// An answer that another endpoint would be asked for instead does not beat one that is still to come.
    fn is_good(&self, sent: &Sent) -> bool {
        match sent {
            Ok(Incoming::Response { head, .. }) => {
                !self.upstream.retry.may_ask_elsewhere(head.status, &head.headers, &self.exchange.method)
            }
            Ok(Incoming::Upgraded { .. }) => true,
            Err(_) => false,
        }
    }

    fn lost(&self, attempt: Attempt<'u>, sent: Sent) {
        // Nobody waits for its body.
        let _ = heed((self.upstream, self.members), attempt.pick, &sent, attempt.began);
        if let Err(error) = sent {
            self.upstream.counts.failed(told(error).token());
        }
    }

    fn won(&mut self, second: Attempt<'u>, in_flight: InFlight) -> Attempt<'u> {
        self.exchange.in_flight = Some(in_flight);
        self.upstream.counts.hedges_won.one();
        if self.dispatch.active.wants_names() {
            self.exchange.facts.endpoint = Some(Arc::clone(&second.pick.endpoint.name));
        }
        second
    }

    /// It would have taken longer than this: a balancer would never learn that from answers which nobody waits for. Of its health it
    /// says nothing.
    fn was_slow(&self, first: &Attempt<'u>) {
        if let Some(began) = first.began {
            first.pick.endpoint.latency.observe(began.elapsed(), clock::coarse());
        }
    }
}
