//! The authority of a request (RFC 9110, 7.2; RFC 3986, 3.2.2), as strict as a name server would be.

use std::net::Ipv6Addr;

use crate::{
    exchange::Authority,
    http::{Error, scratch, search},
};

/// A host that is valid, and where its port begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'h> {
    text: &'h str,
    host_len: usize,
}

const MALFORMED: Error = Error::Malformed { what: "malformed Host" };

impl<'h> Host<'h> {
    /// `name[:port]`, `1.2.3.4[:port]` or `[ipv6][:port]`; no user, no empty name.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(bytes: &'h [u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| MALFORMED)?;
        let host_len = if bytes.first() == Some(&b'[') { literal(text)? } else { name(bytes)? };
        match &bytes[host_len..] {
            [] => {}
            [b':', port @ ..] if is_port(port) => {}
            _ => return Err(MALFORMED),
        }
        Ok(Self { text, host_len })
    }

    /// In lower case; an empty port goes (RFC 3986, 6.2.3).
    pub fn into_authority(self) -> Authority {
        let mut text = scratch::text();
        text.push_str(self.text.strip_suffix(':').unwrap_or(self.text));
        text.make_ascii_lowercase();
        Authority::new(text, self.host_len)
    }
}

fn literal(text: &str) -> Result<usize, Error> {
    let end = text.find(']').ok_or(MALFORMED)?;
    text[1..end].parse::<Ipv6Addr>().map_err(|_| MALFORMED)?;
    Ok(end + 1)
}

/// Letters, digits, `-`, `_` and dots between labels: what names are made of, and no more. A percent sign or any
/// other character of RFC 3986's `reg-name` is how two readers come to see two hosts.
fn name(text: &[u8]) -> Result<usize, Error> {
    let end = search::position(b':', text).unwrap_or(text.len());
    // No label is empty but the last: as if a dot stood before the name.
    let mut before = b'.';
    for &byte in &text[..end] {
        if !IN_NAMES[usize::from(byte)] || (byte == b'.' && before == b'.') {
            return Err(MALFORMED);
        }
        before = byte;
    }
    if (1..=255).contains(&end) { Ok(end) } else { Err(MALFORMED) }
}

const IN_NAMES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        allowed[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'~' | b'.');
        byte += 1;
    }
    allowed
};

/// Nothing, or a number of 16 bits.
fn is_port(digits: &[u8]) -> bool {
    digits.len() <= 5
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_none() {
        for (text, host, authority) in [
            ("Example.COM", "example.com", "example.com"),
            ("example.com:8080", "example.com", "example.com:8080"),
            ("example.com:", "example.com", "example.com"),
            ("example.com.", "example.com.", "example.com."),
            ("127.0.0.1:1", "127.0.0.1", "127.0.0.1:1"),
            ("[::1]", "[::1]", "[::1]"),
            ("[2001:DB8::1]:443", "[2001:db8::1]", "[2001:db8::1]:443"),
            ("my_service", "my_service", "my_service"),
        ] {
            let parsed = Host::parse(text.as_bytes()).expect(text).into_authority();
            assert_eq!((parsed.host(), parsed.as_str()), (host, authority), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "a,b",
            "a:80:90",
            "a:x",
            "a:99999",
            "a:123456",
            "[::1",
            "[::1]x",
            "[x]",
            "a\tb",
            "a%20b",
            "a..b",
            ".a",
            "ä",
            "a..",
            "..",
            ".",
            "a:65536",
            "a?b",
            "a#b",
            "[::1%25lo]",
            "*",
        ] {
            assert!(Host::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
