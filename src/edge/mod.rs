//! The server: any actix `App`, served well.
//!
//! [`EdgeServer`] takes the factory that `HttpServer` takes. Workers accept for themselves; the connections are
//! ours ([`h1`]): a deadline for every wait, a limit for everything a client can send, interim responses, trailers,
//! upgrades of any kind, and an end that finishes what is under way.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use actix_http::{Request, Response, body::MessageBody};
use actix_service::{IntoServiceFactory, ServiceFactory};
use actix_web::dev::AppConfig;

use self::{
    answers::{AppFactory, Making},
    drain::Stop,
    limits::Limits,
    listener::{Caps, Listening, Manner, Opened},
    proxy_protocol::Senders,
    reload::Live,
    tls::{Certificates, Protocol, Spoken},
    worker::{Shared, Workers},
};
pub use self::{
    inherited::{Inherited, Passed, Purpose},
    open::ListensAt,
    reload::{Offer, Prepared, Reloaded, cannot_listen},
    running::{Handle, Outcome, Running},
};
use crate::{
    plan::ListenAddress,
    proxy::Proxy,
    settings::{
        FileMode, ServerSettings,
        listener::{ListenerTimeouts, ProxyProtocolSettings},
    },
};

mod accept;
pub mod answer;
pub mod answers;
pub mod counts;
mod drain;
pub mod h1;
pub mod h2;
pub mod hand_off;
mod inherited;
mod last;
pub mod limits;
mod line;
mod listener;
mod open;
mod parking;
mod payload;
mod proxy_protocol;
mod reception;
mod reload;
mod running;
mod share;
mod socket_file;
mod tidying;
pub mod tls;
mod worker;

/// Serves an actix `App` on one or more addresses.
pub struct EdgeServer<F> {
    factory: F,
    settings: ServerSettings,
    server_name: String,
    signals: bool,
    /// What is spoken at the addresses that are said next, certificates aside.
    spoken: Spoken,
    /// How many may come in at each of them.
    room: Option<usize>,
    /// Of the files of sockets that are said next.
    mode: Option<FileMode>,
    log_of: Option<Proxy>,
    inherited: Inherited,
    opened: Vec<Opened>,
}

impl<F> EdgeServer<F> {
    /// A server for the `App` that the factory makes: it is called once for each worker.
    pub fn new(factory: F) -> Self {
        let (settings, spoken) = (ServerSettings::default(), Spoken::default());
        let (server_name, inherited, opened) = ("aqueduct".into(), Inherited::nothing(), Vec::new());
        let (room, mode) = (None, None);
        Self { factory, settings, server_name, signals: true, spoken, room, mode, log_of: None, inherited, opened }
    }

    /// The same addresses with another `App`: for whoever has to listen before there is one.
    pub fn hosting<G>(self, factory: G) -> EdgeServer<G> {
        let Self { factory: _, settings, server_name, signals, spoken, room, mode, log_of, inherited, opened } = self;
        EdgeServer { factory, settings, server_name, signals, spoken, room, mode, log_of, inherited, opened }
    }

    /// Workers, limits and deadlines. To be said before the first address.
    #[must_use]
    pub fn settings(mut self, settings: &ServerSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// What the server calls itself in `Proxy-Status`, where it refuses a request itself.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = name.to_owned();
        self
    }

    /// Whose access log has a line for what the server refuses itself, before any `App` sees it: heads that are
    /// malformed, too large or too slow. Without this they are told of in the application's log alone.
    #[must_use]
    pub fn access_log_of(mut self, proxy: &Proxy) -> Self {
        self.log_of = Some(proxy.clone());
        self
    }

    /// Whether SIGTERM and SIGINT stop the server, as they do unless told otherwise: the first drains, a second ends
    /// it at once.
    #[must_use]
    pub fn signals(mut self, handled: bool) -> Self {
        self.signals = handled;
        self
    }

    /// Whether HTTP/2 is spoken at the addresses that are said after this, as it is unless told otherwise: as agreed on
    /// where TLS is spoken, elsewhere with clients that begin with its preface.
    #[must_use]
    pub fn http2(mut self, spoken: bool) -> Self {
        self.spoken.newest = if spoken { Protocol::Http2 } else { Protocol::Http1 };
        self
    }

    /// Who begins connections with a PROXY header, to say whose they are, at the addresses that are said after this;
    /// nobody, unless told otherwise.
    #[must_use]
    pub fn proxy_protocol(mut self, settings: Option<&ProxyProtocolSettings>) -> Self {
        self.spoken.senders = settings.map(|settings| Arc::new(Senders::of(settings)));
        self
    }

    /// Sockets that are there already are taken for the addresses that are said after this, where there is one.
    #[must_use]
    pub fn inherits(mut self, inherited: &Inherited) -> Self {
        self.inherited = inherited.clone();
        self
    }

    /// How many connections there may be at each address that is said after this, of those that there may be in all.
    #[must_use]
    pub fn max_connections(mut self, most: Option<usize>) -> Self {
        self.room = most;
        self
    }

    /// How long to wait for those who come in at the addresses that are said after this, where that differs from the
    /// server's settings.
    #[must_use]
    pub fn timeouts(mut self, settings: Option<&ListenerTimeouts>) -> Self {
        self.spoken.timeouts = settings.cloned().map(Arc::new);
        self
    }

    /// What others may do with the files of unix sockets that are said after this; up to the process's umask, unless told
    /// otherwise. Nobody can connect before it is so.
    #[must_use]
    pub fn socket_mode(mut self, mode: Option<FileMode>) -> Self {
        self.mode = mode;
        self
    }

    /// Listens on an address. Port 0 is any free one: [`EdgeServer::addresses`] tells which.
    ///
    /// # Errors
    /// The address is taken, or cannot be had.
    pub fn bind(mut self, address: &ListenAddress) -> io::Result<Self> {
        let mut opened = self.open(address)?;
        opened.spoken = self.spoken(None);
        self.opened.push(opened);
        Ok(self)
    }

    /// Listens on an address and speaks TLS there. The certificates may be those of other addresses, too.
    ///
    /// # Errors
    /// The address is taken, or cannot be had.
    pub fn bind_tls(mut self, address: SocketAddr, certificates: &Certificates) -> io::Result<Self> {
        let mut opened = self.open(&ListenAddress::Tcp(address))?;
        opened.spoken = self.spoken(Some(certificates.clone()));
        self.opened.push(opened);
        Ok(self)
    }

    fn open(&self, address: &ListenAddress) -> io::Result<Opened> {
        let manner = Manner::of(&self.settings, self.mode);
        listener::open_or_take(address, manner, &self.inherited)
    }

    /// Listens on a socket that was made elsewhere.
    ///
    /// # Errors
    /// It has no address.
    pub fn listen(mut self, listener: TcpListener) -> io::Result<Self> {
        let address = ListenAddress::Tcp(listener.local_addr()?);
        listener::inherited(&listener)?;
        let (asked, spoken) = (address.clone(), self.spoken(None));
        self.opened.push(Opened { asked, address, listening: Listening::Tcp(vec![listener]), spoken });
        Ok(self)
    }

    fn spoken(&self, certificates: Option<Certificates>) -> Spoken {
        let room = self.room.map(|most| Caps::new(most, 0));
        Spoken { certificates, room, counts: Arc::default(), ..self.spoken.clone() }
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.opened.iter().map(|opened| opened.address.clone()).collect()
    }

    /// What it shows clients, each once however many addresses share it: to be kept by whoever will reload them.
    pub fn certificates(&self) -> Vec<Certificates> {
        let mut all: Vec<Certificates> = Vec::new();
        for certificates in self.opened.iter().filter_map(|opened| opened.spoken.certificates.as_ref()) {
            if !all.iter().any(|known| known.is_same(certificates)) {
                all.push(certificates.clone());
            }
        }
        all
    }

    /// Begins to serve. What is returned is to be awaited: it ends when the server does.
    pub fn run<I, S, B>(self) -> Running
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request> + 'static,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Response: Into<Response<B>>,
        S::Error: Into<actix_web::Error>,
        S::InitError: fmt::Debug,
        B: MessageBody + 'static,
    {
        let app = AppFactory::of(self.factory.clone());
        self.run_with(&app)
    }

    /// Begins to serve with a proxy and nobody else, whatever `App` there was: a request goes to it straight, where an `App` would be asked
    /// who answers and fields would become actix's and ours again.
    pub fn run_proxy(self, proxy: &Proxy) -> Running {
        self.run_with(proxy)
    }

    fn run_with(self, making: &impl Making) -> Running {
        let signals = self.signals;
        let (workers, handle) = self.start(making);
        Running::new(workers, handle, signals)
    }

    fn start(self, making: &impl Making) -> (io::Result<Workers>, Handle) {
        let workers = worker::count(&self.settings);
        let stop = Stop::default();
        let caps = Caps::new(self.settings.max_connections, self.settings.max_connections_per_ip);
        let limits = Limits { log_of: self.log_of.clone(), ..Limits::of(&self.settings, &self.server_name) };
        let live = Live::new(&stop, &caps, self.log_of, self.settings, self.opened);
        let shared = Shared { limits, caps, stop: stop.clone(), workers, at_work: live.at_work() };
        let started =
            Workers::start(making, |number| live.entrances(number, workers), &shared).map(|(workers, tellers)| {
                live.has_workers(tellers);
                workers
            });
        (started, Handle::new(stop, live))
    }
}
