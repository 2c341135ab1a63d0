//! A client that speaks HTTP/2: several requests at once over its connection.

use std::rc::Rc;

use super::fields::{ACCEPT, AUTHORITY, Blocks, CONTENT_TYPE, GET, HTTP, HTTPS, Name, POST, USER_AGENT, check_status};
use super::frames::{
    DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, Frame, Framed, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM,
};
use super::grpc;
use crate::client::{Client, wait_to_write};
use crate::http::{Buffers, Fault};
use crate::socket::{EventFlags, Poller, Ready};
use crate::tls;
use crate::wire::{Line, Target};

/// What every client of a case asks for.
pub struct Ask {
    blocks: Blocks,
    content: Vec<u8>,
    download: u64,
    /// Whether the response must end with trailers.
    trailers: bool,
}

pub struct H2Client {
    ask: Rc<Ask>,
    target: Target,
    connection: Option<Connection>,
}

struct Connection {
    framed: Framed<Line>,
    streams: Vec<Stream>,
    next_stream: u32,
    waits_to_write: bool,
}

/// A request whose response has not ended.
struct Stream {
    id: u32,
    answered: bool,
    received: u64,
    trailers: bool,
}

impl Ask {
    pub fn get(download: u64, secure: bool) -> Self {
        let kept = [(AUTHORITY, tls::NAME), (USER_AGENT, "load"), (ACCEPT, "*/*")];
        let blocks = Blocks::of(&[GET, scheme(secure)], &format!("/bytes/{download}"), &kept);
        Self { blocks, content: Vec::new(), download, trailers: false }
    }

    /// A unary call with a message of so many bytes, which the endpoint is to send back.
    pub fn grpc(length: u64, secure: bool) -> Self {
        let kept = [
            (AUTHORITY, tls::NAME),
            (USER_AGENT, "load"),
            (CONTENT_TYPE, grpc::CONTENT_TYPE),
            (Name::Spelled("te"), "trailers"),
        ];
        let content = grpc::message(length as usize);
        let download = content.len() as u64;
        Self { blocks: Blocks::of(&[POST, scheme(secure)], grpc::PATH, &kept), content, download, trailers: true }
    }

    fn check(&self, stream: &Stream) -> Result<(), Fault> {
        match stream.received == self.download {
            true if stream.answered && stream.trailers == self.trailers => Ok(()),
            true => Err(Fault::Malformed("end of a response")),
            false => Err(Fault::Length { announced: Some(stream.received), expected: self.download }),
        }
    }
}

fn scheme(secure: bool) -> u8 {
    if secure { HTTPS } else { HTTP }
}

impl H2Client {
    pub fn new(ask: Rc<Ask>, target: Target) -> Self {
        Self { ask, target, connection: None }
    }
}

impl Client for H2Client {
    fn begin(&mut self, token: u64, poller: &Poller) -> Result<(), Fault> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connection = Connection::over(self.target.connect()?);
                poller.watch(&connection.framed, token, EventFlags::IN)?;
                self.connection.insert(connection)
            }
        };
        connection.ask(&self.ask)
    }

    fn send(&mut self, token: u64, poller: &Poller, _: &Buffers) -> Result<(), Fault> {
        match &mut self.connection {
            Some(connection) => connection.write(token, poller),
            None => Ok(()),
        }
    }

    fn on_ready(&mut self, ready: Ready, poller: &Poller, buffers: &mut Buffers) -> Result<usize, Fault> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let was_idle = connection.streams.is_empty();
        match connection.read(&self.ask, buffers) {
            Ok(ended) => {
                connection.write(ready.token, poller)?;
                Ok(ended)
            }
            // Between requests a proxy may close.
            Err(_) if was_idle => {
                self.connection = None;
                Ok(0)
            }
            Err(fault) => Err(fault),
        }
    }

    fn disconnect(&mut self) -> usize {
        self.connection.take().map_or(0, |connection| connection.streams.len())
    }

    fn is_connected(&self) -> bool {
        self.connection.is_some()
    }
}

impl Connection {
    fn over(line: Line) -> Self {
        let settings = [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, 1 << 20)];
        let framed = Framed::of_client(line, &settings);
        Self { framed, streams: Vec::new(), next_stream: 1, waits_to_write: false }
    }

    fn ask(&mut self, ask: &Ask) -> Result<(), Fault> {
        let id = self.next_stream;
        self.next_stream += 2;
        let block = if id == 1 { &ask.blocks.first } else { &ask.blocks.later };
        if ask.content.is_empty() {
            self.framed.put(HEADERS, END_HEADERS | END_STREAM, id, block);
        } else {
            if !self.framed.has_room_for(ask.content.len()) {
                return Err(Fault::Malformed("window: no room for a small message"));
            }
            self.framed.put(HEADERS, END_HEADERS, id, block);
            self.framed.put(DATA, END_STREAM, id, &ask.content);
        }
        self.streams.push(Stream { id, answered: false, received: 0, trailers: false });
        Ok(())
    }

    /// How many responses have ended.
    fn read(&mut self, ask: &Ask, buffers: &mut Buffers) -> Result<usize, Fault> {
        let (framed, streams) = (&mut self.framed, &mut self.streams);
        let before = streams.len();
        framed.read(buffers, |frame| {
            if frame.kind == GOAWAY {
                return Err(Fault::Closed);
            }
            match streams.iter().position(|stream| stream.id == frame.stream) {
                Some(index) => note(streams, index, frame, ask),
                // The rest of what has ended.
                None => Ok(()),
            }
        })?;
        Ok(before - streams.len())
    }

    fn write(&mut self, token: u64, poller: &Poller) -> Result<(), Fault> {
        let done = self.framed.flush()?;
        wait_to_write(!done, &mut self.waits_to_write, &self.framed, token, poller)
    }
}

fn note(streams: &mut Vec<Stream>, index: usize, frame: &Frame, ask: &Ask) -> Result<(), Fault> {
    let stream = &mut streams[index];
    match frame.kind {
        HEADERS if stream.answered => stream.trailers = true,
        HEADERS => {
            check_status(frame.payload)?;
            stream.answered = true;
        }
        DATA => stream.received += frame.payload.len() as u64,
        RST_STREAM => return Err(Fault::Reset(frame.number())),
        _ => {}
    }
    if matches!(frame.kind, HEADERS | DATA) && frame.has(END_STREAM) {
        ask.check(stream)?;
        streams.swap_remove(index);
    }
    Ok(())
}
