//! A stream that is handed over as bytes in both directions.

use bytes::Bytes;
use h2::{RecvStream, SendStream};

use crate::{
    edge::drain::Draining,
    http::{downstream::TakenOver, h2::Pipe},
};

/// A client that speaks another protocol from here on.
pub fn taken_over(stream: SendStream<Bytes>, frames: RecvStream, draining: &Draining) -> TakenOver {
    let io = Box::new(Pipe::new(stream, frames, ()));
    TakenOver { io, early: Bytes::new(), draining: draining.of_tunnels() }
}
