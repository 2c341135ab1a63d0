//! As much HTTP/1.1 as the load and its backend speak: heads, and bodies of known length.

use std::fmt;
use std::io;
use std::rc::Rc;

use memchr::memchr;

use crate::wire::Wire;

/// How much of a body travels in the same write as its head.
const FIRST_WRITE: u64 = 64 * 1024;
/// A read that may find a head, and the start of a body.
const HEAD_READ: usize = 64 * 1024;
/// What one turn of the loop may write to one connection.
const TURN: usize = 1024 * 1024;

/// Why a request did not count.
#[derive(Debug)]
pub enum Fault {
    Status(String),
    Length {
        announced: Option<u64>,
        expected: u64,
    },
    Malformed(&'static str),
    Surplus,
    /// HTTP/2's, with its code.
    Reset(u32),
    Closed,
    Stalled,
    Io(io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(line) => write!(f, "answered {line:?}"),
            Self::Length { announced: Some(length), expected } => {
                write!(f, "announced {length} bytes instead of {expected}")
            }
            Self::Length { announced: None, .. } => f.write_str("announced no length"),
            Self::Malformed(what) => write!(f, "malformed {what}"),
            Self::Surplus => f.write_str("sent more than it announced"),
            Self::Reset(code) => write!(f, "reset the stream with code {code}"),
            Self::Closed => f.write_str("closed before the end of the response"),
            Self::Stalled => f.write_str("did not finish in time"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The parts of a request's or a response's head that matter here.
#[derive(Debug, PartialEq)]
pub struct Head<'b> {
    pub start_line: &'b [u8],
    pub size: usize,
    pub content_length: Option<u64>,
    pub close: bool,
}

impl<'b> Head<'b> {
    /// `None` while the head is not complete.
    pub fn parse(bytes: &'b [u8]) -> Result<Option<Self>, Fault> {
        let Some((start_line, mut at)) = line(bytes, 0) else { return Ok(None) };
        let mut head = Self { start_line, size: 0, content_length: None, close: false };
        while let Some((field, next)) = line(bytes, at) {
            at = next;
            if field.is_empty() {
                head.size = at;
                return Ok(Some(head));
            }
            head.note(field)?;
        }
        Ok(None)
    }

    fn note(&mut self, field: &[u8]) -> Result<(), Fault> {
        let colon = memchr(b':', field).ok_or(Fault::Malformed("field"))?;
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length = Some(number(value).ok_or(Fault::Malformed("length"))?);
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.close = value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(Fault::Malformed("length: the body is chunked"));
        }
        Ok(())
    }
}

fn line(bytes: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let end = from + memchr(b'\n', &bytes[from..])?;
    let text = &bytes[from..end];
    Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1))
}

pub fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Large buffers every connection of the process shares.
pub struct Buffers {
    pub scratch: Vec<u8>,
    payload: Vec<u8>,
}

impl Buffers {
    pub fn new() -> Self {
        Self { scratch: vec![0; 1024 * 1024], payload: vec![b'x'; 256 * 1024] }
    }

    /// For a reader that takes no more than a sip at a time.
    pub fn sipping(sip: usize) -> Self {
        Self { scratch: vec![0; sip], payload: Vec::new() }
    }
}

/// Reads one message after the other: its head, then its body, which is counted and dropped.
#[derive(Default)]
pub struct Inbox {
    partial_head: Vec<u8>,
    body_left: u64,
}

impl Inbox {
    /// Makes one read; true when a message has ended with it.
    pub fn read(
        &mut self,
        wire: &mut impl Wire,
        buffers: &mut Buffers,
        on_head: impl FnOnce(&Head) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        if self.body_left > 0 {
            return self.read_body(wire, buffers);
        }
        let most = buffers.scratch.len().min(HEAD_READ);
        let Some(count) = wire.receive(&mut buffers.scratch[..most])? else {
            return Ok(false);
        };
        if count == 0 {
            return Err(Fault::Closed);
        }
        let received = &buffers.scratch[..count];
        if self.partial_head.is_empty() {
            return match Head::parse(received)? {
                Some(head) => self.begin(&head, count, on_head),
                None => {
                    self.partial_head.extend_from_slice(received);
                    Ok(false)
                }
            };
        }
        self.partial_head.extend_from_slice(received);
        let gathered = std::mem::take(&mut self.partial_head);
        match Head::parse(&gathered)? {
            Some(head) => self.begin(&head, gathered.len(), on_head),
            None => {
                self.partial_head = gathered;
                Ok(false)
            }
        }
    }

    fn begin(
        &mut self,
        head: &Head,
        received: usize,
        on_head: impl FnOnce(&Head) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        on_head(head)?;
        let of_body = (received - head.size) as u64;
        let length = head.content_length.unwrap_or(0);
        self.body_left = length.checked_sub(of_body).ok_or(Fault::Surplus)?;
        Ok(self.body_left == 0)
    }

    fn read_body(&mut self, wire: &mut impl Wire, buffers: &mut Buffers) -> Result<bool, Fault> {
        let most = self.body_left.min(buffers.scratch.len() as u64) as usize;
        let Some(count) = wire.discard(&mut buffers.scratch[..most])? else {
            return Ok(false);
        };
        if count == 0 {
            return Err(Fault::Closed);
        }
        self.body_left -= count as u64;
        Ok(self.body_left == 0)
    }
}

/// A message to be sent: its head with the start of the body, and how much of the body follows.
#[derive(Clone)]
pub struct Message {
    first: Rc<[u8]>,
    rest: u64,
}

impl Message {
    pub fn new(head: &str, body: u64) -> Self {
        let with_head = body.min(FIRST_WRITE);
        let mut first = head.as_bytes().to_vec();
        first.resize(first.len() + with_head as usize, b'x');
        Self { first: first.into(), rest: body - with_head }
    }
}

/// A message on its way out.
pub struct Outbox {
    message: Message,
    sent: usize,
}

impl Outbox {
    pub fn new(message: Message) -> Self {
        Self { message, sent: 0 }
    }

    /// True when all of it is written; false when no more is taken now, or the turn is over.
    pub fn write(&mut self, wire: &mut impl Wire, buffers: &Buffers) -> io::Result<bool> {
        let mut turn = 0;
        while turn < TURN {
            let head_left = &self.message.first[self.sent..];
            let next = if head_left.is_empty() {
                let most = self.message.rest.min(buffers.payload.len() as u64) as usize;
                &buffers.payload[..most]
            } else {
                head_left
            };
            if next.is_empty() {
                return Ok(true);
            }
            let Some(count) = wire.send(next)? else { return Ok(false) };
            if head_left.is_empty() {
                self.message.rest -= count as u64;
            } else {
                self.sent += count;
            }
            if self.sent == self.message.first.len() && self.message.rest == 0 {
                return Ok(true);
            }
            turn += count;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_whatever_the_case_of_its_names() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-LENGTH:  12 \r\nConnection: Close\r\n\r\nhello";

        let head = Head::parse(bytes).unwrap().unwrap();

        assert_eq!(head.start_line, b"HTTP/1.1 200 OK");
        assert_eq!(head.size, bytes.len() - 5);
        assert_eq!(head.content_length, Some(12));
        assert!(head.close);
    }

    #[test]
    fn half_a_head_waits_for_the_rest() {
        for bytes in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nServer: x\r\n"] {
            assert_eq!(Head::parse(bytes.as_bytes()).unwrap(), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_body_without_a_plain_length_is_refused() {
        for field in ["Transfer-Encoding: chunked", "Content-Length: -1", "no colon"] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
            assert!(Head::parse(bytes.as_bytes()).is_err(), "{field}");
        }
    }

    #[test]
    fn more_than_announced_is_a_fault() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc";
        let head = Head::parse(bytes).unwrap().unwrap();

        let outcome = Inbox::default().begin(&head, bytes.len(), |_| Ok(()));

        assert!(matches!(outcome, Err(Fault::Surplus)));
    }
}
