//! Workers: threads that accept and serve, each for itself. Nobody hands connections from one thread to another, so a
//! connection costs no switch between them (docs/adr/0005-workers-accept.md).

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    io::{self, Read},
    marker::PhantomData,
    net::Shutdown,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};

use actix_http::{
    Request, Response,
    body::{BoxBody, MessageBody},
};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, map_config};
use actix_web::dev::AppConfig;
use rustix::net::{SocketAddrAny, SocketFlags};
use socket2::SockRef;
use tokio::{
    io::{
        Interest,
        unix::{AsyncFd, AsyncFdReadyGuard},
    },
    net::{TcpStream, UnixStream},
    sync::{Notify, mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    drain::{self, Stop},
    h1::{self, Arrival},
    limits::Limits,
    listener::{Caps, Door, Place},
    tls::{Certificates, Protocol},
};
use crate::{
    exchange::RequestId,
    http::{Error, StatusCode, downstream::Peer},
    telemetry::refusals,
    transport::dial::Stream as Socket,
};

/// All workers of a server. Dropped, it ends them at once.
pub struct Workers {
    reports: mpsc::UnboundedReceiver<io::Result<()>>,
    force: CancellationToken,
}

/// To tell each worker of a change.
pub type Tellers = Vec<mpsc::UnboundedSender<Change>>;

/// What is to be otherwise from now on.
pub struct Change {
    /// For connections that are taken in later.
    pub limits: Limits,
    /// Where else to take them in.
    pub entrances: Vec<Entrance>,
    /// Dropped once it is so.
    pub until_made: watch::Receiver<()>,
}

/// A door, and how long to stand at it.
pub struct Entrance {
    /// Where connections come in.
    pub door: Door,
    /// What is shown to those who come in, where TLS is spoken.
    pub certificates: Option<Certificates>,
    /// The word to go away.
    pub stop: Stop,
    /// Dropped once the door is closed.
    pub until_closed: watch::Receiver<()>,
}

impl Entrance {
    /// The same entrance, for one more worker.
    pub fn again(&self) -> io::Result<Self> {
        let door = self.door.again()?;
        let (certificates, stop) = (self.certificates.clone(), self.stop.clone());
        Ok(Self { door, certificates, stop, until_closed: self.until_closed.clone() })
    }
}

/// What all workers begin with.
#[derive(Clone)]
pub struct Shared {
    pub limits: Limits,
    pub caps: Arc<Caps>,
    pub stop: Stop,
    pub workers: usize,
}

impl Workers {
    /// Starts them, behind doors that are open already.
    pub fn start<F, I, S, B>(factory: &F, entrances: &[Entrance], shared: &Shared) -> io::Result<(Self, Tellers)>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Response: Into<Response<B>>,
        S::Error: Into<actix_web::Error>,
        S::InitError: fmt::Debug,
        B: MessageBody + 'static,
    {
        let (report, reports) = mpsc::unbounded_channel();
        let workers = Self { reports, force: CancellationToken::new() };
        let mut tellers = Tellers::with_capacity(shared.workers);
        for number in 0..shared.workers {
            let entrances = entrances.iter().map(Entrance::again).collect::<io::Result<Vec<_>>>()?;
            let (teller, changes) = mpsc::unbounded_channel();
            tellers.push(teller);
            let (factory, shared, force, report) =
                (factory.clone(), shared.clone(), workers.force.clone(), report.clone());
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let work = work(factory, entrances, changes, shared, force);
                // Nobody may be left to hear of it.
                let _unheard = report.send(actix_rt::System::new().block_on(work));
            })?;
        }
        Ok((workers, tellers))
    }

    /// Ready when the last of them has ended, or the first that failed.
    pub async fn ended(&mut self) -> io::Result<()> {
        while let Some(report) = self.reports.recv().await {
            report?;
        }
        Ok(())
    }

    /// Drops what is under way.
    pub fn force(&self) {
        self.force.cancel();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.force();
    }
}

/// One worker's life: it ends when it was told to stop and the last connection has, or at once.
async fn work<F, I, S, B>(
    factory: F,
    entrances: Vec<Entrance>,
    changes: mpsc::UnboundedReceiver<Change>,
    shared: Shared,
    force: CancellationToken,
) -> io::Result<()>
where
    F: Fn() -> I,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Response: Into<Response<B>>,
    S::Error: Into<actix_web::Error>,
    S::InitError: fmt::Debug,
    B: MessageBody + 'static,
{
    let app = map_config(factory(), |_| AppConfig::default()).new_service(()).await;
    let app = app.map_err(|error| io::Error::other(format!("the App could not be made: {error:?}")))?;
    let reception = Rc::new(Reception {
        app: Rc::new(Adapted(app, PhantomData)),
        limits: RefCell::new(Rc::new(shared.limits)),
        caps: shared.caps,
        workers: shared.workers,
        receiving: Rc::default(),
        open: Rc::default(),
    });
    for entrance in entrances {
        reception.open_door(entrance)?;
    }
    actix_rt::spawn(Rc::clone(&reception).heed(changes, shared.stop, reception.receiving.one()));
    let finished = async {
        reception.receiving.none_left().await;
        reception.open.none_left().await;
    };
    tokio::select! {
        () = force.cancelled() => {}
        () = finished => {}
    }
    Ok(())
}

/// Where a worker takes connections in.
struct Reception<A> {
    app: Rc<A>,
    limits: RefCell<Rc<Limits>>,
    caps: Arc<Caps>,
    workers: usize,
    receiving: Rc<Tasks>,
    open: Rc<Tasks>,
}

/// Connections taken in before others get a turn.
const IN_A_ROW: u32 = 16;
/// Connections that may wait to be accepted when the server stops; whoever comes faster than this is not served.
const MOST_WAITING: usize = 4096;
/// How long a worker that has more connections than its share leaves the next ones to the others.
const STAND_BACK: Duration = Duration::from_millis(2);
/// How long nobody is taken in when there is nothing to take them in with: no descriptor, no memory.
const BREATHER: Duration = Duration::from_millis(250);

impl<A: h1::Answers + 'static> Reception<A> {
    fn open_door(self: &Rc<Self>, entrance: Entrance) -> io::Result<()> {
        let Entrance { door, certificates, stop, until_closed } = entrance;
        let (listener, one) = (Listener::at(door)?, self.receiving.one());
        let receive = Rc::clone(self).receive(listener, certificates, stop);
        actix_rt::spawn(async move {
            receive.await;
            drop((one, until_closed));
        });
        Ok(())
    }

    /// Does as it is told, until the server stops; as long as it does not, the worker goes on even without a door.
    async fn heed(self: Rc<Self>, mut changes: mpsc::UnboundedReceiver<Change>, stop: Stop, _one: One) {
        let heeding = async {
            while let Some(Change { limits, entrances, until_made }) = changes.recv().await {
                *self.limits.borrow_mut() = Rc::new(limits);
                for entrance in entrances {
                    if let Err(error) = self.open_door(entrance) {
                        log::error!("a worker cannot take connections in at a new address: {error}");
                    }
                }
                drop(until_made);
            }
        };
        tokio::select! {
            () = stop.said() => return,
            () = heeding => {}
        }
        stop.said().await;
    }

    /// Takes in whoever comes, until there is to be no more of that here; those who had come by then, too.
    async fn receive(self: Rc<Self>, listener: Listener, certificates: Option<Certificates>, stop: Stop) {
        let draining = drain::Worker::listening(stop.clone());
        let stopped = stop.said();
        tokio::pin!(stopped);
        let mut in_a_row = 0;
        loop {
            let came = tokio::select! {
                biased;
                () = &mut stopped => break,
                came = listener.somebody_came() => came,
            };
            if self.is_ahead() {
                tokio::time::sleep(STAND_BACK).await;
            }
            match came.and_then(|mut came| listener.accept(&mut came)) {
                Ok(Some((socket, peer))) => self.take_in(socket, peer, certificates.as_ref(), &draining),
                Ok(None) => {}
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    log::error!("no connection can be accepted: {error}");
                    tokio::time::sleep(BREATHER).await;
                }
            }
            in_a_row += 1;
            if in_a_row == IN_A_ROW {
                in_a_row = 0;
                turn().await;
            }
        }
        // Who had come by then was told that he is connected, and may have asked already. The runtime may not have heard
        // of him, so the kernel is asked.
        for _ in 0..MOST_WAITING {
            match listener.accept_now() {
                Ok((socket, peer)) => self.take_in(socket, peer, certificates.as_ref(), &draining),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    fn take_in(&self, socket: Socket, peer: Peer, certificates: Option<&Certificates>, draining: &Rc<drain::Worker>) {
        let Some(place) = self.caps.enter(peer) else {
            // Words in the clear are none to a client that expects to shake hands.
            return if certificates.is_none() {
                turn_away(&socket)
            };
        };
        if let Some(certificates) = certificates {
            return self.take_in_encrypted((socket, peer), certificates, place, draining);
        }
        let arrival = Arrival { socket, peer, greeted: None };
        let limits = Rc::clone(&self.limits.borrow());
        let serve = h1::serve(arrival, Rc::clone(&self.app), limits, draining.ear());
        let one = self.open.one();
        actix_rt::spawn(async move {
            serve.await;
            drop((one, place));
        });
    }

    /// The handshake is part of the connection's own task: nobody waits for a slow one.
    fn take_in_encrypted(
        &self,
        (socket, peer): (Socket, Peer),
        certificates: &Certificates,
        place: Place,
        draining: &Rc<drain::Worker>,
    ) {
        let (app, limits, draining) = (Rc::clone(&self.app), Rc::clone(&self.limits.borrow()), Rc::clone(draining));
        let (certificates, one) = (certificates.clone(), self.open.one());
        actix_rt::spawn(async move {
            if let Some((socket, greeted)) = certificates.greet(socket, limits.tls_handshake).await {
                match greeted.protocol {
                    Protocol::Http1 => {
                        let arrival = Arrival { socket, peer, greeted: Some(greeted) };
                        h1::serve(arrival, app, limits, draining.ear()).await;
                    }
                }
            }
            drop((one, place));
        });
    }

    /// This worker has more than its share: the others hear of the next connection as well, and are to have it if it
    /// comes at once.
    fn is_ahead(&self) -> bool {
        let share = self.caps.open() / self.workers;
        self.workers > 1 && self.open.count.get() > share + share / 8 + 1
    }
}

/// A connection that ended before it was met says nothing about the next.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Goes to the end of the worker's queue.
async fn turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A worker's end of a door: the worker hears of a connection first and accepts it then, or leaves it to others.
struct Listener(AsyncFd<Door>);

impl Listener {
    fn at(door: Door) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "what it asks for instead is unsafe, for types whose descriptor may change; a door owns its one"
        )]
        AsyncFd::with_interest(door, Interest::READABLE).map(Self)
    }

    async fn somebody_came(&self) -> io::Result<AsyncFdReadyGuard<'_, Door>> {
        self.0.readable().await
    }

    /// `None` if another worker was faster.
    fn accept(&self, came: &mut AsyncFdReadyGuard<'_, Door>) -> io::Result<Option<(Socket, Peer)>> {
        match came.try_io(|_| self.accept_now()) {
            Ok(met) => met.map(Some),
            Err(_nobody) => Ok(None),
        }
    }

    /// Whoever has waited longest; without waiting.
    fn accept_now(&self) -> io::Result<(Socket, Peer)> {
        let (socket, address) = accept(self.0.get_ref())?;
        Ok(match self.0.get_ref() {
            Door::Tcp(_) => {
                let address = address.ok_or(io::ErrorKind::ConnectionAborted)?.try_into()?;
                (Socket::Tcp(TcpStream::from_std(socket.into())?), Peer::Tcp(address))
            }
            Door::Unix(_) => (Socket::Unix(UnixStream::from_std(socket.into())?), Peer::Unix),
        })
    }
}

/// The standard library's way would be a second call, to make the socket one that does not block.
#[cfg(not(target_vendor = "apple"))]
fn accept(door: &Door) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    Ok(rustix::net::acceptfrom_with(door, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?)
}

#[cfg(target_vendor = "apple")]
fn accept(door: &Door) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (socket, address) = rustix::net::acceptfrom(door)?;
    rustix::io::ioctl_fioclex(&socket)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok((socket, address))
}

/// Tasks of one kind on this worker, counted.
#[derive(Default)]
struct Tasks {
    count: Cell<usize>,
    last_ended: Notify,
}

/// One of them, until it is dropped.
struct One(Rc<Tasks>);

impl Tasks {
    fn one(self: &Rc<Self>) -> One {
        self.count.set(self.count.get() + 1);
        One(Rc::clone(self))
    }

    async fn none_left(&self) {
        while self.count.get() > 0 {
            self.last_ended.notified().await;
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.last_ended.notify_one();
        }
    }
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
    let id = RequestId::generate();
    let full = Error::Refused { status: StatusCode::SERVICE_UNAVAILABLE, what: "there is no place for one more" };
    refusals::tell(None, &id, "a connection", &full);
    let full = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\nx-request-id: {}\r\n\
         content-length: 0\r\n\r\n",
        id.as_str()
    );
    let socket = match socket {
        Socket::Tcp(socket) => SockRef::from(socket),
        Socket::Unix(socket) => SockRef::from(socket),
        // Nothing was agreed on yet when a client is turned away.
        Socket::Tls(_) => return,
    };
    // Not by way of the runtime: it has not heard yet that the new socket can be written to. And what the client has
    // sent is read, because closing before that would reset the connection, and take the answer back.
    let said = socket.send(full.as_bytes()).and_then(|_| socket.shutdown(Shutdown::Write));
    match said.and_then(|()| (&*socket).read(&mut [0; 4096])) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            log::debug!("a client may have been turned away without a word: {error}");
        }
        _ => {}
    }
}
