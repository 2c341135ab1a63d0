//! A client that leaves HTTP/1.1 and then sends a message again and again, which must come back.

use super::{ACCEPT, KEY, MASKED, PLAIN};
use crate::client::{Client, wait_to_write};
use crate::http::{Buffers, Fault, Head};
use crate::socket::{EventFlags, Poller, Ready};
use crate::tls;
use crate::wire::{Line, Target, Wire};

pub struct WebSocketClient {
    target: Target,
    connection: Option<Connection>,
    /// A message is under way, or waits for the connection to be one of messages.
    is_busy: bool,
}

struct Connection {
    line: Line,
    has_left_http: bool,
    received: Vec<u8>,
    out: Vec<u8>,
    waits_to_write: bool,
}

impl WebSocketClient {
    pub fn new(target: Target) -> Self {
        Self { target, connection: None, is_busy: false }
    }
}

impl Client for WebSocketClient {
    fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    fn begin(&mut self, token: u64, poller: &Poller) -> Result<(), Fault> {
        self.is_busy = true;
        match &mut self.connection {
            Some(connection) => connection.out.extend_from_slice(&MASKED),
            None => {
                let connection = Connection::over(self.target.connect()?);
                poller.watch(&connection.line, token, EventFlags::IN)?;
                self.connection = Some(connection);
            }
        }
        Ok(())
    }

    fn send(&mut self, token: u64, poller: &Poller, _: &Buffers) -> Result<(), Fault> {
        match &mut self.connection {
            Some(connection) => connection.write(token, poller),
            None => Ok(()),
        }
    }

    fn on_ready(&mut self, ready: Ready, poller: &Poller, buffers: &mut Buffers) -> Result<usize, Fault> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        if ready.readable {
            connection.read(buffers)?;
        }
        if connection.has_left_http {
            let back = count(&mut connection.received, usize::from(self.is_busy))?;
            self.is_busy &= back == 0;
            connection.write(ready.token, poller)?;
            return Ok(back);
        }
        if connection.leaves_http()? {
            connection.out.extend_from_slice(&MASKED);
        }
        connection.write(ready.token, poller)?;
        Ok(0)
    }

    fn disconnect(&mut self) -> usize {
        self.connection = None;
        usize::from(std::mem::take(&mut self.is_busy))
    }
}

/// How many messages have come back, of so many that were sent.
pub(super) fn count(received: &mut Vec<u8>, sent: usize) -> Result<usize, Fault> {
    if received.len() > sent * PLAIN.len() {
        return Err(Fault::Surplus);
    }
    let whole = received.len() / PLAIN.len();
    if received.chunks_exact(PLAIN.len()).any(|one| one != PLAIN) {
        return Err(Fault::Malformed("message"));
    }
    received.drain(..whole * PLAIN.len());
    Ok(whole)
}

impl Connection {
    fn over(line: Line) -> Self {
        let out = format!(
            "GET /chat HTTP/1.1\r\n\
             Host: {}\r\n\
             User-Agent: load\r\n\
             Connection: Upgrade\r\n\
             Upgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {KEY}\r\n\r\n",
            tls::NAME,
        );
        Self { line, has_left_http: false, received: Vec::new(), out: out.into(), waits_to_write: false }
    }

    fn read(&mut self, buffers: &mut Buffers) -> Result<(), Fault> {
        match self.line.receive(&mut buffers.scratch)? {
            Some(0) => Err(Fault::Closed),
            Some(count) => {
                self.received.extend_from_slice(&buffers.scratch[..count]);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether the answer is there, and the one that is wanted.
    fn leaves_http(&mut self) -> Result<bool, Fault> {
        let Some(head) = Head::parse(&self.received)? else { return Ok(false) };
        let text = String::from_utf8_lossy(&self.received[..head.size]);
        if !text.starts_with("HTTP/1.1 101") || !text.contains(ACCEPT) {
            return Err(Fault::Status(text.lines().next().unwrap_or_default().into()));
        }
        let size = head.size;
        self.received.drain(..size);
        self.has_left_http = true;
        Ok(true)
    }

    fn write(&mut self, token: u64, poller: &Poller) -> Result<(), Fault> {
        if !self.out.is_empty()
            && let Some(count) = self.line.send(&self.out)?
        {
            self.out.drain(..count);
        }
        let done = self.line.flush()? && self.out.is_empty();
        wait_to_write(!done, &mut self.waits_to_write, &self.line, token, poller)
    }
}
