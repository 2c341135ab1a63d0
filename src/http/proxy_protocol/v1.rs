//! Version 1: `PROXY TCP4 192.0.2.1 198.51.100.2 4711 443` and the end of the line.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use super::{Ends, Header, Malformed};

pub const BEGIN: &[u8] = b"PROXY ";
/// With the end of the line.
const LONGEST: usize = 107;
const UNKNOWN: &[u8] = b"PROXY UNKNOWN";

pub fn read(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let is_of_no_line = |byte: &u8| !matches!(byte, b' '..=b'~');
    let first = &bytes[..bytes.len().min(LONGEST)];
    let Some(end) = first.iter().position(is_of_no_line) else {
        return if first.len() < LONGEST { Ok(None) } else { Err(Malformed("a PROXY header that is too long")) };
    };
    match (first[end], first.get(end + 1)) {
        (b'\r', Some(b'\n')) => {
            let ends = line(&first[..end])?;
            Ok(Some(Header { ends, length: end + 2 }))
        }
        (b'\r', None) if first.len() < LONGEST => Ok(None),
        _ => Err(Malformed("a PROXY header with a byte that belongs to no line")),
    }
}

fn line(line: &[u8]) -> Result<Option<Ends>, Malformed> {
    if let Some(rest) = line.strip_prefix(UNKNOWN) {
        // Whatever it says behind this is to be ignored.
        let is_whole = rest.first().is_none_or(|byte| *byte == b' ');
        return if is_whole { Ok(None) } else { Err(FAMILY) };
    }
    let line = str::from_utf8(&line[BEGIN.len()..]).map_err(|_| FAMILY)?;
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (family, client, server, client_port, server_port) = (word(), word(), word(), word(), word());
    if words.next().is_some() {
        return Err(Malformed("a PROXY header with more than two addresses"));
    }
    let (client, server) = match family {
        "TCP4" => (ip::<Ipv4Addr>(client)?, ip::<Ipv4Addr>(server)?),
        "TCP6" => (ip::<Ipv6Addr>(client)?, ip::<Ipv6Addr>(server)?),
        _ => return Err(FAMILY),
    };
    let (client, server) = (SocketAddr::new(client, port(client_port)?), SocketAddr::new(server, port(server_port)?));
    Ok(Some(Ends::new(client, Some(server))))
}

const FAMILY: Malformed = Malformed("a PROXY header of no family that is known");

fn ip<I: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, Malformed> {
    text.parse().map(I::into).map_err(|_| Malformed("a PROXY header with an address that is none of its family"))
}

/// Without signs and leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let is_plain = text == "0" || text.starts_with(|digit: char| ('1'..='9').contains(&digit));
    let port = if is_plain { text.parse().ok() } else { None };
    port.ok_or(Malformed("a PROXY header with a port that is none"))
}

pub fn write(ends: Option<&Ends>, out: &mut Vec<u8>) {
    let Some(Ends { client, server }) = ends else {
        out.extend_from_slice(UNKNOWN);
        out.extend_from_slice(b"\r\n");
        return;
    };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    write!(out, "PROXY {family} {} {} {} {}\r\n", client.ip(), server.ip(), client.port(), server.port())
        .expect("memory can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Result<Option<(String, String)>, &'static str> {
        let told = |ends: Ends| (ends.client().to_string(), ends.server().to_string());
        match read(text.as_bytes()) {
            Ok(Some(header)) => Ok(header.ends.map(told)),
            Ok(None) => Err("not whole"),
            Err(error) => Err(error.0),
        }
    }

    #[test]
    fn a_line_names_both_ends() {
        for (text, client, server) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\nGET", "192.0.2.1:4711", "198.51.100.2:443"),
            ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0", "255.255.255.255:65535"),
            ("PROXY TCP6 2001:db8::1 ::1 4711 443\r\n", "[2001:db8::1]:4711", "[::1]:443"),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2\r\n", "192.0.2.1:1", "198.51.100.2:2"),
        ] {
            assert_eq!(ends(text), Ok(Some((client.into(), server.into()))), "{text:?}");
        }
        let longest = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
        assert!(longest.len() <= LONGEST && ends(&longest).is_ok());
    }

    #[test]
    fn who_is_unknown_is_nobody() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LONGEST - 16));
        for text in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 65535 whatever\r\nPROXY", &longest] {
            assert_eq!(ends(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_written_exactly_so_is_refused() {
        for text in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 7\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 04711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.2 4711 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.2 4711 443\r\n",
            "PROXY TCP4 192.0.2 198.51.100.2 4711 443\r\n",
            "PROXY TCP4 2001:db8::1 ::1 4711 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 4711 443\r\n",
            "PROXY TCP6 [2001:db8::1] ::1 4711 443\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
            "PROXY TCP5 192.0.2.1 198.51.100.2 4711 443\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.2 4711 443\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY UNKNOWN \u{e9}\r\n",
            "PROXY \r\n",
            "PROXY TCP4\t192.0.2.1",
            "PROXY TCP4 192.0.2.1\0",
        ] {
            assert!(!matches!(ends(text), Ok(_) | Err("not whole")), "{text:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "f".repeat(LONGEST));
        assert_eq!(ends(&endless[..LONGEST - 1]), Err("not whole"));
        assert_eq!(ends(&endless[..LONGEST]), Err("a PROXY header that is too long"));
        assert_eq!(
            ends(&format!("{}\r\n", &endless[..LONGEST - 1])),
            Err("a PROXY header with a byte that belongs to no line")
        );
    }
}
