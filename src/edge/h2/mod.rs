//! HTTP/2 with clients: our own, around the same `App` as [`super::h1`] (docs/adr/0008-http2-downstream.md,
//! docs/adr/0040-own-http2-downstream.md).
//!
//! One task a connection, unless it is parked (`edge/parking`). [`session`] is the protocol without a socket: frames in, requests out, answers back into frames.
//! `connection` takes turns between it, the socket and those who answer, and keeps the deadlines; `stream` carries one
//! request to the App and its answer back. What all of them share is the `wire`.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Poll, ready},
};

use bytes::Bytes;

pub use self::body::Payload;
use self::{
    connection::{Begun, Connection, Last},
    wire::Wire,
};
use super::{
    answers::Answers,
    drain::Draining,
    h1::{LINGER, Visit},
};
use crate::clock::Deadline;

mod bell;
mod body;
mod budget;
mod buffers;
mod connection;
mod head;
mod response;
pub mod session;
mod stream;
mod tunnel;
mod under_way;
mod websocket;
mod wire;

/// Serves a connection to its end, or until it is to be parked; `early` was read from it already.
pub async fn serve<A: Answers>(visit: Visit, early: Bytes, app: Rc<A>, draining: Draining) -> Option<Visit> {
    let begun = Begun::of(&visit);
    let End(wire) = &End(Rc::new(Wire::new(visit, &early, draining.another())));
    drop(early);
    match Connection::new(Rc::clone(wire), begun, draining).converse(app).await {
        Last::Park { until, is_fresh } => return wire.park(until, is_fresh),
        Last::Linger => linger(wire).await,
        Last::Close => {}
    }
    None
}

/// Closes the connection, whoever still holds the wire: a handler may keep its request for longer.
struct End(Rc<Wire>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Closes our half and throws away what still comes: closing at once would reset the connection, and with it the last words
/// that the client has not read.
async fn linger(wire: &Wire) {
    let patience = Deadline::new();
    patience.arm(LINGER);
    // Where TLS is spoken the end has to be written, and a client that does not read does not take it.
    let is_shut = poll_fn(|cx| match wire.poll_shutdown(cx) {
        Poll::Ready(shut) => Poll::Ready(shut.is_ok()),
        Poll::Pending => patience.poll(cx).map(|()| false),
    });
    if !is_shut.await {
        return;
    }
    poll_fn(|cx| {
        while !patience.has_passed() {
            match wire.poll_discard(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Pending => ready!(patience.poll(cx)),
            }
        }
        Poll::Ready(())
    })
    .await;
}
