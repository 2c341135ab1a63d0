//! Whose connection it is, where others connect for clients (docs/adr/0011-proxy-protocol.md).

use std::{io, net::SocketAddr, time::Duration};

use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    http::{
        Error,
        downstream::Peer,
        proxy_protocol::{self, Ends, LONGEST},
    },
    settings::{Source, listener::ProxyProtocolSettings},
    transport::dial::Stream as Socket,
};

/// Those who connect for clients, and say first for whom.
#[derive(Debug)]
pub struct Senders {
    from: Vec<Source>,
    timeout: Option<Duration>,
}

/// A header's usual size, and much more than any of version 1.
const ROOM: usize = 256;

impl Senders {
    /// Those of the settings.
    pub fn of(settings: &ProxyProtocolSettings) -> Self {
        Self { from: settings.from.clone(), timeout: settings.timeout.0 }
    }

    /// Whoever connects from there begins with a header.
    pub fn include(&self, peer: Peer) -> bool {
        self.from.iter().any(|source| source.includes(peer))
    }

    /// What a sender says before anything else; what comes behind it is left in the socket.
    ///
    /// # Errors
    /// It said nothing of the kind, or not in time.
    pub async fn hear(&self, socket: &mut Socket) -> Result<Option<Ends>, Error> {
        let heard = match self.timeout {
            Some(limit) => timeout(limit, hear(socket)).await,
            None => Ok(hear(socket).await),
        };
        heard.unwrap_or(Err(Error::ClientTimeout { what: "the PROXY header" }))
    }
}

/// The address that a client has connected to: what was said of it, or our own. Unix sockets have none.
pub fn accepted_at(announced: Option<&Ends>, own: impl FnOnce() -> Option<SocketAddr>) -> Option<SocketAddr> {
    announced.map(Ends::server).or_else(own)
}

async fn hear(socket: &mut Socket) -> Result<Option<Ends>, Error> {
    let (mut bytes, mut taken) = (vec![0; ROOM], 0);
    loop {
        if taken == bytes.len() {
            bytes.resize(LONGEST, 0);
        }
        let more = socket.peek(&mut bytes[taken..]).await.map_err(gone)?;
        if more == 0 {
            return Err(Error::ClientGone(None));
        }
        let seen = taken + more;
        let header = proxy_protocol::read(&bytes[..seen]);
        let header = header.map_err(|error| Error::Malformed { what: error.as_str() })?;
        // As long as it has not ended, all of it is the header's.
        let end = header.map_or(seen, |header| header.length);
        socket.read_exact(&mut bytes[taken..end]).await.map_err(gone)?;
        taken = end;
        if let Some(header) = header {
            return Ok(header.ends);
        }
    }
}

fn gone(error: io::Error) -> Error {
    Error::ClientGone(Some(error))
}
