//! The floor: copies bytes between two sockets and understands none of them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::Shutdown;
use slab::Slab;

use crate::socket::{self, EventFlags, Poller, Ready};

const LISTENER: u64 = u64::MAX;
const CHUNK: usize = 64 * 1024;

/// Runs until it is ended.
pub fn run(listen: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let mut poller = Poller::new()?;
    let (listener, _) = socket::listen(listen)?;
    poller.watch(&listener, LISTENER, EventFlags::IN)?;
    let mut pairs: Slab<Pair> = Slab::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        for event in 0..poller.wait()? {
            let ready = poller.ready(event);
            if ready.token == LISTENER {
                while let Some(client) = socket::accept(&listener)? {
                    let entry = pairs.vacant_entry();
                    let first_token = entry.key() as u64 * 2;
                    entry.insert(Pair::join(client, to, first_token, &poller)?);
                }
                continue;
            }
            let key = (ready.token / 2) as usize;
            let Some(pair) = pairs.get_mut(key) else { continue };
            if !pair.on_ready(ready, &poller, &mut chunk).unwrap_or(false) {
                pairs.remove(key);
            }
        }
    }
}

struct Pair {
    sides: [Side; 2],
}

struct Side {
    socket: OwnedFd,
    /// What this side must still be sent.
    pending: Vec<u8>,
    sent: usize,
    /// Nothing more comes from it.
    has_ended: bool,
    /// It was told that nothing more comes to it.
    is_shut: bool,
    interest: EventFlags,
}

impl Pair {
    fn join(client: OwnedFd, to: SocketAddr, first_token: u64, poller: &Poller) -> io::Result<Self> {
        let endpoint = socket::connect(to, None)?;
        poller.watch(&client, first_token, EventFlags::IN)?;
        poller.watch(&endpoint, first_token + 1, EventFlags::IN)?;
        Ok(Self { sides: [Side::over(client), Side::over(endpoint)] })
    }

    /// False when both sides have ended.
    fn on_ready(&mut self, ready: Ready, poller: &Poller, chunk: &mut [u8]) -> io::Result<bool> {
        let [client, endpoint] = &mut self.sides;
        let (here, there) = match ready.token % 2 {
            0 => (client, endpoint),
            _ => (endpoint, client),
        };
        if ready.writable {
            here.flush()?;
            here.pass_on_the_end(there)?;
        }
        if ready.readable && !here.has_ended && there.is_flushed() {
            match socket::receive(&here.socket, chunk)? {
                None => {}
                Some(0) => {
                    here.has_ended = true;
                    there.pass_on_the_end(here)?;
                }
                Some(count) => there.send(&chunk[..count])?,
            }
        }
        if client_and_endpoint_have_ended(&self.sides) {
            return Ok(false);
        }
        let first_token = ready.token - ready.token % 2;
        let [client, endpoint] = &mut self.sides;
        client.watch(endpoint.is_flushed(), first_token, poller)?;
        endpoint.watch(client.is_flushed(), first_token + 1, poller)?;
        Ok(true)
    }
}

fn client_and_endpoint_have_ended(sides: &[Side; 2]) -> bool {
    sides.iter().all(|side| side.has_ended && side.is_flushed())
}

impl Side {
    fn over(socket: OwnedFd) -> Self {
        Self { socket, pending: Vec::new(), sent: 0, has_ended: false, is_shut: false, interest: EventFlags::IN }
    }

    fn is_flushed(&self) -> bool {
        self.pending.len() == self.sent
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let count = socket::send(&self.socket, bytes)?.unwrap_or(0);
        self.pending.clear();
        self.pending.extend_from_slice(&bytes[count..]);
        self.sent = 0;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.is_flushed() {
            self.sent += socket::send(&self.socket, &self.pending[self.sent..])?.unwrap_or(0);
        }
        Ok(())
    }

    /// The other side has nothing more to say: neither have we, once it is all said.
    fn pass_on_the_end(&mut self, other: &Side) -> io::Result<()> {
        if other.has_ended && self.is_flushed() && !self.is_shut {
            self.is_shut = true;
            rustix::net::shutdown(&self.socket, Shutdown::Write)?;
        }
        Ok(())
    }

    fn watch(&mut self, may_read: bool, token: u64, poller: &Poller) -> io::Result<()> {
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, may_read && !self.has_ended);
        interest.set(EventFlags::OUT, !self.is_flushed());
        if interest != self.interest {
            self.interest = interest;
            poller.change(&self.socket, token, interest)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::thread;

    use super::*;

    #[test]
    fn both_directions_arrive_whole_and_end() {
        // Arrange
        let origin = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = origin.local_addr().unwrap();
        let listen = socket::loopback(socket::free_port().unwrap());
        thread::spawn(move || run(listen, to));
        let echo = thread::spawn(move || {
            let (mut stream, _) = origin.accept().unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            stream.write_all(&heard).unwrap();
        });
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();

        // Act
        let mut client = connected(listen);
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();

        // Assert
        assert!(received == sent);
        echo.join().unwrap();
    }

    fn connected(to: SocketAddr) -> TcpStream {
        loop {
            match TcpStream::connect(to) {
                Ok(stream) => return stream,
                Err(_) => thread::yield_now(),
            }
        }
    }
}
