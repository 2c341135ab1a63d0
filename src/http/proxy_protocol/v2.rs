//! Version 2: a signature, what it is, how long it is, two addresses, and more that may be said.

use std::net::{IpAddr, SocketAddr};

use super::{Ends, Header, Malformed};

pub const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length.
pub const FIXED: usize = 16;
/// What may be said behind them. Nobody says more than a few hundred bytes, and the length could promise 64 KiB.
pub const LONGEST_REST: usize = 4096;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// What is said of a connection besides its ends, is told by a kind: this one is a checksum.
const CRC32C: u8 = 0x03;

/// `bytes` begin as the signature does.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some((&[.., command, family, high, low], rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(None);
    };
    if !matches!(command, LOCAL | PROXY) {
        return Err(Malformed("a PROXY header of no version or command that is known"));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_REST {
        return Err(Malformed("a PROXY header that is too long"));
    }
    let Some(rest) = rest.get(..length) else { return Ok(None) };
    let length = FIXED + length;
    let header = |ends| Ok(Some(Header { ends, length }));
    let (ends, more) = match (command, family) {
        (LOCAL, _) => return header(None),
        (_, TCP4) => ends::<4>(rest)?,
        (_, TCP6) => ends::<16>(rest)?,
        // Unix sockets, datagrams, or nothing: the connection is one of those, and tells no address of a client.
        (_, family) if family >> 4 <= 3 && family & 0xf <= 2 => return header(None),
        _ => return Err(Malformed("a PROXY header of no family that is known")),
    };
    check_more(more, &bytes[..length])?;
    header(Some(ends))
}

/// Two addresses of so many bytes, two ports, and what comes behind them.
fn ends<const SIZE: usize>(rest: &[u8]) -> Result<(Ends, &[u8]), Malformed>
where
    [u8; SIZE]: Into<IpAddr>,
{
    let mut rest = rest;
    let (client, server) = (take::<SIZE>(&mut rest)?, take::<SIZE>(&mut rest)?);
    let (client_port, server_port) = (take(&mut rest)?, take(&mut rest)?);
    let client = SocketAddr::new(client.into(), u16::from_be_bytes(client_port));
    let server = SocketAddr::new(server.into(), u16::from_be_bytes(server_port));
    Ok((Ends::new(client, Some(server)), rest))
}

fn take<const SIZE: usize>(rest: &mut &[u8]) -> Result<[u8; SIZE], Malformed> {
    let (taken, left) = rest.split_first_chunk().ok_or(Malformed("a PROXY header that is too short"))?;
    *rest = left;
    Ok(*taken)
}

/// What else is said must be whole, and the checksum right, if there is one.
fn check_more(mut more: &[u8], header: &[u8]) -> Result<(), Malformed> {
    while !more.is_empty() {
        let [kind, high, low] = take(&mut more)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, left) = more.split_at_checked(length).ok_or(Malformed("a PROXY header that is cut short"))?;
        let at = header.len() - more.len();
        more = left;
        if kind == CRC32C && !is_right(value, at, header) {
            return Err(Malformed("a PROXY header with a wrong checksum"));
        }
    }
    Ok(())
}

/// It was made while zeros stood in its place.
fn is_right(checksum: &[u8], at: usize, header: &[u8]) -> bool {
    let zeroed = header.iter().enumerate().map(|(place, byte)| {
        let is_checksum = (at..at + checksum.len()).contains(&place);
        if is_checksum { 0 } else { *byte }
    });
    checksum == crc32c(zeroed).to_be_bytes()
}

/// RFC 3720, 12.1. Bit by bit: headers are short, and a checksum in one is rare.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let carry = if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            crc = crc >> 1 ^ carry;
        }
    }
    !crc
}

pub fn write(ends: Option<&Ends>, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    let Some(Ends { client, server }) = ends else {
        out.extend_from_slice(&[LOCAL, UNSPECIFIED, 0, 0]);
        return;
    };
    match (client.ip(), server.ip()) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            out.extend_from_slice(&[PROXY, TCP4, 0, 12]);
            out.extend_from_slice(&client.octets());
            out.extend_from_slice(&server.octets());
        }
        (client, server) => {
            out.extend_from_slice(&[PROXY, TCP6, 0, 36]);
            for ip in [client, server] {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                out.extend_from_slice(&ip.octets());
            }
        }
    }
    out.extend_from_slice(&client.port().to_be_bytes());
    out.extend_from_slice(&server.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 1, 0xbb];

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("it fits").to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    fn told(bytes: &[u8]) -> Result<Option<String>, &'static str> {
        match read(bytes) {
            Ok(Some(header)) => Ok(header.ends.map(|ends| format!("{} {}", ends.client(), ends.server()))),
            Ok(None) => Err("not whole"),
            Err(error) => Err(error.0),
        }
    }

    #[test]
    fn a_header_names_both_ends_and_more_is_stepped_over() {
        let ends = Ok(Some("192.0.2.1:4711 198.51.100.2:443".into()));
        let more = [&ENDS[..], &[0xe0, 0, 2, b'a', b'b', 0x04, 0, 0]].concat();
        assert_eq!(told(&header(PROXY, TCP4, &ENDS)), ends);
        assert_eq!(told(&header(PROXY, TCP4, &more)), ends);
        assert_eq!(told(&header(PROXY, TCP6, &[0; 36])), Ok(Some("[::]:0 [::]:0".into())));
    }

    #[test]
    fn a_connection_without_a_client_is_nobodys() {
        for bytes in [
            header(LOCAL, UNSPECIFIED, &[]),
            // Of a connection of the sender's own nothing is believed, however it is written.
            header(LOCAL, TCP4, &ENDS),
            header(LOCAL, 0xff, &[1, 2, 3]),
            header(PROXY, UNSPECIFIED, &ENDS),
            header(PROXY, 0x31, &[0; 216]),
            header(PROXY, 0x12, &ENDS),
        ] {
            assert_eq!(told(&bytes), Ok(None), "{bytes:x?}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        let cut = [&ENDS[..], &[0xe0, 0, 3, b'a', b'b']].concat();
        let rest = [&ENDS[..], &[0xe0]].concat();
        for bytes in [
            header(0x11, TCP4, &ENDS),
            header(0x22, TCP4, &ENDS),
            header(PROXY, 0x41, &ENDS),
            header(PROXY, 0x13, &ENDS),
            header(PROXY, TCP4, &ENDS[..11]),
            header(PROXY, TCP6, &ENDS),
            header(PROXY, TCP4, &cut),
            header(PROXY, TCP4, &rest),
            header(PROXY, TCP4, &[0; LONGEST_REST + 1])[..FIXED].to_vec(),
        ] {
            assert!(!matches!(told(&bytes), Ok(_) | Err("not whole")), "{bytes:x?}");
        }
    }

    #[test]
    fn a_checksum_is_verified_where_there_is_one() {
        // RFC 3720, B.4.
        assert_eq!(crc32c([0; 32].into_iter()), 0x8a91_36aa);
        let with = |checksum: [u8; 4]| {
            let said = [&ENDS[..], &[0xe0, 0, 1, b'a', CRC32C, 0, 4], &checksum, &[0xe1, 0, 0]].concat();
            header(PROXY, TCP4, &said)
        };
        let right = crc32c(with([0; 4]).into_iter()).to_be_bytes();
        let short = [&ENDS[..], &[CRC32C, 0, 0]].concat();

        assert!(told(&with(right)).is_ok());
        assert_eq!(told(&with([0; 4])), Err("a PROXY header with a wrong checksum"));
        assert_eq!(told(&header(PROXY, TCP4, &short)), Err("a PROXY header with a wrong checksum"));
    }
}
