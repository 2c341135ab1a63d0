//! What becomes of an answer that was asked for, and what of it the client gets.

use std::{sync::Arc, time::Duration};

use super::{Desk, asked::Asked, fetch::Came};
use crate::{
    cache::{
        entry::{Entry, moment, now},
        filling::Filling,
        flight::Lead,
        policy::{self, Ask, Head, Refreshed, SetCookies},
        status::CacheStatus,
    },
    exchange::Exchange,
    http::{Body, BodySize, Error, Fault, HeaderMap, Method, Response, ResponseBody, StatusCode, header},
};

/// A stored answer that is to be validated.
pub struct Stale {
    pub entry: Arc<Entry>,
    /// It will do if nothing better comes.
    pub stands_in: bool,
    /// The endpoint was told what is stored.
    pub is_told: bool,
}

/// For so long requests are not collapsed after one of them had an answer that was not for everybody.
pub const DIRECT: Duration = Duration::from_secs(10);

/// The same where it failed.
pub const DIRECT_AFTER_FAILURE: Duration = Duration::from_secs(1);

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

/// What a client gets.
pub enum Outcome {
    Made(Response),
    Of { entry: Arc<Entry>, own: HeaderMap, first: Option<(u64, Arc<Entry>)> },
}

impl Outcome {
    pub fn respond(self, ask: &Ask<'_>) -> Response {
        match self {
            Self::Made(response) => response,
            Self::Of { entry, own, .. } => with(entry.respond(ask, now()).unwrap_or_else(broken), own),
        }
    }
}

/// With what is for who has asked alone.
pub fn with(mut response: Response, own: HeaderMap) -> Response {
    for (name, value) in own {
        response.headers.append(name, value);
    }
    response
}

impl Desk {
    /// As the client gets it, where it is not in pieces.
    pub fn settled(&self, settled: Settled, asked: &Asked, told: &mut CacheStatus) -> Response {
        self.outcome(settled, told).respond(&asked.ask(&self.rules))
    }

    /// What the client gets, and what it is told of that.
    pub fn outcome(&self, settled: Settled, told: &mut CacheStatus) -> Outcome {
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

    fn has_room(&self, body: &ResponseBody) -> bool {
        !matches!(body.size(), BodySize::Sized(length) if length > self.max_object)
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
