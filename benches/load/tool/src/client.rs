//! What the generator asks of a client, whatever it speaks.

use std::os::fd::AsFd;

use crate::http::{Buffers, Fault};
use crate::socket::{EventFlags, Poller, Ready};

/// Makes requests over a connection of its own, and checks every response.
pub trait Client {
    /// Prepares one more request, and a connection if there is none.
    fn begin(&mut self, token: u64, poller: &Poller) -> Result<(), Fault>;

    /// Sends what was prepared.
    fn send(&mut self, token: u64, poller: &Poller, buffers: &Buffers) -> Result<(), Fault>;

    /// How many responses have ended, and with them their requests.
    fn on_ready(&mut self, ready: Ready, poller: &Poller, buffers: &mut Buffers) -> Result<usize, Fault>;

    /// Closes the connection; returns how many requests are lost with it.
    fn disconnect(&mut self) -> usize;

    fn is_connected(&self) -> bool;
}

/// Is told of room to write only while it waits for it.
pub fn wait_to_write(
    wanted: bool,
    waits: &mut bool,
    line: impl AsFd,
    token: u64,
    poller: &Poller,
) -> Result<(), Fault> {
    if *waits != wanted {
        *waits = wanted;
        let both = EventFlags::IN | EventFlags::OUT;
        poller.change(line, token, if wanted { both } else { EventFlags::IN })?;
    }
    Ok(())
}
