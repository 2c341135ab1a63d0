//! Copies bytes between two sockets and understands none of them, as the relay of benches/load does, on io_uring with all that it has for
//! this: one call to the kernel for all that waits, a receive that stays, buffers that the kernel picks.
//!
//! `relay-uring LISTEN TO`; it runs until it is ended.

mod buffers;
mod relay;

use std::{env, io, net::SocketAddr};

fn main() -> io::Result<()> {
    let mut addresses = env::args().skip(1).map(|word| word.parse::<SocketAddr>());
    match (addresses.next(), addresses.next()) {
        (Some(Ok(listen)), Some(Ok(to))) => relay::run(listen, to),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "two addresses: where to listen, and where to connect")),
    }
}
