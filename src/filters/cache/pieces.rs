//! Large answers in pieces: each is asked for by its range when somebody wants something of it, and is kept by itself.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{sync::oneshot, time::timeout};

use super::{
    Desk,
    asked::Asked,
    assembly::Assembly,
    fetch::{Begun, Came, DIRECT, DIRECT_AFTER_FAILURE, LONGEST, Settled},
};
use crate::{
    cache::{
        entry::{Entry, moment, now},
        filling::Filling,
        flight::{Awaited, Boarding, Lead},
        key::Key,
        policy::{self, Answer, Head, Part},
        sliced::Sliced,
        status::{CacheStatus, Forward},
    },
    exchange::Exchange,
    filters::{Detached, Next},
    http::{Body, BodySize, Error, HeaderMap, HeaderValue, Method, Response, ResponseBody, StatusCode, header},
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

/// Why there is no next piece.
pub enum Lost {
    /// What is kept will not do: the endpoint has something else by now, or nothing is to be asked.
    Changed,
    /// It has failed, with this.
    Failed(Box<Response>),
}

/// What is wanted of a piece: it is there, or asked for. Who has it keeps it there, also where the store has no room for it.
pub enum Coming {
    Here(ResponseBody),
    Asked(oneshot::Receiver<Result<ResponseBody, Lost>>),
}

/// Before an answer begins no more pieces are looked for: a worker has others to serve.
const MOST_LOOKED_FOR: usize = 64;

/// What an answer to a request for a piece is.
enum Judged {
    /// The piece.
    Piece(Box<Head>),
    /// The same, but nobody else may have it.
    ForOne,
    /// Something else, and so are all pieces by now.
    Changed,
    /// An answer that tells nothing of what is kept: another client may get another one.
    Other,
}

/// How pieces are asked for, by whoever wants something of an answer, and after his own request was answered.
pub struct Way {
    desk: Arc<Desk>,
    asked: Asked,
    exchange: Exchange,
    go_on: Detached,
    whole: Arc<Entry>,
    pub sliced: Arc<Sliced>,
}

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
    fn fill(
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

impl Way {
    /// What lies in a piece of the bytes from one to another: it is in the store, or is asked for from now on, if it is not already.
    pub fn piece(self: &Rc<Self>, number: u64, wanted: (u64, u64)) -> Coming {
        if let Some(body) = self.stored(number).and_then(|entry| self.read(number, wanted, &entry)) {
            return Coming::Here(body);
        }
        let ((tell, told), way) = (oneshot::channel(), Rc::clone(self));
        actix_rt::spawn(async move {
            // Who has left does not want it any more, and others may.
            let _ = tell.send(way.come(number, wanted).await);
        });
        Coming::Asked(told)
    }

    fn key(&self, number: u64) -> Key {
        self.sliced.key(self.asked.key.target(), number)
    }

    fn is_stored(&self, number: u64) -> bool {
        self.desk.shelf.memory.has(&self.key(number))
    }

    fn stored(&self, number: u64) -> Option<Arc<Entry>> {
        let key = self.key(number);
        let pieces = self.desk.shelf.memory.of_target(&key)?;
        pieces.of_key(&key).next().cloned()
    }

    /// The bytes from one to another, as far as they are in this piece; `None`: they are gone already.
    fn read(&self, number: u64, wanted: (u64, u64), entry: &Entry) -> Option<ResponseBody> {
        let (first, last) = self.sliced.bounds(number);
        entry.content.read(Some((wanted.0.max(first) - first, wanted.1.min(last) - first)))
    }

    async fn come(&self, number: u64, wanted: (u64, u64)) -> Result<ResponseBody, Lost> {
        let (key, mut waits, mut joins) = (self.key(number), true, true);
        loop {
            if self.sliced.is_lost() {
                return Err(Lost::Changed);
            }
            let (flights, find) = (&self.desk.shelf.flights, || self.stored(number).filter(|_| joins));
            let entry = match flights.board(&key, waits, |_| joins, find, moment()) {
                Boarding::Stored(entry) | Boarding::Joined(entry) => entry,
                Boarding::Lead(lead) | Boarding::Direct { lead, .. } => {
                    let entry = self.fetch(number, key, lead).await?;
                    // Nobody has had a turn meanwhile who could have given up its beginning.
                    return self.read(number, wanted, &entry).ok_or_else(Lost::gone);
                }
                Boarding::Wait(waiting) => match waiting.head().await {
                    Awaited::Came(entry) => entry,
                    // Nobody stands in line for what fails.
                    Awaited::Direct => {
                        waits = false;
                        continue;
                    }
                    Awaited::Gone => continue,
                },
            };
            match self.read(number, wanted, &entry) {
                Some(body) => return Ok(body),
                // It broke off, or there was no room for it: it is asked for once more.
                None => (waits, joins) = (false, false),
            }
        }
    }

    async fn fetch(&self, number: u64, key: Key, lead: Lead) -> Result<Arc<Entry>, Lost> {
        let mut own = self.exchange.again(self.asked.headers.clone());
        policy::unconditional(&mut own.headers);
        let (first, last) = self.sliced.bounds(number);
        ask_for(&mut own.headers, first, last);
        let begun = Begun::now();
        let Ok((mut own, response)) = timeout(LONGEST, (self.go_on)(own)).await else {
            lead.failed(moment(), DIRECT_AFTER_FAILURE);
            return Err(Lost::gone());
        };
        let came = begun.came(response);
        match self.judged(number, &came) {
            Judged::Piece(head) => Ok(self.desk.fill(&self.sliced, (number, key), Some(lead), (*head, came), &mut own)),
            Judged::ForOne => {
                lead.failed(moment(), DIRECT_AFTER_FAILURE);
                let head = self.whole.head.clone();
                Ok(self.desk.fill(&self.sliced, (number, key), None, (head, came), &mut own))
            }
            Judged::Other => {
                lead.failed(moment(), DIRECT_AFTER_FAILURE);
                Err(Lost::other(came.response))
            }
            Judged::Changed => {
                log::debug!(
                    "an endpoint has something else by now than what is kept of it in pieces: these are dropped"
                );
                self.sliced.lose();
                self.desk.shelf.memory.drop_entry(&self.asked.key, &self.whole);
                Err(Lost::Changed)
            }
        }
    }

    /// Whether it is the piece that was asked for, and of the same answer as all others.
    fn judged(&self, number: u64, came: &Came) -> Judged {
        let Came { response, times, .. } = came;
        let (status, fields) = (response.status, &response.headers);
        let is_part = status == StatusCode::PARTIAL_CONTENT;
        let part = Part::of(fields).filter(|_| is_part);
        let speaks_of_it = is_part || [StatusCode::OK, StatusCode::RANGE_NOT_SATISFIABLE].contains(&status);
        if response.cause.is_some() || !speaks_of_it {
            return Judged::Other;
        }
        let ((first, last), total) = (self.sliced.bounds(number), self.sliced.length());
        let said = if is_part { part.map(|part| part.total) } else { Part::total_without(fields) };
        let whole = &self.whole.head;
        if whole.is_of_another(fields)
            || said.is_some_and(|said| said != total)
            || is_part && !whole.is_coded_as(fields)
        {
            return Judged::Changed;
        }
        let wanted = Part { first, last, total };
        if part != Some(wanted) || !fits(&response.body, wanted) || !whole.is_of_same(fields) {
            return Judged::Other;
        }
        let mut headers = fields.clone();
        policy::make_whole(&mut headers);
        let mut ask = self.asked.ask(&self.desk.rules);
        // It has got what is kept already, and this is for others, too.
        ask.wishes.no_store = false;
        let head = policy::store(&ask, StatusCode::OK, &headers, *times, &self.desk.rules);
        head.map_or(Judged::ForOne, |head| Judged::Piece(Box::new(head)))
    }
}

impl Coming {
    /// Its bytes, as soon as its head has come. They are taken out.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseBody, Lost>> {
        match self {
            Self::Here(body) => Poll::Ready(Ok(mem::take(body))),
            Self::Asked(told) => Pin::new(told).poll(cx).map(|told| told.unwrap_or_else(|_| Err(Lost::gone()))),
        }
    }
}

impl Lost {
    fn gone() -> Self {
        let cause = Error::Internal { what: "a piece of what was to be answered cannot be had" };
        Self::Failed(Box::new(Response { cause: Some(cause), ..Response::default() }))
    }

    /// With what came instead of a piece. What is about the range that was asked for is not for who has asked for another one.
    fn other(response: Response) -> Self {
        const OF_OUR_REQUEST: [StatusCode; 3] =
            [StatusCode::PARTIAL_CONTENT, StatusCode::RANGE_NOT_SATISFIABLE, StatusCode::NOT_MODIFIED];
        if response.cause.is_some() || !OF_OUR_REQUEST.contains(&response.status) {
            return Self::Failed(Box::new(response));
        }
        let cause = Error::BadAnswer { what: "it is not the range that was asked for" };
        Self::Failed(Box::new(Response { cause: Some(cause), ..Response::default() }))
    }
}

fn ask_for(headers: &mut HeaderMap, first: u64, last: u64) {
    let range = HeaderValue::from_str(&format!("bytes={first}-{last}")).expect("digits and letters");
    headers.insert(header::RANGE, range);
}

/// As long as it says, as far as that is known yet.
fn fits(body: &ResponseBody, part: Part) -> bool {
    !matches!(body.size(), BodySize::Sized(length) if length != part.length()) && !matches!(body.size(), BodySize::None)
}
