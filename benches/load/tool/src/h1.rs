//! A client that speaks HTTP/1.1: it sends its request again and again and checks every response.

use std::rc::Rc;

use crate::client::{Client, wait_to_write};
use crate::http::{Buffers, Fault, Head, Inbox, Message, Outbox};
use crate::settings::TOKEN;
use crate::socket::{EventFlags, Poller, Ready};
use crate::tls;
use crate::wire::{Line, Target, Wire};

/// What a client asks for.
pub struct Request {
    message: Message,
    download: u64,
    /// A new connection for each request.
    close: bool,
}

/// What the clients of a crowd ask for next.
pub type Asks = Rc<dyn Fn() -> Rc<Request>>;

impl Request {
    pub fn new(download: u64, upload: u64, close: bool) -> Self {
        let (start, length) = match upload {
            0 => (format!("GET /bytes/{download}"), String::new()),
            _ => (format!("POST /bytes/{download}?upload={upload}"), format!("Content-Length: {upload}\r\n")),
        };
        let connection = if close { "Connection: close\r\n" } else { "" };
        let message = message(&start, &format!("{connection}{length}"), upload);
        Self { message, download, close }
    }

    /// For who asks to see who it is.
    pub fn with_token(download: u64) -> Self {
        let fields = format!("Authorization: Bearer {TOKEN}\r\n");
        Self { message: message(&format!("GET /bytes/{download}"), &fields, 0), download, close: false }
    }

    /// For what a cache may keep; a query tells one such thing from another.
    pub fn stored_as(download: u64, query: &str) -> Self {
        Self { message: message(&format!("GET /stored/{download}{query}"), "", 0), download, close: false }
    }

    /// By every client, always.
    pub fn by_all(self) -> Asks {
        let request = Rc::new(self);
        Rc::new(move || Rc::clone(&request))
    }

    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.message.clone())
    }

    pub fn check(&self, head: &Head) -> Result<(), Fault> {
        if !head.start_line.starts_with(b"HTTP/1.1 200") {
            let line = String::from_utf8_lossy(head.start_line).into_owned();
            return Err(Fault::Status(line));
        }
        if head.content_length != Some(self.download) {
            let announced = head.content_length;
            return Err(Fault::Length { announced, expected: self.download });
        }
        Ok(())
    }
}

fn message(start: &str, fields: &str, upload: u64) -> Message {
    let head = format!(
        "{start} HTTP/1.1\r\n\
         Host: {}\r\n\
         User-Agent: load\r\n\
         Accept: */*\r\n\
         {fields}\r\n",
        tls::NAME,
    );
    Message::new(&head, upload)
}

/// Makes its request over a connection that is kept as long as both sides want.
pub struct H1Client {
    asks: Asks,
    request: Rc<Request>,
    target: Target,
    connection: Option<Connection>,
    is_busy: bool,
}

struct Connection {
    line: Line,
    inbox: Inbox,
    outbox: Option<Outbox>,
    waits_to_write: bool,
    close: bool,
}

impl H1Client {
    pub fn new(asks: Asks, target: Target) -> Self {
        let request = asks();
        Self { asks, request, target, connection: None, is_busy: false }
    }
}

impl Client for H1Client {
    fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    fn begin(&mut self, token: u64, poller: &Poller) -> Result<(), Fault> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let line = self.target.connect()?;
                poller.watch(&line, token, EventFlags::IN)?;
                self.connection.insert(Connection::over(line))
            }
        };
        self.request = (self.asks)();
        connection.outbox = Some(self.request.outbox());
        self.is_busy = true;
        Ok(())
    }

    fn send(&mut self, token: u64, poller: &Poller, buffers: &Buffers) -> Result<(), Fault> {
        match &mut self.connection {
            Some(connection) => connection.write(token, poller, buffers),
            None => Ok(()),
        }
    }

    fn on_ready(&mut self, ready: Ready, poller: &Poller, buffers: &mut Buffers) -> Result<usize, Fault> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        if !self.is_busy {
            // Between requests a proxy may close, and what TLS says is not for us; nothing else may come.
            if !matches!(connection.line.receive(&mut buffers.scratch), Ok(None)) {
                self.connection = None;
            }
            return Ok(0);
        }
        if ready.writable && connection.waits_to_write {
            connection.write(ready.token, poller, buffers)?;
        }
        if !ready.readable {
            return Ok(0);
        }
        let (close, request) = (&mut connection.close, &self.request);
        let complete = connection.inbox.read(&mut connection.line, buffers, |head| {
            *close = head.close;
            request.check(head)
        })?;
        if !complete {
            return Ok(0);
        }
        self.is_busy = false;
        if connection.close || self.request.close || connection.outbox.is_some() {
            self.connection = None;
        }
        Ok(1)
    }

    fn disconnect(&mut self) -> usize {
        self.connection = None;
        usize::from(std::mem::take(&mut self.is_busy))
    }
}

impl Connection {
    fn over(line: Line) -> Self {
        Self { line, inbox: Inbox::default(), outbox: None, waits_to_write: false, close: false }
    }

    fn write(&mut self, token: u64, poller: &Poller, buffers: &Buffers) -> Result<(), Fault> {
        let done = match &mut self.outbox {
            Some(outbox) => outbox.write(&mut self.line, buffers)? && self.line.flush()?,
            None => self.line.flush()?,
        };
        if done {
            self.outbox = None;
        }
        wait_to_write(!done, &mut self.waits_to_write, &self.line, token, poller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(response: &str) -> Result<(), Fault> {
        let head = Head::parse(response.as_bytes()).unwrap().unwrap();
        Request::new(128, 0, false).check(&head)
    }

    #[test]
    fn only_the_right_status_and_length_count() {
        for (response, counts) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 127\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 128\r\n\r\n", false),
        ] {
            assert_eq!(checked(response).is_ok(), counts, "{response}");
        }
    }
}
