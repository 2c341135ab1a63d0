//! Shakes hands by rustls without its buffers: what comes in and what goes out is ours.

use std::{io, sync::Arc};

use rustls::{
    CommonState, Error, ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus},
};
use tokio::net::TcpStream;

use super::{Served, buffer::Buffer, key::HEADER, records::Records};

/// What is kept of what has come in: a message as large as rustls takes one. Records with little in them are not joined for longer.
const MOST_HEARD: usize = 64 * 1024;
/// Read at once.
const READ: usize = 4 * 1024;

/// A handshake, as far as it has come.
pub struct Handshake {
    connection: UnbufferedServerConnection,
    pub(super) heard: Vec<u8>,
    pub(super) to_say: Vec<u8>,
    /// So much of what was heard, in whole records, rustls was shown and has not done with.
    shown: usize,
}

/// What came of it that rustls was shown more.
enum Step {
    Again,
    Blocked,
    Over,
}

/// What is to come next, once all is said.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// More of the other side.
    More,
    /// Data, both ways.
    Data,
}

impl Handshake {
    /// With whoever has said so much already. Secrets may be taken out of what `config` agrees on.
    ///
    /// # Errors
    /// Something is wrong with `config`.
    pub fn begun(config: Arc<ServerConfig>, heard: Vec<u8>) -> Result<Box<Self>, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Box::new(Self { connection, heard, to_say: Vec::new(), shown: 0 }))
    }

    /// Goes on until there is data to come. `each` is called whenever rustls has had its turn.
    ///
    /// # Errors
    /// The other side has left, or does not do as it should; it was told so then, if it could be.
    pub async fn shake(&mut self, socket: &TcpStream, mut each: impl FnMut()) -> io::Result<()> {
        loop {
            let advanced = self.advance();
            each();
            match advanced {
                Ok(next) => {
                    self.say(socket).await?;
                    if next == Next::Data {
                        return Ok(());
                    }
                }
                Err(error) => {
                    let _ = socket.try_write(&self.to_say);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
            hear(socket, &mut self.heard).await?;
        }
    }

    async fn say(&mut self, socket: &TcpStream) -> io::Result<()> {
        let mut said = 0;
        while said < self.to_say.len() {
            socket.writable().await?;
            match socket.try_write(&self.to_say[said..]) {
                Ok(count) => said += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.to_say.clear();
        Ok(())
    }

    /// What was agreed on.
    pub fn agreed(&self) -> &CommonState {
        &self.connection
    }

    /// What goes on from here.
    ///
    /// # Errors
    /// It is not over yet, or no secrets may be taken out.
    pub fn into_stream(self: Box<Self>, socket: TcpStream, is_http2: bool) -> io::Result<Served> {
        let (records, incoming) = self.into_records().map_err(io::Error::other)?;
        Ok(Served::new(socket, records, incoming, is_http2))
    }

    /// The same, and what came along, which is yet to be opened.
    pub(super) fn into_records(self: Box<Self>) -> Result<(Records, Option<Buffer>), Error> {
        let Self { connection, heard, .. } = *self;
        Ok((Records::of(connection)?, (!heard.is_empty()).then(|| Buffer::exactly(heard))))
    }

    /// Takes in what has come. What is to be said is there afterwards, also where something is wrong.
    ///
    /// rustls is shown a record more each time, and nothing behind the last of the handshake: what it would say to that it would keep, and
    /// the keys would be others.
    pub(super) fn advance(&mut self) -> Result<Next, Error> {
        let mut seen = self.shown;
        loop {
            let Self { connection, heard, to_say, shown } = self;
            let UnbufferedStatus { discard, state } = connection.process_tls_records(&mut heard[..seen]);
            let step = match state {
                Ok(ConnectionState::EncodeTlsData(message)) => encode(message, to_say).map(|()| Step::Again),
                Ok(ConnectionState::TransmitTlsData(messages)) => {
                    // They go out before more is heard.
                    messages.done();
                    Ok(Step::Again)
                }
                Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
                Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Over),
                Ok(ConnectionState::PeerClosed) => {
                    Err(Error::General("an end before the handshake is over".to_owned()))
                }
                Ok(_) => Err(Error::General("data before the handshake is over".to_owned())),
                Err(error) => Err(error),
            };
            heard.drain(..discard);
            *shown = shown.saturating_sub(discard);
            seen = seen.saturating_sub(discard);
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Over) => return Ok(Next::Data),
                Ok(Step::Blocked) => match whole(&heard[*shown..]) {
                    Some(length) => {
                        *shown += length;
                        seen = *shown;
                    }
                    // What is not whole cannot be used, but fault can be found with it.
                    None if seen < heard.len() => seen = heard.len(),
                    None => return Ok(Next::More),
                },
                Err(error) => {
                    self.encode_alert();
                    return Err(error);
                }
            }
            if !self.connection.is_handshaking() {
                seen = 0;
            }
        }
    }

    /// What the other side is told of what is wrong.
    fn encode_alert(&mut self) {
        let Self { connection, heard, to_say, .. } = self;
        while connection.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(message)) = connection.process_tls_records(heard).state
            && encode(message, to_say).is_ok()
        {}
    }
}

/// Waits for more, and puts it behind what was heard.
///
/// # Errors
/// There is too much already, or nothing more comes.
pub async fn hear(socket: &TcpStream, heard: &mut Vec<u8>) -> io::Result<()> {
    if heard.len() >= MOST_HEARD {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake that does not end"));
    }
    loop {
        socket.readable().await?;
        // On the stack, and only while something comes: who is slow costs what he has sent.
        let mut piece = [0; READ];
        match socket.try_read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                heard.extend_from_slice(&piece[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// How long the first record is, if it is all there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    let length = HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
    (length <= bytes.len()).then_some(length)
}

fn encode(mut message: EncodeTlsData<'_, ServerConnectionData>, to_say: &mut Vec<u8>) -> Result<(), Error> {
    let Err(EncodeError::InsufficientSize(needed)) = message.encode(&mut []) else {
        return Err(Error::General("a message of nothing".to_owned()));
    };
    let begin = to_say.len();
    to_say.resize(begin + needed.required_size, 0);
    message.encode(&mut to_say[begin..]).map(drop).map_err(|error| Error::General(error.to_string()))
}
