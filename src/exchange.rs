//! One request and what the proxy has learned about it.

use std::{
    any::Any,
    cell::{Cell, OnceCell},
    mem,
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use smallvec::SmallVec;

pub use self::{
    awaited::{Awaited, BodyEnd, Learner, Trials},
    id::RequestId,
    identity::{Claim, Identities, Identity},
    slot::Slot,
};
use crate::http::{
    ClientCertificate, Downstream, HeaderMap, HeaderValue, Marks, Method, RequestBody, Uri, Version,
    body::Came,
    downstream::{Absent, Peer},
    scratch,
};

mod awaited;
mod id;
mod identity;
pub mod slot;

/// Some time before now.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

pub use crate::http::headers::REQUEST_ID;

/// One exchange: a request on its way, who sent it, and what happened so far.
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// The target as the client wrote it, but for what its query may not hold, which is encoded; `authority` has won
    /// over an absolute form.
    pub uri: Uri,
    /// The version the client speaks.
    pub version: Version,
    /// The client's fields that may go on: those of its connection, and what it claims about itself without being
    /// trusted, are gone before a filter sees them. Filters may change them.
    pub headers: HeaderMap,
    /// Which of the fields that came decide about the request; nothing that was done since is in it.
    pub marks: Marks,
    /// The protocol the client properly asked to switch to: the value of its `Upgrade`.
    pub upgrade: Option<HeaderValue>,
    /// The client takes trailers.
    pub takes_trailers: bool,
    /// The body, unread.
    pub body: RequestBody,
    /// The authority asked for: `Host`, lower-case name, port if given.
    pub authority: Authority,
    /// The path routes see and endpoints get: normalised by policy, still percent-encoded; no query.
    pub path: String,
    /// So much of it the pattern of its route takes; the rest is what `strip` leaves.
    pub taken: usize,
    /// What a filter has made of path and query for endpoints.
    pub rewritten: Option<Box<Rewritten>>,
    /// Who asks.
    pub client: Client,
    /// A filter further out codes its answer: what that makes of one that is kept can be kept, too.
    pub wants_codings: bool,
    /// It is not sent: whoever keeps count of requests leaves it out.
    pub is_rehearsal: bool,
    /// What filters hold on to for it until its last byte, whichever way it ends; it is given back as it falls.
    pub held: Vec<Box<dyn Any>>,
    /// What filters have noted on the way in, for their way out.
    pub notes: SmallVec<[Note; 1]>,
    /// Who the client has proved to be, in the order of the proofs.
    pub identities: Identities,
    /// What the edge can do for this exchange, if it is one of ours.
    pub downstream: Option<Rc<dyn Downstream>>,
    /// What was learned on the way; the access line and the metrics are made of it.
    pub facts: Facts,
    /// Counts this exchange at its endpoint; falls with the exchange, which lives to its last byte.
    pub in_flight: Option<InFlight>,
    /// Waits for the body of its answer, where that tells of the endpoint.
    pub awaited: Option<Awaited>,
    /// The filters that are not for it, by their numbers.
    pub skipped: u64,
    id: OnceCell<RequestId>,
}

/// What a filter wants to know again when the answer passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// Where the filter is: there may be several of its kind.
    by: usize,
    /// What only that filter can read.
    pub number: u64,
}

impl Note {
    /// Of this filter, for itself.
    pub fn of<F>(filter: &F, number: u64) -> Self {
        Self { by: std::ptr::from_ref(filter).addr(), number }
    }

    /// It is this filter's.
    pub fn is_of<F>(&self, filter: &F) -> bool {
        self.by == std::ptr::from_ref(filter).addr()
    }
}

/// The authority a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    text: String,
    host_len: usize,
}

/// The target that endpoints get, behind the path of where it goes, instead of the one that the client has asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Normalised, beginning with a slash; `None` is the client's.
    pub path: Option<String>,
    /// With its question mark, or empty; `None` is the client's.
    pub query: Option<String>,
}

/// The client as far as it can be believed.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The other end of the connection.
    pub peer: Peer,
    /// The client's own address: the peer's, or what trusted proxies say of it.
    pub address: Option<IpAddr>,
    /// The request came encrypted to us, or to a trusted proxy in front of us.
    pub secure: bool,
    /// The connection's other end is one of `trusted_proxies`, and names one client: what it says of him is believed and
    /// passed on.
    pub trusted: bool,
    /// The other end is one of `trusted_proxies` and asks for somebody whom it does not name, or not in a way that can be
    /// believed: the address is that of the last proxy that is known.
    pub is_hidden: bool,
}

/// What an exchange is counted under in the metrics: a number for a route and the upstream it went to. 0 is nobody's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subject(pub u32);

/// What an exchange has come to.
#[derive(Debug)]
pub struct Facts {
    /// When the head had arrived; set only where somebody reads it, for asking the clock is not free.
    pub started: Instant,
    /// What it is counted under.
    pub subject: Subject,
    /// The route that took it.
    pub route: Option<Arc<str>>,
    /// The upstream it went to.
    pub upstream: Option<Arc<str>>,
    /// The endpoint that answered, or failed last.
    pub endpoint: Option<Arc<str>>,
    /// How often it was sent.
    pub attempts: u32,
    /// Two endpoints were asked at once.
    pub hedged: bool,
    /// The last attempt went over a connection used before.
    pub reused: bool,
    /// From the start to the endpoint's response head.
    pub first_byte: Option<Duration>,
    /// What has come of its content; counted only where somebody reads it, and there is any.
    pub received: Option<Rc<Cell<Came>>>,
    /// The RFC 9209 token of what went wrong, if anything did.
    pub error: Option<&'static str>,
    /// The same in words.
    pub detail: Option<String>,
    /// Fields of the request as they came; kept only where somebody reads them, for filters change them and an
    /// endpoint is not sent them all.
    pub fields: HeaderMap,
    /// The certificate that the client has shown; kept only where somebody reads it.
    pub client_certificate: Option<Arc<ClientCertificate>>,
}

impl Exchange {
    /// A request nothing is known of yet but its head.
    pub fn new(
        method: Method,
        uri: Uri,
        version: Version,
        headers: HeaderMap,
        body: RequestBody,
        client: Client,
    ) -> Self {
        let marks = Marks::of(&headers);
        Self::marked(method, uri, version, (headers, marks), body, client)
    }

    /// The same, of fields that were looked at as they were read.
    pub fn marked(
        method: Method,
        uri: Uri,
        version: Version,
        (headers, marks): (HeaderMap, Marks),
        body: RequestBody,
        client: Client,
    ) -> Self {
        Self {
            method,
            uri,
            version,
            marks,
            headers,
            upgrade: None,
            takes_trailers: false,
            body,
            authority: Authority::default(),
            path: String::new(),
            taken: 0,
            rewritten: None,
            client,
            wants_codings: false,
            is_rehearsal: false,
            held: Vec::new(),
            notes: SmallVec::new(),
            identities: Identities::default(),
            downstream: None,
            facts: Facts::unknown(),
            in_flight: None,
            awaited: None,
            skipped: 0,
            id: OnceCell::new(),
        }
    }

    /// What can be known of it where nobody waits: without its fields, its body and its client's connection.
    #[must_use]
    pub fn shadow(&self) -> Self {
        let (method, uri, body) = (self.method.clone(), self.uri.clone(), RequestBody::empty());
        let mut shadow = Self::new(method, uri, self.version, HeaderMap::new(), body, self.client);
        shadow.authority = self.authority.clone();
        shadow.path = self.path.clone();
        shadow
    }

    /// The same request once more with these fields and without a body, for when its client has been answered. What is known of the client
    /// stays known; nothing can be sent to it.
    #[must_use]
    pub fn again(&self, headers: HeaderMap) -> Self {
        let (method, uri, body) = (self.method.clone(), self.uri.clone(), RequestBody::empty());
        let mut again = Self::new(method, uri, self.version, headers, body, self.client);
        again.authority = self.authority.clone();
        again.path = self.path.clone();
        again.taken = self.taken;
        again.rewritten = self.rewritten.clone();
        again.identities = self.identities.clone();
        again.downstream = self.downstream.as_ref().map(|downstream| Rc::new(Absent::like(&**downstream)) as _);
        again
    }

    /// It is over: what the next one can use of its memory is kept for it.
    pub fn end(mut self: Box<Self>) {
        // One by one, where they are: all of it in one piece is hundreds of bytes to move.
        scratch::give_back(mem::take(&mut self.headers));
        if !self.facts.fields.is_empty() {
            scratch::give_back(mem::take(&mut self.facts.fields));
        }
        scratch::give_back_text(mem::take(&mut self.path));
        scratch::give_back_text(mem::take(&mut self.authority).into_text());
    }

    /// The request's name: what a trusted proxy called it, else a new one, made when it is first asked for.
    pub fn id(&self) -> &RequestId {
        self.id.get_or_init(|| {
            let given = if self.client.trusted { self.headers.get(REQUEST_ID) } else { None };
            given.and_then(RequestId::given).unwrap_or_else(RequestId::generate)
        })
    }

    /// The certificate that the client has shown, if its listener asks for one (`tls.NAME.client`). What a field of the
    /// request says of one is the client's own word, and never this.
    pub fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.downstream.as_ref()?.client_certificate()
    }

    /// What is proved of the client under this name, by the first proof that says so: see [`Identity::claim`].
    pub fn claim(&self, name: &str) -> Option<Claim<'_>> {
        self.identities.iter().find_map(|identity| identity.claim(name))
    }

    /// The query with its question mark; empty if there is none.
    pub fn query(&self) -> &str {
        let Some(target) = self.uri.path_and_query() else { return "" };
        match target.as_str() {
            // Its path is `/` to the library, though nothing is written there.
            text if text.starts_with('?') => text,
            text => &text[target.path().len()..],
        }
    }
}

impl Authority {
    /// A host that is in lower case and valid, with its port if there was one.
    pub fn new(text: String, host_len: usize) -> Self {
        Self { text, host_len }
    }

    /// Without the port.
    pub fn host(&self) -> &str {
        &self.text[..self.host_len]
    }

    /// With the port, if there was one.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Gives up the text, for its memory.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The client named none: only HTTP/1.0 may.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl Client {
    /// Someone at the other end of the connection, nothing believed.
    pub fn at(peer: Peer, secure: bool) -> Self {
        let address = match peer {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            Peer::Unix => None,
        };
        Self { peer, address, secure, trusted: false, is_hidden: false }
    }
}

impl Facts {
    /// Nothing happened yet.
    pub fn unknown() -> Self {
        Self {
            started: *EPOCH,
            subject: Subject::default(),
            route: None,
            upstream: None,
            endpoint: None,
            attempts: 0,
            hedged: false,
            reused: false,
            first_byte: None,
            received: None,
            error: None,
            detail: None,
            fields: HeaderMap::new(),
            client_certificate: None,
        }
    }
}

/// One exchange, counted where it is: the count falls when this does.
pub struct InFlight {
    count: Arc<AtomicU32>,
    /// Falls after the count.
    slot: Option<Slot>,
}

impl InFlight {
    /// Counts one more.
    pub fn at(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count: Arc::clone(count), slot: None }
    }

    /// The same, and it takes a place where there are only so many.
    #[must_use]
    pub fn with(mut self, slot: Slot) -> Self {
        self.slot = Some(slot);
        self
    }

    /// It is counted there no more; its place at the upstream is left, for another endpoint.
    pub fn into_slot(mut self) -> Option<Slot> {
        self.slot.take()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
