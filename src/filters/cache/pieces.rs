//! Large answers in pieces: each is asked for by its range when somebody wants something of it, and is kept by itself.

use std::{future::poll_fn, rc::Rc, sync::Arc};

use super::{
    Desk,
    asked::Asked,
    assembly::Assembly,
    fetch::Came,
    settled::{DIRECT, Settled},
    way::{Lost, Way},
};
use crate::{
    cache::{
        entry::{Entry, moment, now},
        filling::Filling,
        flight::Lead,
        key::Key,
        policy::{self, Answer, Head, Part},
        sliced::Sliced,
        status::{CacheStatus, Forward},
    },
    exchange::Exchange,
    filters::Next,
    http::{Body, BodySize, HeaderMap, HeaderValue, Method, Response, ResponseBody, StatusCode, header},
};

/// What has become of the answer to a request for a piece.
pub enum Cut {
    /// It will do.
    Settled(Settled),
    /// It is to be asked for in another way.
    Again {
        lead: Option<Lead>,
        /// This piece of it, or all of it.
        piece: Option<u64>,
        /// Others wait for it.
        is_for_all: bool,
    },
}

/// Before an answer begins no more pieces are looked for: a worker has others to serve.
const MOST_LOOKED_FOR: usize = 64;

impl Desk {
    /// The piece that is asked for first, where answers are kept in pieces.
    pub fn first_piece(&self, asked: &Asked, next: Next<'_>) -> Option<u64> {
        let size = self.slice.filter(|_| asked.method == Method::GET && next.detach().is_some())?;
        Some(policy::first_wanted(&asked.headers) / size)
    }

    /// Has a request ask for this piece alone.
    pub fn ask_for_piece(&self, headers: &mut HeaderMap, piece: u64) {
        let Some(size) = self.slice else { return };
        let first = piece.saturating_mul(size);
        ask_for(headers, first, first.saturating_add(size - 1));
    }

    /// What is done with an answer to that which speaks of ranges.
    pub fn cut(&self, asked: &Asked, number: u64, lead: Option<Lead>, mut came: Came, exchange: &mut Exchange) -> Cut {
        let whole = |lead| Cut::Again { lead, piece: None, is_for_all: true };
        let (Some(size), headers) = (self.slice, &mut came.response.headers) else { return whole(lead) };
        if came.response.status == StatusCode::RANGE_NOT_SATISFIABLE {
            // How long it is can be told from its beginning, if there is one.
            let piece = (number > 0).then_some(0);
            return Cut::Again { lead, piece, is_for_all: true };
        }
        let part = Part::of(headers).filter(|part| {
            part.first == number * size && part.last == part.first.saturating_add(size - 1).min(part.total - 1)
        });
        let Some(part) = part.filter(|part| fits(&came.response.body, *part)) else { return whole(lead) };
        came.response.status = StatusCode::OK;
        if part.is_all() {
            headers.remove(header::CONTENT_RANGE);
            came.length = Some(part.length());
            return Cut::Settled(self.settle(asked, (None, lead), came, exchange));
        }
        policy::make_whole(headers);
        let ask = asked.ask(&self.rules);
        let head = policy::store(&ask, StatusCode::OK, &came.response.headers, came.times, &self.rules);
        let sliced = Sliced::new(size, part.total);
        match (head, sliced) {
            (Ok(head), Some(sliced)) if head.identifies_parts() => {
                Cut::Settled(self.begin_whole(asked, lead, (number, &sliced), (head, came), exchange))
            }
            // Nobody else can use it: it is asked for as this client wants it. What invalidates it meanwhile is still heard of.
            _ => {
                lead.iter().for_each(|lead| lead.direct(moment(), DIRECT));
                Cut::Again { lead, piece: None, is_for_all: false }
            }
        }
    }

    /// The first piece of something that is to be kept.
    fn begin_whole(
        &self,
        asked: &Asked,
        lead: Option<Lead>,
        (number, sliced): (u64, &Arc<Sliced>),
        (head, came): (Head, Came),
        exchange: &mut Exchange,
    ) -> Settled {
        let own = self.own(&head, &came.response.headers);
        let whole = Entry::in_pieces(head.clone(), Arc::clone(sliced), came.since);
        let is_kept = self.shelf.put(&asked.key, &whole, lead.as_ref());
        if let Some(lead) = lead.as_ref().filter(|_| is_kept) {
            lead.came(&whole);
        }
        let key = sliced.key(asked.key.target(), number);
        let lead = self.shelf.flights.lead_alone(&key);
        let first = self.fill(sliced, (number, key), lead, (head, came), exchange);
        Settled::Cut { whole, first: (number, first), own, is_kept }
    }

    /// Keeps a piece as it comes; without a lead it is for who has asked alone.
    pub fn fill(
        &self,
        sliced: &Sliced,
        (number, key): (u64, Key),
        lead: Option<Lead>,
        (head, came): (Head, Came),
        exchange: &mut Exchange,
    ) -> Arc<Entry> {
        let (first, last) = sliced.bounds(number);
        let length = last - first + 1;
        let max_object = if lead.is_some() { length } else { 0 };
        let filling = Filling {
            key,
            shelf: Arc::clone(&self.shelf),
            lead,
            since: came.since,
            max_object,
            length: Some(length),
            stored: Some(self.stored.clone()),
            in_flight: exchange.in_flight.take(),
            awaited: exchange.awaited.take(),
            is_lifted: false,
        };
        filling.begin(head, came.response.body).0
    }

    /// What a request gets of an answer in pieces. Before anything is said the first of them has come.
    pub async fn assembled(
        self: &Arc<Self>,
        exchange: &Exchange,
        asked: &Asked,
        next: Next<'_>,
        whole: &Arc<Entry>,
        first: Option<(u64, Arc<Entry>)>,
    ) -> Result<(Response, bool), Lost> {
        let ask = asked.ask(&self.rules);
        if let Some(response) = whole.respond(&ask, now()) {
            return Ok((response, true));
        }
        let (Some(sliced), Some(go_on)) = (whole.sliced.clone(), next.detach()) else {
            return Err(Lost::gone());
        };
        let length = sliced.length();
        let answer = policy::answer(&ask, &whole.head, Some(length));
        let (from, to) = if let Answer::Part { first, last } = answer { (first, last) } else { (0, length - 1) };
        let (exchange, whole) = (exchange.again(HeaderMap::new()), Arc::clone(whole));
        let way = Rc::new(Way { desk: Arc::clone(self), asked: asked.clone(), exchange, go_on, whole, sliced });
        let (number, last) = (way.sliced.piece_at(from), way.sliced.piece_at(to));
        let is_all_here = (number..=last).take(MOST_LOOKED_FOR).all(|piece| way.is_stored(piece));
        let is_known = last - number < MOST_LOOKED_FOR as u64;
        let wants_nothing_asked = ask.wishes.only_if_cached || ask.wishes.no_store;
        if wants_nothing_asked && first.is_none() && !(is_all_here && is_known) {
            return Err(Lost::Changed);
        }
        let first = first.filter(|(first, _)| *first == number);
        let piece = match first.and_then(|(_, entry)| way.read(number, (from, to), &entry)) {
            Some(body) => body,
            None => {
                let mut coming = way.piece(number, (from, to));
                poll_fn(|cx| coming.poll(cx)).await?
            }
        };
        let (status, headers) = answer.head(&way.whole.head, Some(length), now());
        let body = Assembly::new(way, (from, to), piece);
        let body = ResponseBody::Stream(Box::new(body));
        Ok((Response { headers, body, ..Response::new(status) }, is_all_here))
    }

    /// The same where it is found in the store, or on its way there; `None`: it is to be asked for anew.
    pub async fn hit_in_pieces(
        self: &Arc<Self>,
        exchange: &Exchange,
        asked: &Asked,
        next: Next<'_>,
        whole: &Arc<Entry>,
        is_collapsed: bool,
    ) -> Option<Response> {
        let ttl = Some(whole.head.ttl(now()));
        let (mut response, is_all_here, ttl) = match self.assembled(exchange, asked, next, whole, None).await {
            Ok((response, is_all_here)) => (response, is_all_here, ttl),
            Err(Lost::Changed) => return None,
            Err(Lost::Failed(response)) => (*response, false, None),
        };
        let forward = match (is_collapsed, is_all_here) {
            (true, _) => Some(Forward::UriMiss),
            (false, true) => None,
            (false, false) => Some(Forward::Partial),
        };
        match forward {
            None => self.hits.happened(),
            Some(_) if is_collapsed => self.collapsed.happened(),
            Some(_) => self.misses.happened(),
        }
        self.tell(&mut response, &CacheStatus { forward, ttl, is_collapsed, ..CacheStatus::default() });
        Some(response)
    }
}

/// Has a request ask for these bytes alone.
pub fn ask_for(headers: &mut HeaderMap, first: u64, last: u64) {
    let range = HeaderValue::from_str(&format!("bytes={first}-{last}")).expect("digits and letters");
    headers.insert(header::RANGE, range);
}

/// As long as it says, as far as that is known yet.
pub fn fits(body: &ResponseBody, part: Part) -> bool {
    !matches!(body.size(), BodySize::Sized(length) if length != part.length()) && !matches!(body.size(), BodySize::None)
}
