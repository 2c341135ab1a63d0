//! The way to the pieces of one answer: each is looked for, waited for or asked for, and read from the moment its head is there.

use std::{
    future::Future,
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
    fetch::{Begun, Came, LONGEST},
    pieces::{ask_for, fits},
    settled::DIRECT_AFTER_FAILURE,
};
use crate::{
    cache::{
        entry::{Entry, moment},
        flight::{Awaited, Boarding, Lead},
        key::Key,
        policy::{self, Head, Part},
        sliced::Sliced,
    },
    exchange::Exchange,
    filters::Detached,
    http::{Error, Response, ResponseBody, StatusCode},
};

/// How pieces are asked for, by whoever wants something of an answer, and after his own request was answered.
pub struct Way {
    pub desk: Arc<Desk>,
    pub asked: Asked,
    pub exchange: Exchange,
    pub go_on: Detached,
    pub whole: Arc<Entry>,
    pub sliced: Arc<Sliced>,
}

/// What is wanted of a piece: it is there, or asked for. Who has it keeps it there, also where the store has no room for it.
pub enum Coming {
    Here(ResponseBody),
    Asked(oneshot::Receiver<Result<ResponseBody, Lost>>),
}

/// Why there is no next piece.
pub enum Lost {
    /// What is kept will not do: the endpoint has something else by now, or nothing is to be asked.
    Changed,
    /// It has failed, with this.
    Failed(Box<Response>),
}

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

    /// It is in the store. Nobody has asked for it.
    pub fn is_stored(&self, number: u64) -> bool {
        self.desk.shelf.memory.has(&self.key(number))
    }

    fn stored(&self, number: u64) -> Option<Arc<Entry>> {
        let key = self.key(number);
        let pieces = self.desk.shelf.memory.of_target(&key)?;
        pieces.of_key(&key).next().cloned()
    }

    /// The bytes from one to another, as far as they are in this piece; `None`: they are gone already.
    pub fn read(&self, number: u64, wanted: (u64, u64), entry: &Entry) -> Option<ResponseBody> {
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
    /// Nobody knows why.
    pub fn gone() -> Self {
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
