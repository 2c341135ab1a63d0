//! Where somebody connects from, for those who are believed more than others.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{text::text, values::NotAValue};
use crate::http::downstream::Peer;

/// Where somebody connects from: `"10.0.0.0/8"`, `"2001:db8::1"`, `"unix"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An address of this network; an address alone is a network of one.
    Network(IpNet),
    /// A unix socket: whoever can open its file.
    Unix,
}

const UNIX: &str = "unix";
const A_SOURCE: &str = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", an address, or \"unix\"";

impl Source {
    /// Somebody is from there.
    pub fn includes(&self, peer: Peer) -> bool {
        match (self, peer) {
            (Self::Network(network), Peer::Tcp(address)) => network.contains(&address.ip().to_canonical()),
            (Self::Unix, Peer::Unix) => true,
            (Self::Network(_), Peer::Unix) | (Self::Unix, Peer::Tcp(_)) => false,
        }
    }
}

impl FromStr for Source {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        if text == UNIX {
            return Ok(Self::Unix);
        }
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self::Network).map_err(|_| NotAValue(A_SOURCE))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Unix => f.write_str(UNIX),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, A_SOURCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_told_by_where_he_connects_from() {
        for (source, peer, is_from_there) in [
            ("192.0.2.0/24", "192.0.2.7:1", true),
            ("192.0.2.0/24", "[::ffff:192.0.2.7]:1", true),
            ("192.0.2.0/24", "198.51.100.7:1", false),
            ("192.0.2.7", "192.0.2.7:1", true),
            ("192.0.2.7", "192.0.2.8:1", false),
            ("2001:db8::/32", "[2001:db8::7]:1", true),
            ("2001:db8::/32", "[2001:db9::7]:1", false),
            ("0.0.0.0/0", "unix", false),
            ("unix", "unix", true),
            ("unix", "192.0.2.7:1", false),
        ] {
            let source: Source = source.parse().expect("a source");
            let peer = peer.parse().map_or(Peer::Unix, Peer::Tcp);
            assert_eq!(source.includes(peer), is_from_there, "{source} {peer}");
        }
    }
}
