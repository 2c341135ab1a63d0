//! `/bytes/N` answers N bytes over HTTP/1.1, after checking the upload it was promised; `/stored/N` the same, for caches to
//! keep.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use super::Serve;
use crate::http::{Buffers, Fault, Head, Inbox, Message, Outbox, number};
use crate::socket::{EventFlags, Poller, Ready};

/// A connection of a proxy.
pub struct Bytes {
    socket: OwnedFd,
    inbox: Inbox,
    order: Order,
    outbox: Option<Outbox>,
    close: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Order {
    status: u16,
    bytes: u64,
    may_be_stored: bool,
    /// Nobody asks for this again.
    is_once: bool,
}

/// What all connections answer with, and how often they did.
#[derive(Default)]
pub struct Answers {
    of: HashMap<Order, Message>,
    pub asked: Asked,
}

/// How often.
#[derive(Clone, Copy, Default)]
pub struct Asked {
    pub all: u64,
    /// Of these for what nobody asks for again.
    pub once: u64,
}

impl Asked {
    pub fn since(self, before: Self) -> Self {
        Self { all: self.all - before.all, once: self.once - before.once }
    }
}

impl Serve for Bytes {
    type Shared = Answers;

    fn over(socket: OwnedFd) -> Self {
        Self { socket, inbox: Inbox::default(), order: Order::default(), outbox: None, close: false }
    }

    fn on_ready(
        &mut self,
        ready: Ready,
        poller: &Poller,
        buffers: &mut Buffers,
        answers: &mut Self::Shared,
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
        answers.asked.all += 1;
        answers.asked.once += u64::from(order.is_once);
        let answer = answers.of.entry(*order).or_insert_with_key(Order::answer);
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
        let refused = Self { status: 400, ..Self::default() };
        let Some(target) = head.start_line.split(|&byte| byte == b' ').nth(1) else { return refused };
        let stored = target.strip_prefix(b"/stored/");
        let may_be_stored = stored.is_some();
        let Some(path) = stored.or_else(|| target.strip_prefix(b"/bytes/")) else { return refused };
        let mut parts = path.splitn(2, |&byte| byte == b'?');
        let bytes = parts.next().and_then(number);
        let query = parts.next();
        let is_once = query.is_some_and(|query| query.starts_with(b"once="));
        let promised = match query {
            Some(query) if !may_be_stored => query.strip_prefix(b"upload=").and_then(number),
            _ => Some(0),
        };
        match bytes {
            Some(bytes) if promised == Some(head.content_length.unwrap_or(0)) => {
                Self { status: 200, bytes, may_be_stored, is_once }
            }
            _ => refused,
        }
    }

    fn answer(&self) -> Message {
        let Self { status, bytes, may_be_stored, .. } = self;
        let caching = if *may_be_stored { "max-age=3600" } else { "no-store" };
        let reason = if *status == 200 { "OK" } else { "Bad Request" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\n\
             Server: backend\r\n\
             Content-Type: application/octet-stream\r\n\
             Cache-Control: {caching}\r\n\
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
            ("GET /stored/128 HTTP/1.1", None, 200),
            ("GET /stored/128?o=1 HTTP/1.1", None, 200),
            ("GET /else HTTP/1.1", None, 400),
            ("GET", None, 400),
        ] {
            let start_line = start_line.as_bytes();
            let head = Head { start_line, size: 0, content_length, close: false };
            assert_eq!(Order::read(&head).status, status, "{head:?}");
        }
    }
}
