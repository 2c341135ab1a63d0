//! One client of a proxy: it sends its request again and again and checks every response.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::http::{Buffers, Fault, Head, Inbox, Message, Outbox};
use crate::socket::{self, EventFlags, Poller, Ready};

/// What every client of a case asks for.
#[derive(Clone)]
pub struct Request {
    message: Message,
    download: u64,
    /// The client takes a new connection for each request.
    pub close: bool,
}

impl Request {
    pub fn new(download: u64, upload: u64, close: bool) -> Self {
        let (start, length) = match upload {
            0 => (format!("GET /bytes/{download}"), String::new()),
            _ => (format!("POST /bytes/{download}?upload={upload}"), format!("Content-Length: {upload}\r\n")),
        };
        let connection = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "{start} HTTP/1.1\r\n\
             Host: load.test\r\n\
             User-Agent: load\r\n\
             Accept: */*\r\n\
             {connection}{length}\r\n"
        );
        Self { message: Message::new(&head, upload), download, close }
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

#[derive(Default)]
pub struct Client {
    connection: Option<Connection>,
    pub busy: bool,
}

struct Connection {
    socket: OwnedFd,
    inbox: Inbox,
    outbox: Option<Outbox>,
    waits_to_write: bool,
    close: bool,
}

impl Client {
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Sends a request, over a new connection if there is none.
    pub fn start(
        &mut self,
        request: &Request,
        to: SocketAddr,
        token: u64,
        poller: &Poller,
        buffers: &Buffers,
    ) -> Result<(), Fault> {
        if self.connection.is_none() {
            let socket = socket::connect(to, None)?;
            poller.watch(&socket, token, EventFlags::IN)?;
            self.connection = Some(Connection::over(socket));
        }
        self.busy = true;
        match &mut self.connection {
            Some(connection) => {
                connection.outbox = Some(request.outbox());
                connection.write(token, poller, buffers)
            }
            None => Ok(()),
        }
    }

    /// True when a response has ended, and with it the request.
    pub fn on_ready(
        &mut self,
        ready: Ready,
        request: &Request,
        poller: &Poller,
        buffers: &mut Buffers,
    ) -> Result<bool, Fault> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        if !self.busy {
            // Between requests a proxy may close, and may say nothing else.
            self.connection = None;
            return Ok(false);
        }
        if ready.writable && connection.waits_to_write {
            connection.write(ready.token, poller, buffers)?;
        }
        if !ready.readable {
            return Ok(false);
        }
        let close = &mut connection.close;
        let complete = connection.inbox.read(&connection.socket, buffers, |head| {
            *close = head.close;
            request.check(head)
        })?;
        if !complete {
            return Ok(false);
        }
        self.busy = false;
        if connection.close || request.close || connection.outbox.is_some() {
            self.connection = None;
        }
        Ok(true)
    }

    pub fn disconnect(&mut self) {
        self.connection = None;
        self.busy = false;
    }
}

impl Connection {
    fn over(socket: OwnedFd) -> Self {
        Self { socket, inbox: Inbox::default(), outbox: None, waits_to_write: false, close: false }
    }

    fn write(&mut self, token: u64, poller: &Poller, buffers: &Buffers) -> Result<(), Fault> {
        let Some(outbox) = &mut self.outbox else { return Ok(()) };
        let done = outbox.write(&self.socket, buffers)?;
        if done {
            self.outbox = None;
        }
        if self.waits_to_write == done {
            self.waits_to_write = !done;
            let both = EventFlags::IN | EventFlags::OUT;
            poller.change(&self.socket, token, if done { EventFlags::IN } else { both })?;
        }
        Ok(())
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
