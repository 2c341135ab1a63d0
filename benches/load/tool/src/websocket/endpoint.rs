//! The endpoint that sends each message back.

use std::os::fd::OwnedFd;

use super::{ACCEPT, HEAD, MASKED};
use crate::backend::Serve;
use crate::client::wait_to_write;
use crate::http::{Buffers, Fault, Head};
use crate::socket::{Poller, Ready};
use crate::wire::Wire;

/// A connection of a proxy.
pub struct Chat {
    socket: OwnedFd,
    has_left_http: bool,
    received: Vec<u8>,
    out: Vec<u8>,
    waits_to_write: bool,
}

impl Serve for Chat {
    type Shared = ();

    fn over(socket: OwnedFd) -> Self {
        Self { socket, has_left_http: false, received: Vec::new(), out: Vec::new(), waits_to_write: false }
    }

    fn on_ready(
        &mut self,
        ready: Ready,
        poller: &Poller,
        buffers: &mut Buffers,
        (): &mut Self::Shared,
    ) -> Result<bool, Fault> {
        match self.socket.receive(&mut buffers.scratch)? {
            Some(0) => return Ok(false),
            Some(count) => self.received.extend_from_slice(&buffers.scratch[..count]),
            None => {}
        }
        if !self.has_left_http {
            self.leave_http()?;
        }
        while self.has_left_http && self.received.len() >= MASKED.len() {
            self.send_back()?;
        }
        if !self.out.is_empty()
            && let Some(count) = self.socket.send(&self.out)?
        {
            self.out.drain(..count);
        }
        wait_to_write(!self.out.is_empty(), &mut self.waits_to_write, &self.socket, ready.token, poller)?;
        Ok(true)
    }
}

impl Chat {
    fn leave_http(&mut self) -> Result<(), Fault> {
        let Some(head) = Head::parse(&self.received)? else { return Ok(()) };
        let size = head.size;
        self.received.drain(..size);
        self.has_left_http = true;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\n\
             Connection: Upgrade\r\n\
             Upgrade: websocket\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        self.out.extend_from_slice(answer.as_bytes());
        Ok(())
    }

    /// What was masked goes back plain: who carries it is to change nothing.
    fn send_back(&mut self) -> Result<(), Fault> {
        let (head, content) = self.received[..MASKED.len()].split_at(8);
        if head[..4] != MASKED[..4] {
            return Err(Fault::Malformed("message"));
        }
        self.out.extend_from_slice(&HEAD);
        self.out.extend(content.iter().zip(head[4..].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.received.drain(..MASKED.len());
        Ok(())
    }
}
