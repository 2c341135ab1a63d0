//! The endpoint behind every peer: `/bytes/N` answers N bytes, after checking the upload it was promised.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use slab::Slab;

use crate::http::{Buffers, Fault, Head, Inbox, Message, Outbox, number};
use crate::socket::{self, EventFlags, Poller, Ready};

/// Tokens from here on are the backend's; those below are the clients'.
pub const FIRST_TOKEN: u64 = 1 << 32;
const LISTENER: u64 = FIRST_TOKEN;
const ACCEPTS_A_TURN: usize = 64;

pub struct Backend {
    pub address: SocketAddr,
    listener: OwnedFd,
    connections: Slab<Connection>,
    answers: HashMap<Order, Message>,
}

struct Connection {
    socket: OwnedFd,
    inbox: Inbox,
    order: Order,
    outbox: Option<Outbox>,
    close: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Order {
    status: u16,
    bytes: u64,
}

impl Backend {
    pub fn start(poller: &Poller) -> io::Result<Self> {
        let (listener, address) = socket::listen(socket::loopback(0))?;
        poller.watch(&listener, LISTENER, EventFlags::IN)?;
        Ok(Self { address, listener, connections: Slab::new(), answers: HashMap::new() })
    }

    pub fn on_ready(&mut self, ready: Ready, poller: &Poller, buffers: &mut Buffers) -> io::Result<()> {
        if ready.token == LISTENER {
            return self.accept(poller);
        }
        let key = (ready.token - LISTENER - 1) as usize;
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        let outcome = connection.on_ready(ready, poller, buffers, &mut self.answers);
        // What goes wrong here shows at the client, which counts it.
        if !matches!(outcome, Ok(true)) {
            self.connections.remove(key);
        }
        Ok(())
    }

    fn accept(&mut self, poller: &Poller) -> io::Result<()> {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(socket) = socket::accept(&self.listener)? else { break };
            let entry = self.connections.vacant_entry();
            poller.watch(&socket, LISTENER + 1 + entry.key() as u64, EventFlags::IN)?;
            entry.insert(Connection {
                socket,
                inbox: Inbox::default(),
                order: Order::default(),
                outbox: None,
                close: false,
            });
        }
        Ok(())
    }
}

impl Connection {
    /// False when the connection has ended.
    fn on_ready(
        &mut self,
        ready: Ready,
        poller: &Poller,
        buffers: &mut Buffers,
        answers: &mut HashMap<Order, Message>,
    ) -> Result<bool, Fault> {
        if let Some(outbox) = &mut self.outbox {
            if !outbox.write(&mut self.socket, buffers)? {
                return Ok(true);
            }
            self.outbox = None;
            poller.change(&self.socket, ready.token, EventFlags::IN)?;
            return Ok(!self.close);
        }
        let (order, close) = (&mut self.order, &mut self.close);
        let complete = self.inbox.read(&mut self.socket, buffers, |head| {
            *order = Order::read(head);
            *close = head.close;
            Ok(())
        })?;
        if !complete {
            return Ok(true);
        }
        let answer = answers.entry(*order).or_insert_with_key(Order::answer);
        let mut outbox = Outbox::new(answer.clone());
        if outbox.write(&mut self.socket, buffers)? {
            return Ok(!self.close);
        }
        self.outbox = Some(outbox);
        poller.change(&self.socket, ready.token, EventFlags::OUT)?;
        Ok(true)
    }
}

impl Order {
    /// `GET /bytes/128 HTTP/1.1` or `POST /bytes/128?upload=1024 HTTP/1.1`.
    fn read(head: &Head) -> Self {
        let refused = Self { status: 400, bytes: 0 };
        let mut words = head.start_line.split(|&byte| byte == b' ');
        let Some(path) = words.nth(1).and_then(|target| target.strip_prefix(b"/bytes/")) else {
            return refused;
        };
        let mut parts = path.splitn(2, |&byte| byte == b'?');
        let bytes = parts.next().and_then(number);
        let promised = match parts.next().map(|query| query.strip_prefix(b"upload=")) {
            None => Some(0),
            Some(upload) => upload.and_then(number),
        };
        match bytes {
            Some(bytes) if promised == Some(head.content_length.unwrap_or(0)) => Self { status: 200, bytes },
            _ => refused,
        }
    }

    fn answer(&self) -> Message {
        let Self { status, bytes } = self;
        let reason = if *status == 200 { "OK" } else { "Bad Request" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\n\
             Server: backend\r\n\
             Content-Type: application/octet-stream\r\n\
             Cache-Control: no-store\r\n\
             Content-Length: {bytes}\r\n\r\n"
        );
        Message::new(&head, *bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_taken_only_with_the_upload_it_promised() {
        for (start_line, content_length, status) in [
            ("GET /bytes/128 HTTP/1.1", None, 200),
            ("POST /bytes/128?upload=9 HTTP/1.1", Some(9), 200),
            ("POST /bytes/128?upload=9 HTTP/1.1", Some(8), 400),
            ("GET /bytes/128 HTTP/1.1", Some(3), 400),
            ("GET /else HTTP/1.1", None, 400),
            ("GET", None, 400),
        ] {
            let start_line = start_line.as_bytes();
            let head = Head { start_line, size: 0, content_length, close: false };
            assert_eq!(Order::read(&head).status, status, "{head:?}");
        }
    }
}
