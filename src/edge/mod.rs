//! The server: any actix `App`, served well.
//!
//! [`EdgeServer`] takes the factory that `HttpServer` takes. Accepting and workers are actix's; the connections are
//! ours ([`h1`]): a deadline for every wait, a limit for everything a client can send, interim responses, trailers,
//! upgrades of any kind, and an end that finishes what is under way.

use std::{
    fmt,
    io::{self, Read},
    marker::PhantomData,
    net::{Shutdown, TcpListener},
    num::NonZero,
    rc::Rc,
    sync::Arc,
    thread,
};

use actix_http::{
    Request, Response,
    body::{BoxBody, MessageBody},
};
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service, map_config};
use actix_web::dev::AppConfig;
use socket2::SockRef;

pub use self::running::{Handle, Outcome, Running};
use self::{
    drain::Stop,
    limits::Limits,
    listener::{Caps, Listening, SocketFile},
    running::Ends,
};
use crate::{
    http::downstream::Peer,
    plan::ListenAddress,
    proxy::Proxy,
    settings::{ServerSettings, listener::Workers},
    transport::dial::Stream as Socket,
};

mod drain;
pub mod h1;
pub mod limits;
mod listener;
mod running;

/// Serves an actix `App` on one or more addresses.
pub struct EdgeServer<F> {
    factory: F,
    settings: ServerSettings,
    server_name: String,
    signals: bool,
    log_of: Option<Proxy>,
    listening: Vec<(ListenAddress, Listening)>,
}

impl<F> EdgeServer<F> {
    /// A server for the `App` that the factory makes: it is called once for each worker and address.
    pub fn new(factory: F) -> Self {
        let settings = ServerSettings::default();
        Self { factory, settings, server_name: "aqueduct".into(), signals: true, log_of: None, listening: Vec::new() }
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

    /// Listens on an address. Port 0 is any free one: [`EdgeServer::addresses`] tells which.
    ///
    /// # Errors
    /// The address is taken, or cannot be had.
    pub fn bind(mut self, address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                let listener = listener::tcp(*address, self.settings.backlog)?;
                self.listen(listener)
            }
            ListenAddress::Unix(path) => {
                let (listener, file) = listener::unix(path)?;
                self.listening.push((address.clone(), Listening::Unix(listener, file)));
                Ok(self)
            }
        }
    }

    /// Listens on a socket that was made elsewhere.
    ///
    /// # Errors
    /// It has no address.
    pub fn listen(mut self, listener: TcpListener) -> io::Result<Self> {
        let address = ListenAddress::Tcp(listener.local_addr()?);
        self.listening.push((address, Listening::Tcp(listener)));
        Ok(self)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.listening.iter().map(|(address, _)| address.clone()).collect()
    }

    /// Begins to serve. What is returned is to be awaited: it ends when the server does.
    pub fn run<I, S, B>(self) -> Running
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Response: Into<Response<B>>,
        S::Error: Into<actix_web::Error>,
        S::InitError: fmt::Debug,
        B: MessageBody + 'static,
    {
        let signals = self.signals;
        let grace = self.settings.drain.grace.0;
        let stop = Stop::default();
        let caps = Caps::new(self.settings.max_connections, self.settings.max_connections_per_ip);
        let (server, files) = self.start(&stop, &caps);
        Running::new(server, Handle::new(stop), Ends { grace, signals, files, caps })
    }

    fn start<I, S, B>(self, stop: &Stop, caps: &Arc<Caps>) -> (io::Result<Server>, Vec<SocketFile>)
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Response: Into<Response<B>>,
        S::Error: Into<actix_web::Error>,
        S::InitError: fmt::Debug,
        B: MessageBody + 'static,
    {
        let limits = Limits { log_of: self.log_of, ..Limits::of(&self.settings, &self.server_name) };
        let shared = Shared { limits, caps: Arc::clone(caps), stop: stop.clone() };
        let mut files = Vec::new();
        let mut builder = Ok(builder(&self.settings));
        for (address, listening) in self.listening {
            let (factory, shared) = (self.factory.clone(), shared.clone());
            builder = builder.and_then(|builder| match listening {
                Listening::Tcp(listener) => builder.listen(address.to_string(), listener, move || {
                    let (factory, shared) = (factory.clone(), shared.clone());
                    fn_factory(move || worker(factory.clone(), shared.clone(), tcp))
                }),
                Listening::Unix(listener, file) => {
                    files.push(file);
                    builder.listen_uds(address.to_string(), listener, move || {
                        let (factory, shared) = (factory.clone(), shared.clone());
                        fn_factory(move || worker(factory.clone(), shared.clone(), unix))
                    })
                }
            });
        }
        (builder.map(ServerBuilder::run), files)
    }
}

/// actix has no room for more.
const MOST_WORKERS: usize = 512;

fn builder(settings: &ServerSettings) -> ServerBuilder {
    let workers = match settings.workers {
        Workers::Auto => thread::available_parallelism().map_or(1, NonZero::get),
        Workers::Exactly(count) => count,
    };
    let workers = workers.min(MOST_WORKERS);
    // The caps are ours: they answer, where actix would let clients wait. Draining is timed by `Running`.
    let unlimited = settings.max_connections.saturating_add(1024);
    Server::build()
        .workers(workers)
        .disable_signals()
        .backlog(settings.backlog)
        .max_concurrent_connections(unlimited)
        .shutdown_timeout(u64::from(u16::MAX))
}

/// What all workers begin with.
#[derive(Clone)]
struct Shared {
    limits: Limits,
    caps: Arc<Caps>,
    stop: Stop,
}

fn tcp(socket: tokio::net::TcpStream) -> io::Result<(Socket, Peer)> {
    let peer = Peer::Tcp(socket.peer_addr()?);
    socket.set_nodelay(true)?;
    Ok((Socket::Tcp(socket), peer))
}

fn unix(socket: tokio::net::UnixStream) -> io::Result<(Socket, Peer)> {
    Ok((Socket::Unix(socket), Peer::Unix))
}

/// One worker's service for the connections of one address.
async fn worker<F, I, S, B, T>(
    factory: F,
    shared: Shared,
    accept: fn(T) -> io::Result<(Socket, Peer)>,
) -> Result<impl Service<T, Response = (), Error = ()>, ()>
where
    F: Fn() -> I,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Response: Into<Response<B>>,
    S::Error: Into<actix_web::Error>,
    S::InitError: fmt::Debug,
    B: MessageBody + 'static,
    T: 'static,
{
    let app = map_config(factory(), |_| AppConfig::default()).new_service(()).await;
    let app = app.map_err(|error| log::error!("the App could not be made: {error:?}"))?;
    let app = Rc::new(Adapted(app, PhantomData));
    let limits = Rc::new(shared.limits);
    let draining = drain::Worker::listening(shared.stop);
    let caps = shared.caps;
    Ok(fn_service(move |socket: T| {
        let (app, limits, draining) = (Rc::clone(&app), Rc::clone(&limits), draining.ear());
        let caps = Arc::clone(&caps);
        async move {
            // A client that is gone before it was met is nobody's error.
            let Ok((socket, peer)) = accept(socket) else { return Ok(()) };
            match caps.enter(peer) {
                Some(_place) => h1::serve(socket, peer, app, limits, draining).await,
                None => turn_away(&socket),
            }
            Ok(())
        }
    }))
}

/// The `App` as [`h1`] sees it.
struct Adapted<S, B>(S, PhantomData<B>);

impl<S, B> h1::Answers for Adapted<S, B>
where
    S: Service<Request>,
    S::Response: Into<Response<B>>,
    S::Error: Into<actix_web::Error>,
    B: MessageBody + 'static,
{
    async fn answer(&self, request: Request) -> Response<BoxBody> {
        match self.0.call(request).await {
            Ok(response) => response.into().map_into_boxed_body(),
            Err(error) => Response::from(error.into()),
        }
    }
}

/// Says that there is no room, if the client's buffer takes it; nobody waits for a client that is not served.
fn turn_away(socket: &Socket) {
    const FULL: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let socket = match socket {
        Socket::Tcp(socket) => SockRef::from(socket),
        Socket::Unix(socket) => SockRef::from(socket),
    };
    // Not by way of the runtime: it has not heard yet that the new socket can be written to. And what the client has
    // sent is read, because closing before that would reset the connection, and take the answer back.
    let said = socket.send(FULL).and_then(|_| socket.shutdown(Shutdown::Write));
    match said.and_then(|()| (&*socket).read(&mut [0; 4096])) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            log::debug!("a client may have been turned away without a word: {error}");
        }
        _ => {}
    }
}
