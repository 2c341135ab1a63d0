//! HTTP/2 with clients: our own dispatcher on the h2 crate, around the same `App` as [`super::h1`]
//! (docs/adr/0008-http2-downstream.md).
//!
//! One task a connection. [`connection`] takes requests in and keeps its deadlines, [`stream`] carries one of them to the
//! App and its answer back. What the crate does not bound is counted as it passes, frame by frame, in [`wire`].

use std::{
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Poll, ready},
};

use bytes::Bytes;

use self::{
    connection::{Connection, Last},
    wire::{Io, Wire},
};
use super::{
    drain::Draining,
    h1::{Answers, Arrival, LINGER},
    limits::Limits,
};
use crate::{clock::Deadline, http::h2::backlog};

mod bell;
mod body;
mod budget;
mod connection;
mod head;
mod response;
mod stream;
mod tunnel;
mod websocket;
mod wire;

/// Serves a connection to its end; `early` was read from it already.
pub async fn serve<A: Answers>(arrival: Arrival, early: Bytes, app: Rc<A>, limits: Rc<Limits>, draining: Draining) {
    let wire = Rc::new(Wire::new(arrival, early, limits));
    let _end = End(Rc::clone(&wire));
    let Some(greeted) = greet(&wire).await else { return };
    match Connection::new(greeted, Rc::clone(&wire), draining).converse(app).await {
        Last::Linger => linger(&wire).await,
        Last::Close => {}
    }
}

/// Sends our settings and reads the client's preface (RFC 9113, 3.4); `None` if it is none, or takes too long.
async fn greet(wire: &Rc<Wire>) -> Option<h2::server::Connection<Io, Bytes>> {
    let limits = &wire.limits;
    let window = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
    // What is a little too large is told so in full, by whoever reads the head; the crate's own answer is a bare 431.
    let list = limits.max_head.saturating_add((limits.max_headers + SPARE_FIELDS).saturating_mul(FIELD_OVERHEAD));
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.http2.max_streams)
        .initial_window_size(window(limits.http2.stream_window.0))
        .initial_connection_window_size(window(limits.http2.connection_window.0))
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .data_frame_budget(backlog::budget(limits.http2.stream_window.0, limits.http2.connection_window.0))
        .max_send_buffer_size(MOST_UNSENT)
        // How often a client may do so is bounded by time, not once and for all.
        .max_local_error_reset_streams(None)
        .enable_connect_protocol();
    let mut shake = pin!(builder.handshake(Io(Rc::clone(wire))));
    let shake = poll_fn(|cx| {
        let shaken = shake.as_mut().poll(cx);
        wire.end_turn();
        // What fails here fails again for whoever reads.
        let _ = wire.poll_flush(cx);
        shaken
    });
    let shaken = match limits.request_head {
        Some(limit) => tokio::time::timeout(limit, shake).await.ok()?,
        None => shake.await,
    };
    match shaken {
        Ok(connection) => Some(connection),
        Err(error) => {
            log::debug!("no HTTP/2 with a client: {error}");
            None
        }
    }
}

/// What each field counts for beyond its bytes in the size of a header list (RFC 9113, 6.5.2).
const FIELD_OVERHEAD: usize = 32;
/// Fields beyond those that are allowed.
const SPARE_FIELDS: usize = 32;

/// Bytes of one answer's content that wait in memory for a client to take them.
const MOST_UNSENT: usize = 64 * 1024;

/// Closes the connection, whoever still holds the wire: a handler may keep its request for longer.
struct End(Rc<Wire>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Throws away what still comes: closing at once would reset the connection, and with it the last words that the client
/// has not read.
async fn linger(wire: &Wire) {
    let patience = Deadline::new();
    patience.arm(LINGER);
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
