//! What is not stored, or too old, is asked for, and what comes is stored.

use std::{
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::timeout;

use super::{
    Desk, Found,
    asked::Asked,
    forward,
    pieces::Cut,
    settled::{Outcome, Settled, Stale, with},
    way::Lost,
};
use crate::{
    cache::{
        entry::{Entry, moment, now},
        flight::Lead,
        policy::{self, Times, Use},
        status::{CacheStatus, Forward},
    },
    exchange::Exchange,
    filters::Next,
    http::{Response, StatusCode},
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

/// When it was asked for: the time, and the moment by which what was invalidated meanwhile is known.
pub struct Begun(SystemTime, Duration);

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
