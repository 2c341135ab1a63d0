//! What is not stored, or too old, is asked for, and what comes is stored.

use std::{
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::timeout;

use super::{Desk, Found, asked::Asked, forward, pieces::Cut, way::Lost};
use crate::{
    cache::{
        entry::{Entry, moment, now},
        filling::Filling,
        flight::Lead,
        policy::{self, Ask, Head, Refreshed, SetCookies, Times, Use},
        status::{CacheStatus, Forward},
    },
    exchange::Exchange,
    filters::Next,
    http::{Body, BodySize, Error, Fault, HeaderMap, Method, Response, ResponseBody, StatusCode, header},
};

/// Why and for whom something is asked for.
pub struct Errand {
    pub forward: Forward,
    stale: Option<Stale>,
    pub lead: Option<Lead>,
    /// Others wait for it.
    is_for_all: bool,
    /// This piece of it is asked for, not all of it.
    piece: Option<u64>,
}

/// A stored answer that is to be validated.
pub struct Stale {
    entry: Arc<Entry>,
    /// It will do if nothing better comes.
    stands_in: bool,
    /// The endpoint was told what is stored.
    is_told: bool,
}

/// When it was asked for: the time, and the moment by which what was invalidated meanwhile is known.
pub struct Begun(SystemTime, Duration);

/// What a client gets.
enum Outcome {
    Made(Response),
    Of { entry: Arc<Entry>, own: HeaderMap, first: Option<(u64, Arc<Entry>)> },
}

/// An answer, and when it was asked for.
pub struct Came {
    pub response: Response,
    pub times: Times,
    pub since: Duration,
    /// So long it must be, whatever it announces.
    pub length: Option<u64>,
}

impl Begun {
    /// Now.
    pub fn now() -> Self {
        Self(now(), moment())
    }

    /// This has come of it, now.
    pub fn came(self, response: Response) -> Came {
        Came { response, times: Times { asked: self.0, answered: now() }, since: self.1, length: None }
    }
}

impl Came {
    /// It is a part, or says that there is none.
    fn is_of_ranges(&self) -> bool {
        let is_of_them = [StatusCode::PARTIAL_CONTENT, StatusCode::RANGE_NOT_SATISFIABLE];
        self.response.cause.is_none() && is_of_them.contains(&self.response.status)
    }
}

impl Outcome {
    fn respond(self, ask: &Ask<'_>) -> Response {
        match self {
            Self::Made(response) => response,
            Self::Of { entry, own, .. } => with(entry.respond(ask, now()).unwrap_or_else(broken), own),
        }
    }
}

fn with(mut response: Response, own: HeaderMap) -> Response {
    for (name, value) in own {
        response.headers.append(name, value);
    }
    response
}

/// What has become of it.
pub enum Settled {
    /// It can be had from here, but for the fields that are for who has asked alone.
    Stored { entry: Arc<Entry>, own: HeaderMap, is_validated: bool, is_kept: bool },
    /// It can be had from here, in pieces, of which this one is on its way.
    Cut { whole: Arc<Entry>, first: (u64, Arc<Entry>), own: HeaderMap, is_kept: bool },
    /// The one that was stored stands in for it.
    StandsIn(Arc<Entry>),
    /// It is for this client alone.
    Passed(Response, &'static str),
    /// What was stored is something else: it is to be asked for anew.
    Again(Option<Lead>),
}

/// For so long requests are not collapsed after one of them had an answer that was not for everybody.
pub const DIRECT: Duration = Duration::from_secs(10);

/// The same where it failed.
pub const DIRECT_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A newer one for what is used meanwhile is waited for no longer.
pub const LONGEST: Duration = Duration::from_secs(60);

impl Errand {
    /// For a request for which this was found.
    pub fn of(found: Option<Found>, asked: &Asked) -> Self {
        let forward = forward(found.as_ref());
        let stale = found.filter(|_| asked.is_shared()).and_then(|found| match found.usage {
            Use::Validate { stands_in, .. } => Some(Stale { entry: found.entry, stands_in, is_told: false }),
            _ => None,
        });
        Self { forward, stale, lead: None, is_for_all: false, piece: None }
    }

    /// With what was found since.
    pub fn with(self, found: Found, asked: &Asked) -> Self {
        let Self { forward, stale, .. } = Self::of(Some(found), asked);
        Self { forward, stale, ..self }
    }

    /// Something is stored that is to be validated.
    pub fn validates(&self) -> bool {
        self.stale.is_some()
    }

    /// Others wait for it. Where answers are kept in pieces, this one is asked for first.
    pub fn for_all(self, lead: Lead, piece: Option<u64>) -> Self {
        Self { lead: Some(lead), is_for_all: true, piece, ..self }
    }

    /// Nobody does.
    pub fn for_one(self, lead: Lead) -> Self {
        Self { lead: Some(lead), ..self }
    }
}

impl Desk {
    /// Sends it on, and answers with what comes.
    pub async fn fetch(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        next: Next<'_>,
        mut asked: Asked,
        mut errand: Errand,
    ) -> Response {
        self.misses.happened();
        let mut is_asked_again = false;
        loop {
            match &mut errand.stale {
                // What has come was neither that nor a whole one; it may still stand in.
                Some(stale) if is_asked_again => stale.is_told = false,
                Some(stale) => stale.is_told = policy::validate(&mut exchange.headers, &stale.entry.head),
                None => {}
            }
            // What nobody else waits for is asked for as the client wants it.
            if errand.is_for_all && errand.stale.as_ref().is_none_or(|stale| !stale.is_told) {
                policy::unconditional(&mut exchange.headers);
            }
            if let Some(piece) = errand.piece {
                self.ask_for_piece(&mut exchange.headers, piece);
            }
            let begun = Begun::now();
            let came = begun.came(next.run(exchange).await);
            let status = came.response.status;
            let (forward, piece) = (Some(errand.forward), errand.piece);
            let told = CacheStatus { forward, forward_status: Some(status), ..CacheStatus::default() };
            let lead = errand.lead.take();
            match self.cut_or_settle(&asked, (&mut errand.stale, lead), piece, came, exchange) {
                Cut::Again { lead, piece, is_for_all } => {
                    is_asked_again = true;
                    errand = Errand { lead, piece, is_for_all, ..errand };
                }
                Cut::Settled(Settled::Again(lead)) => errand.lead = lead,
                Cut::Settled(settled) => match self.told(exchange, next, settled, &asked, told).await {
                    Some(response) => {
                        exchange.headers = mem::take(&mut asked.headers);
                        return response;
                    }
                    // Of what was to be put together one piece is of something else by now: this client gets that as a whole.
                    None => {
                        let lead = self.shelf.flights.lead_alone(&asked.key);
                        errand = Errand { lead, stale: None, piece: None, is_for_all: false, ..errand };
                    }
                },
            }
            (exchange.headers, exchange.body) = (asked.headers.clone(), asked.body());
        }
    }

    /// With all that the client is told of it; `None` if it has changed since its head came.
    async fn told(
        self: &Arc<Self>,
        exchange: &Exchange,
        next: Next<'_>,
        settled: Settled,
        asked: &Asked,
        mut told: CacheStatus,
    ) -> Option<Response> {
        let mut response = match self.outcome(settled, &mut told) {
            Outcome::Of { entry, own, first } if entry.sliced.is_some() => {
                let assembled = Box::pin(self.assembled(exchange, asked, next, &entry, first)).await;
                let response = match assembled {
                    Ok((response, _)) => response,
                    Err(Lost::Changed) => return None,
                    Err(Lost::Failed(response)) => *response,
                };
                told.forward_status = told.forward_status.filter(|status| *status != response.status);
                with(response, own)
            }
            outcome => outcome.respond(&asked.ask(&self.rules)),
        };
        self.tell(&mut response, &told);
        Some(response)
    }

    /// What was stored stays for the next answer if this one says nothing of it.
    fn cut_or_settle(
        &self,
        asked: &Asked,
        (stale, lead): (&mut Option<Stale>, Option<Lead>),
        piece: Option<u64>,
        came: Came,
        exchange: &mut Exchange,
    ) -> Cut {
        match piece {
            Some(piece) if came.is_of_ranges() => self.cut(asked, piece, lead, came, exchange),
            _ => Cut::Settled(self.settle(asked, (stale.take(), lead), came, exchange)),
        }
    }

    fn settled(&self, settled: Settled, asked: &Asked, told: &mut CacheStatus) -> Response {
        self.outcome(settled, told).respond(&asked.ask(&self.rules))
    }

    fn outcome(&self, settled: Settled, told: &mut CacheStatus) -> Outcome {
        let (entry, own, first) = match settled {
            Settled::Stored { entry, own, is_kept, is_validated } => {
                told.is_stored = is_kept;
                if !is_validated {
                    told.forward_status = None;
                }
                (entry, own, None)
            }
            Settled::Cut { whole, first, own, is_kept } => {
                told.is_stored = is_kept;
                (whole, own, Some(first))
            }
            Settled::StandsIn(entry) => {
                self.stale.happened();
                told.detail = Some("stale-if-error");
                (entry, HeaderMap::new(), None)
            }
            Settled::Passed(response, why) => {
                told.forward_status = None;
                told.detail = Some(why);
                return Outcome::Made(response);
            }
            Settled::Again(_) => return Outcome::Made(broken()),
        };
        told.ttl = Some(entry.head.ttl(now()));
        Outcome::Of { entry, own, first }
    }

    /// What is done with an answer that came.
    pub fn settle(
        &self,
        asked: &Asked,
        (stale, lead): (Option<Stale>, Option<Lead>),
        came: Came,
        exchange: &mut Exchange,
    ) -> Settled {
        let response = &came.response;
        let has_failed = response.cause.as_ref().is_some_and(|cause| cause.fault() == Fault::Upstream);
        if let Some(stale) = stale {
            let failed = has_failed || policy::is_failure(response.status);
            if failed && stale.stands_in {
                failed_for(lead);
                return Settled::StandsIn(stale.entry);
            }
            if stale.is_told && response.status == StatusCode::NOT_MODIFIED && response.cause.is_none() {
                return self.refresh(asked, &stale.entry, lead, &came);
            }
        }
        if response.cause.is_some() || response.takeover.is_some() {
            failed_for(lead);
            return Settled::Passed(came.response, "no answer of an endpoint");
        }
        if asked.method == Method::HEAD {
            self.heed_head(asked, &came);
        }
        let ask = asked.ask(&self.rules);
        match policy::store(&ask, response.status, &response.headers, came.times, &self.rules) {
            Err(why) => {
                give_way(lead, DIRECT);
                Settled::Passed(came.response, why.detail())
            }
            Ok(_) if is_endless(&response.headers) => {
                give_way(lead, DIRECT);
                Settled::Passed(came.response, "event-stream")
            }
            Ok(_) if !self.has_room(&response.body) => {
                give_way(lead, DIRECT);
                Settled::Passed(came.response, "too-large")
            }
            Ok(head) => {
                let (in_flight, awaited) = (exchange.in_flight.take(), exchange.awaited.take());
                let (key, shelf) = (asked.key.clone(), Arc::clone(&self.shelf));
                let (since, max_object) = (came.since, self.max_object);
                let stored = Some(self.stored.clone());
                let (length, is_lifted) = (came.length, false);
                let filling =
                    Filling { key, shelf, lead, since, max_object, length, stored, in_flight, awaited, is_lifted };
                let own = self.own(&head, &came.response.headers);
                let (entry, is_kept) = filling.begin(head, came.response.body);
                Settled::Stored { entry, own, is_validated: false, is_kept }
            }
        }
    }

    /// The endpoint has said that what is stored is still good.
    fn refresh(&self, asked: &Asked, old: &Arc<Entry>, lead: Option<Lead>, came: &Came) -> Settled {
        let ask = asked.ask(&self.rules);
        let (head, may_be_kept) =
            match policy::refresh(&ask, &old.head, &came.response.headers, came.times, &self.rules) {
                Refreshed::Kept(head) => (head, true),
                Refreshed::Aside(head) => (head, false),
                Refreshed::Once(head, _) => {
                    self.shelf.drop_entry(&asked.key, old);
                    (head, false)
                }
                Refreshed::Mismatch => {
                    self.shelf.drop_entry(&asked.key, old);
                    return Settled::Again(lead);
                }
            };
        self.revalidated.happened();
        let own = self.own(&head, &came.response.headers);
        let entry = old.with(head, came.since);
        let is_kept = may_be_kept && self.shelf.put(&asked.key, &entry, lead.as_ref());
        match lead {
            Some(lead) if is_kept => lead.came(&entry),
            // It was purged meanwhile: who waits for it asks anew.
            lead if may_be_kept => drop(lead),
            lead => give_way(lead, DIRECT),
        }
        Settled::Stored { entry, own, is_validated: true, is_kept }
    }

    /// What is for who has asked alone.
    pub fn own(&self, head: &Head, answer: &HeaderMap) -> HeaderMap {
        let mut own = head.withheld(answer);
        // What the operator has dropped nobody gets.
        if self.rules.cookies == SetCookies::Dropped {
            own.remove(header::SET_COOKIE);
        }
        own
    }

    /// Stores an answer that may be, and answers with it.
    pub fn keep(
        &self,
        exchange: &mut Exchange,
        asked: &Asked,
        lead: Lead,
        came: Came,
        told: &mut CacheStatus,
    ) -> Response {
        let settled = self.settle(asked, (None, Some(lead)), came, exchange);
        self.settled(settled, asked, told)
    }

    /// What is stored, where it may stand in for failures: one has just been seen.
    pub fn stand_in(&self, errand: &Errand, asked: &Asked) -> Option<Response> {
        let stale = errand.stale.as_ref().filter(|stale| stale.stands_in && errand.forward == Forward::Stale)?;
        // Where it is in pieces some may have to be asked for.
        if stale.entry.sliced.is_some() {
            return None;
        }
        let mut told = CacheStatus::default();
        let mut response = self.settled(Settled::StandsIn(Arc::clone(&stale.entry)), asked, &mut told);
        self.tell(&mut response, &told);
        Some(response)
    }

    fn has_room(&self, body: &ResponseBody) -> bool {
        !matches!(body.size(), BodySize::Sized(length) if length > self.max_object)
    }

    /// Asks for a newer one in a task of its own, unless somebody does already.
    pub fn revalidate(self: &Arc<Self>, exchange: &Exchange, asked: &Asked, entry: &Arc<Entry>, next: Next<'_>) {
        if !asked.is_shared() {
            return;
        }
        let Some(lead) = self.shelf.flights.lead_alone(&asked.key) else { return };
        let Some(go_on) = next.detach() else { return };
        let mut own = exchange.again(asked.headers.clone());
        own.body = asked.body();
        let (is_told, piece) = (policy::validate(&mut own.headers, &entry.head), self.first_piece(asked, next));
        if let Some(piece) = piece {
            self.ask_for_piece(&mut own.headers, piece);
        }
        let (desk, asked) = (Arc::clone(self), asked.clone());
        let stale = Stale { entry: Arc::clone(entry), stands_in: false, is_told };
        actix_rt::spawn(async move {
            let begun = Begun::now();
            let Ok((mut own, response)) = timeout(LONGEST, go_on(own)).await else {
                log::debug!("a newer answer for the store took too long");
                return;
            };
            // What comes instead is stored, and what cannot be is for nobody: the next one who asks gets his own.
            let _ = desk.cut_or_settle(&asked, (&mut Some(stale), Some(lead)), piece, begun.came(response), &mut own);
        });
    }
}

/// Events are for who listens now: nobody is to be told again what others have heard, whatever a rule says of answers that say nothing.
fn is_endless(fields: &HeaderMap) -> bool {
    let kind = fields.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    kind.and_then(|kind| kind.get(..EVENTS.len())).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENTS))
}

const EVENTS: &[u8] = b"text/event-stream";

/// Whoever waits asks for himself, unless something stands in, and so do others for so long.
fn failed_for(lead: Option<Lead>) {
    if let Some(lead) = lead {
        lead.failed(moment(), DIRECT_AFTER_FAILURE);
    }
}

/// Whoever waits asks for himself, and so do others for so long.
pub fn give_way(lead: Option<Lead>, time: Duration) {
    if let Some(lead) = lead {
        lead.direct(moment(), time);
    }
}

/// Of what has just come all is there, or on its way.
fn broken() -> Response {
    Response { cause: Some(Error::Internal { what: "what was to be answered is gone" }), ..Response::default() }
}
