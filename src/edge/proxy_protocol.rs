//! Whose connection it is, where others connect for clients (docs/adr/0011-proxy-protocol.md).

use std::{io, net::SocketAddr, time::Duration};

use ipnet::IpNet;
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    http::{
        Error,
        downstream::Peer,
        proxy_protocol::{self, Ends, LONGEST},
    },
    settings::listener::{ProxyProtocolSettings, Sender},
    transport::dial::Stream as Socket,
};

/// Those who connect for clients, and say first for whom.
#[derive(Debug)]
pub struct Senders {
    networks: Vec<IpNet>,
    unix: bool,
    timeout: Option<Duration>,
}

/// A header's usual size, and much more than any of version 1.
const ROOM: usize = 256;

impl Senders {
    /// Those of the settings.
    pub fn of(settings: &ProxyProtocolSettings) -> Self {
        let networks = settings.from.iter().filter_map(|sender| match sender {
            Sender::Network(network) => Some(*network),
            Sender::Unix => None,
        });
        let unix = settings.from.contains(&Sender::Unix);
        Self { networks: networks.collect(), unix, timeout: settings.timeout.0 }
    }

    /// Whoever connects from there begins with a header.
    pub fn include(&self, peer: Peer) -> bool {
        match peer {
            Peer::Tcp(address) => {
                let address = address.ip().to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
            Peer::Unix => self.unix,
        }
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
pub fn accepted_at(announced: Option<&Ends>, socket: Option<&Socket>) -> Option<SocketAddr> {
    match announced {
        Some(ends) => Some(ends.server()),
        None => socket?.tcp()?.local_addr().ok(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_send_is_told_by_where_he_connects_from() {
        let network = |text: &str| Sender::Network(text.parse().expect("a network"));
        let from = vec![network("192.0.2.0/24"), network("2001:db8::/32")];
        let networks = Senders::of(&ProxyProtocolSettings { from, timeout: crate::settings::Time::OFF });
        let unix =
            Senders::of(&ProxyProtocolSettings { from: vec![Sender::Unix], timeout: crate::settings::Time::OFF });

        for (address, is_one) in [
            ("192.0.2.7:1", true),
            ("[::ffff:192.0.2.7]:1", true),
            ("[2001:db8::7]:1", true),
            ("198.51.100.7:1", false),
            ("[2001:db9::7]:1", false),
        ] {
            let peer = Peer::Tcp(address.parse().expect("an address"));
            assert_eq!((networks.include(peer), unix.include(peer)), (is_one, false), "{address}");
        }
        assert_eq!((networks.include(Peer::Unix), unix.include(Peer::Unix)), (false, true));
    }
}
