//! HTTP/1.1 with clients: our own dispatcher (docs/adr/0001-own-http1-dispatcher.md) around whoever [answers](super::answers).
//!
//! One task a connection, unless it is parked (`edge/parking`). `connection` reads a head, has it answered, writes the answer, and begins again; while it waits
//! it watches for a client that leaves. Every wait has a deadline. What it shares with the handler is the `wire`.

use std::{
    future::{Future, poll_fn},
    rc::Rc,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use self::{
    connection::{Connection, Last},
    wire::Wire,
};
pub use self::{
    visit::Visit,
    wire::{Payload, tidy},
};
use super::{
    answers::Answers,
    counts::Counts,
    drain::Draining,
    h2,
    line::Line,
    tls::{Greeted, Protocol},
};
use crate::http::{
    Takeover,
    downstream::{Peer, TakenOver},
    proxy_protocol::Ends,
};

mod connection;
pub mod head;
pub mod response;
pub(super) mod unseen;
mod visit;
mod wire;

/// How long a client that still sends may read the answer, once we have closed our side.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// A connection that somebody has come in by.
pub struct Arrival {
    /// The connection.
    pub line: Line,
    /// Who is at its other end.
    pub peer: Peer,
    /// What a PROXY header has said of it. In a box: few have one.
    pub announced: Option<Box<Ends>>,
    /// What was agreed on, where TLS is spoken.
    pub greeted: Option<Greeted>,
    /// The newest protocol that is spoken where it came in.
    pub newest: Protocol,
    /// What is counted there.
    pub counts: Arc<Counts>,
}

/// Serves a connection to its end, or until it is to be parked. What it is given is used up before it waits, so that no
/// room is kept for it meanwhile.
pub fn serve<A: Answers>(visit: Visit, app: Rc<A>, draining: Draining) -> impl Future<Output = Option<Visit>> {
    let is_fresh = visit.is_fresh;
    let wire = Rc::new(Wire::new(visit));
    let end = End(Rc::clone(&wire));
    async move {
        let _end = end;
        let mut connection = Connection::new(Rc::clone(&wire), is_fresh, draining);
        match connection.converse(&*app).await {
            Last::Close => wire.say_goodbye(),
            Last::Park(until) => return wire.park(until, connection.is_fresh()),
            Last::Cut => wire.reset(),
            Last::Linger => linger(&wire).await,
            Last::Switch(takeover) => Box::pin(hand_over(&wire, takeover, connection.draining)).await,
            Last::Http2 => return Box::pin(hand_on(&wire, app, connection.draining)).await,
        }
        None
    }
}

/// Closes the connection, whoever still holds the wire: a handler may keep its request for longer.
struct End(Rc<Wire>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
        self.0.shortcut.shut();
    }
}

/// Closes our half and throws away what still comes: closing at once would reset the connection, and with it the
/// answer that the client has not read (RFC 9112, 9.6).
async fn linger(wire: &Wire) {
    wire.reading.arm(LINGER);
    // Where TLS is spoken the end has to be written, and a client that does not read does not take it.
    let is_shut = poll_fn(|cx| match wire.poll_shutdown(cx) {
        Poll::Ready(shut) => Poll::Ready(shut.is_ok()),
        Poll::Pending => wire.reading.poll(cx).map(|()| false),
    });
    if !is_shut.await {
        return;
    }
    wire.reading.arm(LINGER);
    poll_fn(|cx| {
        while !wire.reading.has_passed() {
            wire.input.borrow_mut().clear();
            match wire.poll_read_head(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => ready!(wire.reading.poll(cx)),
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// The client has spoken HTTP/2 from its first byte.
async fn hand_on<A: Answers>(wire: &Wire, app: Rc<A>, draining: Draining) -> Option<Visit> {
    let (socket, early) = wire.take()?;
    let (peer, announced, newest, counts) = (wire.peer, wire.announced.clone(), wire.newest, Arc::clone(&wire.counts));
    let arrival = Arrival { line: Line::Known(socket), peer, announced, greeted: None, newest, counts };
    h2::serve(Visit::first(arrival, Rc::clone(&wire.limits)), early, app, draining).await
}

async fn hand_over(wire: &Wire, takeover: Takeover, draining: Draining) {
    let Some((socket, early)) = wire.take() else { return };
    (takeover.0)(TakenOver { io: Box::new(socket), early, draining: draining.of_tunnels() }).await;
}
