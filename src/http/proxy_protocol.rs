//! The header with which a proxy of connections begins one, to say whose it is: HAProxy's PROXY protocol, versions 1 and 2.
//! Read strictly, for whoever writes it decides who a client is; written as it is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod v1;
mod v2;

/// Bytes of the longest header that is read; the longest there could be is sixteen times as long.
pub const LONGEST: usize = v2::FIXED + v2::LONGEST_REST;

/// How a header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Both ends of a client's connection to a proxy; both are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    client: SocketAddr,
    server: SocketAddr,
}

impl Ends {
    /// Between them; what is not known of the server's end is left unspecified.
    pub fn new(client: SocketAddr, server: Option<SocketAddr>) -> Self {
        let bare = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let client = bare(client);
        let unspecified = || {
            let ip = if client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            SocketAddr::new(ip, 0)
        };
        let server = server.map_or_else(unspecified, bare);
        if client.is_ipv4() == server.is_ipv4() {
            return Self { client, server };
        }
        Self { client: as_v6(client), server: as_v6(server) }
    }

    /// Where it comes from.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// Where it was accepted.
    pub fn server(&self) -> SocketAddr {
        self.server
    }
}

/// An address of IPv4 where one of IPv6 is needed (RFC 4291, 2.5.5.2).
fn as_v6(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddr::new(ip.into(), address.port())
}

/// A whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose connection it is. `None`: one of the sender's own, such as a check of health, or one that has no addresses.
    pub ends: Option<Ends>,
    /// How many bytes it was; what comes behind them is the client's.
    pub length: usize,
}

/// What is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

impl Malformed {
    /// Which rule it breaks.
    pub fn as_str(&self) -> &'static str {
        self.0
    }
}

/// The header that `bytes` begin with; `None` while all of them belong to one that has not ended.
///
/// # Errors
/// They are, or become, no header.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, expected)| byte == expected);
    if begins(v1::BEGIN) {
        v1::read(bytes)
    } else if begins(v2::SIGNATURE) {
        v2::read(bytes)
    } else {
        Err(Malformed("no PROXY header"))
    }
}

/// Somebody seems to begin with a header where none is expected. A reader of HTTP has stepped over the first line end of
/// version 2 by then.
pub fn seems_begun(bytes: &[u8]) -> bool {
    bytes.starts_with(v1::BEGIN) || bytes.starts_with(v2::SIGNATURE) || bytes.starts_with(&v2::SIGNATURE[2..])
}

/// Writes a header: of a client's connection, or of one of our own.
pub fn write(version: Version, ends: Option<&Ends>, out: &mut Vec<u8>) {
    match version {
        Version::V1 => v1::write(ends, out),
        Version::V2 => v2::write(ends, out),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_ends_of_a_connection_are_of_one_family() {
        let four = Ends::new(address("192.0.2.1:5"), Some(address("[::ffff:198.51.100.2]:80")));
        let mixed = Ends::new(address("192.0.2.1:5"), Some(address("[2001:db8::2]:80")));
        let alone = Ends::new(address("[2001:db8::1]:5"), None);

        assert_eq!((four.client(), four.server()), (address("192.0.2.1:5"), address("198.51.100.2:80")));
        assert_eq!((mixed.client(), mixed.server()), (address("[::ffff:192.0.2.1]:5"), address("[2001:db8::2]:80")));
        assert_eq!(alone.server(), address("[::]:0"));
    }

    #[test]
    fn what_begins_otherwise_is_known_by_its_first_byte() {
        for bytes in ["GET / HTTP/1.1\r\n", "\u{16}\u{3}\u{1}", "POST", "PROXI", "PROXY\t", "\r\n\r\nGET"] {
            assert_eq!(read(bytes.as_bytes()), Err(Malformed("no PROXY header")), "{bytes:?}");
        }
        assert_eq!(read(b""), Ok(None));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            client: SocketAddr,
            server: Option<SocketAddr>,
            is_own: bool,
            is_v2: bool,
            behind in ".{0,20}",
        ) {
            let ends = (!is_own).then(|| Ends::new(client, server));
            let mut bytes = Vec::new();
            write(if is_v2 { Version::V2 } else { Version::V1 }, ends.as_ref(), &mut bytes);
            let length = bytes.len();
            for cut in 0..length {
                prop_assert_eq!(read(&bytes[..cut]), Ok(None));
            }
            bytes.extend_from_slice(behind.as_bytes());

            let header = read(&bytes).expect("a header").expect("a whole one");

            prop_assert_eq!(header, Header { ends, length });
        }
    }
}
