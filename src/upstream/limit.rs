//! How many requests an upstream and its endpoints carry at once, and who waits.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{self, Context, Poll},
    time::{Duration, Instant},
};

use futures_util::future::{Either, LocalBoxFuture, Ready, ready};
use tokio::time::timeout;

use self::gate::Waiting;
pub use self::{
    adaptive::{Adaptive, Bounds},
    gate::Gate,
};
use super::{
    Endpoint,
    outlier::Report,
    selection::{Pick, Selection, Unasked},
};
pub use crate::settings::limit::Class;
use crate::{
    clock,
    exchange::{Exchange, InFlight, Slot},
    http::{Error, HeaderName, error::Overload},
};

mod adaptive;
mod gate;
mod queue;
#[cfg(test)]
mod tests;

/// How many requests an upstream carries at once.
#[derive(Debug)]
pub struct Limit {
    /// What was written.
    pub rules: Rules,
    /// What counts.
    pub gate: Arc<Gate>,
    /// Finds out how many requests may be under way, where that is not said.
    pub adaptive: Option<Arc<Adaptive>>,
}

/// What was written about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// At once, to the upstream; no more than this where it is found out.
    pub requests: u32,
    /// No less than this where it is found out.
    pub least: u32,
    /// At once, to each of its endpoints.
    pub per_endpoint: u32,
    /// The part of them that requests of the lowest class may have.
    pub sheddable: f64,
    /// Where a trusted proxy names the class of a request.
    pub class_field: Option<HeaderName>,
    /// So many may wait, ..
    pub queue: usize,
    /// .. for so long.
    pub patience: Duration,
}

/// One attempt of which a limit learns. If it falls before it has ended, its client has left.
pub struct Attempt<'l> {
    limit: &'l Limit,
    began: Instant,
    report: Option<Report>,
}

/// Who is asked.
type Picked<'u> = Result<Pick<'u>, Error>;

/// Somebody who wants to go in.
struct Asking<'a, 'u> {
    selection: &'a Selection<'u>,
    may_try: bool,
    class: Class,
    /// It has no place at the upstream yet; who has one wants another endpoint.
    is_new: bool,
    slot: Option<Slot>,
}

impl Limit {
    /// Whom to ask next, once there is a place for the request; it is counted until `exchange.in_flight` falls. Known at once, or in
    /// a box where it has to wait. An error is that there is nobody, or no place in time.
    pub fn admit<'a, 'u>(
        &'a self,
        selection: &'a Selection<'u>,
        exchange: &'a mut Exchange,
        may_try: bool,
        class: Class,
    ) -> Either<Ready<Picked<'u>>, LocalBoxFuture<'a, Picked<'u>>> {
        let slot = exchange.in_flight.take().and_then(InFlight::into_slot);
        let (is_new, class) = (slot.is_none(), self.rules.named(exchange).unwrap_or(class));
        let mut asking = Asking { selection, may_try, class, is_new, slot };
        match self.try_now(&mut asking, exchange) {
            Ok(pick) => Either::Left(ready(Ok(self.enter(pick, asking, exchange)))),
            Err(Unasked::Nobody) => Either::Left(ready(Err(Error::NoEndpoint))),
            Err(Unasked::Full) => Either::Right(Box::pin(async move {
                let pick = self.wait(&mut asking, exchange).await.inspect_err(|error| self.count(error))?;
                Ok(self.enter(pick, asking, exchange))
            })),
        }
    }

    fn enter<'u>(&self, pick: Pick<'u>, asking: Asking<'_, 'u>, exchange: &mut Exchange) -> Pick<'u> {
        let in_flight = pick.endpoint.enter();
        exchange.in_flight = Some(match asking.slot {
            Some(slot) => in_flight.with(slot),
            None => in_flight,
        });
        if !asking.is_new {
            // The endpoint before has room again.
            self.gate.wake();
        }
        pick
    }

    fn count(&self, error: &Error) {
        if let Error::Overloaded(why) = error {
            self.gate.refused.count(why);
        }
    }

    /// How many requests may be under way now.
    pub fn allowed(&self) -> u32 {
        match &self.adaptive {
            Some(adaptive) => adaptive.allowed().min(self.rules.requests),
            None => self.rules.requests,
        }
    }

    /// An attempt begins. Where it is found out how many there may be, this is what it is found out by.
    pub fn attempt(&self) -> Option<Attempt<'_>> {
        self.adaptive.as_ref().map(|_| Attempt { limit: self, began: Instant::now(), report: None })
    }

    /// How many there may be is found out, not written.
    pub fn is_found_out(&self) -> bool {
        self.adaptive.is_some()
    }

    /// An attempt that was counted as answered has failed: the answer has broken off within its body.
    pub fn broke_off(&self) {
        self.heed(Some(Report::Failed), Duration::ZERO);
    }

    fn heed(&self, report: Option<Report>, took: Duration) {
        let Some(adaptive) = &self.adaptive else { return };
        let answered = match report {
            Some(Report::Well) => Some(took),
            Some(Report::Failed | Report::Unreached) => None,
            None if adaptive.is_slow(took) => None,
            Some(Report::Nothing) | None => return,
        };
        let bounds = Bounds { least: self.rules.least, most: self.rules.requests };
        if adaptive.heed(answered, self.gate.in_flight(), bounds, clock::coarse()) {
            self.gate.wake();
        }
    }

    /// How many of them may be of this class, or a higher one.
    fn most(&self, class: Class) -> u32 {
        let allowed = self.allowed();
        match class {
            Class::Critical | Class::Normal => allowed,
            Class::Sheddable => ((f64::from(allowed) * self.rules.sheddable) as u32).max(1),
        }
    }

    /// Counts a request that nobody needs at this endpoint, if there is a place for it at once.
    pub fn admit_at_once(&self, endpoint: &Endpoint, exchange: &Exchange, class: Class) -> Option<InFlight> {
        let mut slot = self.gate.enter(self.most(self.rules.named(exchange).unwrap_or(class)))?;
        slot.enter(&endpoint.slots, self.rules.per_endpoint).then(|| endpoint.enter().with(slot))
    }

    fn try_now<'u>(&self, asking: &mut Asking<'_, 'u>, exchange: &Exchange) -> Result<Pick<'u>, Unasked> {
        let slot = asking.slot.take().or_else(|| self.gate.enter(self.most(asking.class)));
        self.pick(asking, slot.ok_or(Unasked::Full)?, exchange)
    }

    async fn wait<'u>(&self, asking: &mut Asking<'_, 'u>, exchange: &Exchange) -> Result<Pick<'u>, Error> {
        let Rules { queue, patience, .. } = self.rules;
        let full = |_| Error::Overloaded(Overload::QueueFull);
        let waiting = self.gate.queue_up(asking.class, asking.is_new, queue).map_err(full)?;
        let turn = poll_fn(|cx| self.poll_turn(&waiting, asking, exchange, cx));
        timeout(patience, turn).await.unwrap_or(Err(Error::Overloaded(Overload::QueueTimeout { limit: patience })))
    }

    fn poll_turn<'u>(
        &self,
        waiting: &Waiting<'_>,
        asking: &mut Asking<'_, 'u>,
        exchange: &Exchange,
        cx: &Context<'_>,
    ) -> Poll<Result<Pick<'u>, Error>> {
        if task::ready!(waiting.poll_first(cx)).is_err() {
            return Poll::Ready(Err(Error::Overloaded(Overload::Shed)));
        }
        match self.try_first(asking, exchange) {
            Ok(pick) => Poll::Ready(Ok(pick)),
            Err(Unasked::Full) => Poll::Pending,
            Err(Unasked::Nobody) => Poll::Ready(Err(Error::NoEndpoint)),
        }
    }

    /// A place at the upstream is taken only where an endpoint has one, too: giving it up again would wake who is first.
    fn try_first<'u>(&self, asking: &mut Asking<'_, 'u>, exchange: &Exchange) -> Result<Pick<'u>, Unasked> {
        if !asking.selection.has_room(self.rules.per_endpoint) {
            return Err(Unasked::Full);
        }
        let slot = asking.slot.take().or_else(|| self.gate.enter_first(self.most(asking.class)));
        self.pick(asking, slot.ok_or(Unasked::Full)?, exchange)
    }

    /// Of those who ask, who wants another endpoint keeps its place at the upstream; another one does not.
    fn pick<'u>(&self, asking: &mut Asking<'_, 'u>, mut slot: Slot, exchange: &Exchange) -> Result<Pick<'u>, Unasked> {
        let Asking { selection, may_try, is_new, .. } = *asking;
        let pick = selection.pick_with_room(exchange, may_try, self.rules.per_endpoint, &mut slot);
        if pick.is_ok() || !is_new {
            asking.slot = Some(slot);
        }
        pick
    }
}

impl Attempt<'_> {
    /// It has ended so.
    pub fn ended(mut self, report: Report) {
        self.report = Some(report);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.limit.heed(self.report, self.began.elapsed());
    }
}

impl Rules {
    /// The class that a trusted proxy has named.
    fn named(&self, exchange: &Exchange) -> Option<Class> {
        let field = self.class_field.as_ref().filter(|_| exchange.client.trusted)?;
        Class::named(exchange.headers.get(field)?.as_bytes())
    }
}
