//! A client that speaks HTTP/2: several requests at once over its connection.

use std::rc::Rc;

use super::fields::{ACCEPT, AUTHORITY, Blocks, GET, HTTPS, USER_AGENT, check_status};
use super::frames::{
    DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, Frame, Framed, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PREFACE,
    RST_STREAM,
};
use crate::certificate;
use crate::client::{Client, wait_to_write};
use crate::http::{Buffers, Fault};
use crate::socket::{EventFlags, Poller, Ready};
use crate::wire::{Line, Target};

/// What every client of a case asks for.
pub struct Ask {
    blocks: Blocks,
    download: u64,
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
}

impl Ask {
    pub fn get(download: u64) -> Self {
        let kept = [(AUTHORITY, certificate::NAME), (USER_AGENT, "load"), (ACCEPT, "*/*")];
        Self { blocks: Blocks::of(&[GET, HTTPS], &format!("/bytes/{download}"), &kept), download }
    }

    fn check(&self, stream: &Stream) -> Result<(), Fault> {
        match stream.answered && stream.received == self.download {
            true => Ok(()),
            false => Err(Fault::Length { announced: Some(stream.received), expected: self.download }),
        }
    }
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
        connection.ask(&self.ask);
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
        let framed = Framed::begin(line, PREFACE, &settings);
        Self { framed, streams: Vec::new(), next_stream: 1, waits_to_write: false }
    }

    fn ask(&mut self, ask: &Ask) {
        let id = self.next_stream;
        self.next_stream += 2;
        let block = if id == 1 { &ask.blocks.first } else { &ask.blocks.later };
        self.framed.put(HEADERS, END_HEADERS | END_STREAM, id, block);
        self.streams.push(Stream { id, answered: false, received: 0 });
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
