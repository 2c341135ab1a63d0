//! Where a worker takes connections in: doors open and close, whoever comes is met within the limits, and each
//! connection is a task of its own as long as something comes on it.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, Read},
    net::Shutdown,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use socket2::SockRef;
use tokio::sync::{Notify, mpsc};

use super::{
    accept::Listener,
    answers::Answers,
    drain::{self, Draining, LAST_CALL, Stop},
    h1::{self, Arrival, Visit},
    h2,
    limits::Limits,
    line::Line,
    listener::{Caps, Full, Place},
    parking::{Parked, Parking},
    proxy_protocol::Senders,
    share,
    tidying::Tidying,
    tls::{Certificates, Protocol, Speaks, Spoken},
    worker::{Change, Entrance},
};
use crate::{
    exchange::RequestId,
    http::{Error, Refusal, StatusCode, downstream::Peer, proxy_protocol::Ends},
    prefetch,
    settings::listener::ListenerTimeouts,
    telemetry::refusals,
    transport::{dial::Stream as Socket, spare},
};

/// Where a worker takes connections in.
pub struct Reception<A> {
    app: Rc<A>,
    limits: RefCell<Rc<Limits>>,
    caps: Arc<Caps>,
    workers: usize,
    receiving: Rc<Tasks>,
    open: Rc<Tasks>,
    parking: Parking<Keeps>,
    tidying: Rc<Tidying>,
}

/// That a connection is one of those that are open, and its place among them.
type Keeps = (One, Place);

/// Connections taken in, or served again, before others get a turn.
const IN_A_ROW: u32 = 16;
/// Connections that may wait to be accepted when the server stops; whoever comes faster than this is not served.
const MOST_WAITING: usize = 4096;
/// How long a worker that has more connections than its share leaves the next ones to the others.
const STAND_BACK: Duration = Duration::from_millis(2);
/// How long nobody is taken in when there is nothing to take them in with: no descriptor, no memory.
const BREATHER: Duration = Duration::from_millis(250);

impl<A: Answers> Reception<A> {
    /// Without a door yet, one of so many.
    pub fn new(app: A, limits: Limits, caps: Arc<Caps>, workers: usize) -> Self {
        let limits = RefCell::new(Rc::new(limits));
        let (receiving, open, parking, tidying) = (Rc::default(), Rc::default(), Parking::default(), Rc::default());
        Self { app: Rc::new(app), limits, caps, workers, receiving, open, parking, tidying }
    }

    /// Ready once no door is open and the last connection has ended.
    pub async fn is_over(&self) {
        self.receiving.none_left().await;
        self.open.none_left().await;
    }

    /// Stands at this door from now on.
    pub fn open_door(self: &Rc<Self>, entrance: Entrance) -> io::Result<()> {
        let Entrance { door, is_shared, speaks, stop, until_closed } = entrance;
        let (listener, one) = (Listener::at(door)?, self.receiving.one());
        let receive = Rc::clone(self).receive(listener, is_shared, speaks, stop);
        actix_rt::spawn(async move {
            receive.await;
            drop((one, until_closed));
        });
        Ok(())
    }

    /// Does as it is told, until the server stops; as long as it does not, the worker goes on even without a door. From here on
    /// somebody looks after those who are parked.
    pub fn heed(self: &Rc<Self>, mut changes: mpsc::UnboundedReceiver<Change>, stop: Stop) {
        let (reception, one) = (Rc::clone(self), self.receiving.one());
        let heeding = async move {
            while let Some(Change { limits, entrances, until_made }) = changes.recv().await {
                *reception.limits.borrow_mut() = Rc::new(limits);
                for entrance in entrances {
                    if let Err(error) = reception.open_door(entrance) {
                        log::error!("a worker cannot take connections in at a new address: {error}");
                    }
                }
                drop(until_made);
            }
        };
        actix_rt::spawn(async move {
            tokio::select! {
                () = stop.said() => {}
                () = heeding => stop.said().await,
            }
            drop(one);
        });
        actix_rt::spawn(Rc::clone(self).look_after_parked());
    }

    /// Takes in whoever comes, until there is to be no more of that here; those who had come by then, too.
    async fn receive(self: Rc<Self>, listener: Listener, is_shared: bool, speaks: Speaks, stop: Stop) {
        let draining = drain::Worker::listening(&stop);
        let stopped = stop.said();
        tokio::pin!(stopped);
        loop {
            let came = tokio::select! {
                biased;
                () = &mut stopped => break,
                came = listener.somebody_came() => came,
            };
            if is_shared && self.is_ahead() {
                tokio::time::sleep(STAND_BACK).await;
            }
            let accepted = came.and_then(|came| {
                listener.accept(came, IN_A_ROW, |line, peer| {
                    self.take_in(line, peer, speaks.now(), &draining);
                    // The next one is to be another worker's, then.
                    !(is_shared && self.is_ahead())
                })
            });
            match accepted {
                Ok(IN_A_ROW) => turn().await,
                Ok(_) => {}
                Err(error) if spare::is_scarcity(&error) && spare::make_room().await => {}
                Err(error) => {
                    log::error!("no connection can be accepted: {error}");
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
        // Who had come by then was told that he is connected, and may have asked already. The runtime may not have heard
        // of him, so the kernel is asked.
        for _ in 0..MOST_WAITING {
            match listener.accept_now() {
                Ok((line, peer)) => self.take_in(line, peer, speaks.now(), &draining),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    fn take_in(self: &Rc<Self>, line: Line, peer: Peer, mut spoken: Spoken, draining: &Rc<drain::Worker>) {
        if let Some(senders) = spoken.senders.take_if(|senders| senders.include(peer)) {
            return self.hear_out((line, peer), senders, spoken, draining);
        }
        match self.caps.enter(peer).and_then(|place| place.within(spoken.room.as_ref())) {
            Ok(place) => self.serve((line, peer, None), place, spoken, draining),
            Err(full) => turn_away(&line, &spoken, full),
        }
    }

    /// Who connects for others says first for whom. It is part of a task of its own: nobody waits for a slow one.
    fn hear_out(
        self: &Rc<Self>,
        (line, sender): (Line, Peer),
        senders: Arc<Senders>,
        spoken: Spoken,
        draining: &Rc<drain::Worker>,
    ) {
        let place = self.caps.enter_for_another().and_then(|place| place.within(spoken.room.as_ref()));
        let place = match place {
            Ok(place) => place,
            Err(full) => return turn_away(&line, &spoken, full),
        };
        let Ok(mut socket) = line.into_known() else { return };
        let (reception, draining, one) = (Rc::clone(self), Rc::clone(draining), self.open.one());
        actix_rt::spawn(async move {
            let heard = tokio::select! {
                biased;
                heard = senders.hear(&mut socket) => heard,
                () = last_call(draining.ear()) => Err(Error::ClientGone(None)),
            };
            // It goes on as another task, or ends.
            drop(one);
            match heard {
                Ok(Some(ends)) => {
                    let client = Peer::Tcp(ends.client());
                    match place.of(client) {
                        Ok(place) => {
                            let told = (Line::Known(socket), client, Some(Box::new(ends)));
                            reception.serve(told, place, spoken, &draining);
                        }
                        Err(full) => turn_away(&Line::Known(socket), &spoken, full),
                    }
                }
                // It is the sender's own, and he may have as many as there is room for.
                Ok(None) => reception.serve((Line::Known(socket), sender, None), place, spoken, &draining),
                // A load balancer may only have looked whether somebody is here.
                Err(Error::ClientGone(_)) => log::debug!("{sender} left before its PROXY header"),
                Err(error) => {
                    spoken.counts.refused.proxy_header.one();
                    refusals::tell(None, &RequestId::generate(), format_args!("a connection from {sender}"), &error);
                }
            }
        });
    }

    fn serve(
        self: &Rc<Self>,
        (line, peer, announced): (Line, Peer, Option<Box<Ends>>),
        place: Place,
        Spoken { certificates, newest, timeouts, counts, .. }: Spoken,
        draining: &Rc<drain::Worker>,
    ) {
        counts.accepted.one();
        let arrival = Arrival { line, peer, announced, greeted: None, newest, counts };
        let limits = self.limits_at(timeouts.as_deref());
        if let Some(certificates) = certificates {
            return self.serve_encrypted(arrival, certificates, (place, limits), draining);
        }
        self.begin(Visit::first(arrival, limits), (self.open.one(), place), Rc::clone(draining));
    }

    /// A task for a connection on which nothing is under way.
    fn begin(self: &Rc<Self>, visit: Visit, keeps: Keeps, draining: Rc<drain::Worker>) {
        let reception = Rc::clone(self);
        actix_rt::spawn(async move {
            let app = Rc::clone(&reception.app);
            let visit = match visit.http2 {
                Some(_) => Box::pin(h2::serve(visit, Bytes::new(), app, draining.ear())).await,
                None => prefetch::with_each_poll(pin!(h1::serve(visit, app, draining.ear()))).await,
            };
            reception.park(visit, keeps, draining);
        });
    }

    /// Keeps what remains of a connection until something comes again, if there is to be more of it.
    fn park(self: &Rc<Self>, visit: Option<Visit>, keeps: Keeps, draining: Rc<drain::Worker>) {
        self.tidying.soon();
        let Some(visit) = visit else { return };
        visit.arrival.counts.parked.one();
        self.parking.keep(Parked { visit, draining, keeps });
    }

    async fn look_after_parked(self: Rc<Self>) {
        let mut in_a_row = 0;
        loop {
            let Parked { visit, draining, keeps } = self.parking.next().await;
            if visit.is_over(draining.has_begun()) {
                self.tidying.soon();
                visit.end();
            } else {
                self.begin(visit, keeps, draining);
            }
            in_a_row += 1;
            if in_a_row == IN_A_ROW {
                in_a_row = 0;
                turn().await;
            }
        }
    }

    /// The handshake is part of the connection's own task: nobody waits for a slow one.
    fn serve_encrypted(
        self: &Rc<Self>,
        arrival: Arrival,
        certificates: Certificates,
        (place, limits): (Place, Rc<Limits>),
        draining: &Rc<drain::Worker>,
    ) {
        let (reception, draining, keeps) = (Rc::clone(self), Rc::clone(draining), (self.open.one(), place));
        actix_rt::spawn(async move {
            let app = Rc::clone(&reception.app);
            let Arrival { line, newest, counts, .. } = arrival;
            let Ok(socket) = line.into_known() else { return };
            // In a box, which goes when it is over: it is twice what a connection takes afterwards.
            let greeting = Box::pin(certificates.greet(socket, newest, limits.tls_handshake, &counts.handshakes));
            if let Some((socket, greeted)) = greeting.await {
                let protocol = greeted.protocol;
                let arrival = Arrival { line: Line::Known(socket), greeted: Some(greeted), counts, ..arrival };
                let visit = Visit::first(arrival, limits);
                let visit = match protocol {
                    Protocol::Http1 => prefetch::with_each_poll(pin!(h1::serve(visit, app, draining.ear()))).await,
                    Protocol::Http2 => Box::pin(h2::serve(visit, Bytes::new(), app, draining.ear())).await,
                };
                return reception.park(visit, keeps, draining);
            }
            drop(keeps);
            reception.tidying.soon();
        });
    }

    fn limits_at(&self, listener: Option<&ListenerTimeouts>) -> Rc<Limits> {
        let limits = self.limits.borrow();
        match listener {
            None => Rc::clone(&limits),
            Some(own) => Rc::new(limits.at(own)),
        }
    }

    /// The next connection is to be another worker's, if one comes for it at once.
    fn is_ahead(&self) -> bool {
        let open = &self.open;
        self.workers > 1 && share::is_ahead(open.count.get(), self.caps.open(), self.workers, open.some_ended.get())
    }
}

/// Ready once the server stops and who has not begun by then has had his time to.
async fn last_call(draining: Draining) {
    poll_fn(|cx| draining.poll(cx)).await;
    tokio::time::sleep(LAST_CALL).await;
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

/// Tasks of one kind on this worker, counted.
#[derive(Default)]
struct Tasks {
    count: Cell<usize>,
    /// Since the last one began.
    some_ended: Cell<bool>,
    last_ended: Notify,
}

/// One of them, until it is dropped.
struct One(Rc<Tasks>);

impl Tasks {
    fn one(self: &Rc<Self>) -> One {
        self.count.set(self.count.get() + 1);
        self.some_ended.set(false);
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
        self.0.some_ended.set(true);
        if self.0.count.get() == 0 {
            self.0.last_ended.notify_one();
        }
    }
}

/// Says that there is no room, if the client's buffer takes it; nobody waits for a client that is not served.
fn turn_away(line: &Line, spoken: &Spoken, full: Full) {
    spoken.counts.refused.count(full);
    if spoken.certificates.is_some() {
        // Words in the clear are none to a client that expects to shake hands.
        return;
    }
    let id = RequestId::generate();
    let full = Refusal::new("edge", StatusCode::SERVICE_UNAVAILABLE, "there is no place for one more").into();
    refusals::tell(None, &id, "a connection", &full);
    let full = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\nx-request-id: {}\r\n\
         content-length: 0\r\n\r\n",
        id.as_str()
    );
    let socket = match line {
        Line::Known(Socket::Unix(socket)) => SockRef::from(socket),
        line => match line.tcp() {
            Some(socket) => socket,
            None => return,
        },
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
