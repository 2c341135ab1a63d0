//! What must not be written down.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    http::{HeaderName, NameSieve, search},
    settings::{
        Problem,
        telemetry::{RedactIp, RedactSettings},
    },
};

/// Stands for what was there.
pub(super) const HIDDEN: &str = "***";
/// Fields in which proxies write down the address of a client.
const ADDRESSES: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"];

/// The settings, ready to be asked.
#[derive(Debug)]
pub(super) struct Redaction {
    query: Vec<String>,
    headers: Vec<HeaderName>,
    /// Of these headers.
    sieve: NameSieve,
    ip: RedactIp,
}

impl Redaction {
    pub(super) fn new(settings: &RedactSettings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut headers = Vec::new();
        for (index, name) in settings.headers.iter().enumerate() {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => headers.push(name),
                Err(_) => {
                    let key = ["log", "access", "redact", "headers", &index.to_string()].map(String::from);
                    let what = format!("`{}` is not the name of a header field", name.escape_debug());
                    problems.push(Problem::at(key, what).help("a name such as \"cookie\""));
                }
            }
        }
        if problems.is_empty() {
            let sieve = NameSieve::of(&headers);
            Ok(Self { query: settings.query.clone(), headers, sieve, ip: settings.ip })
        } else {
            Err(problems)
        }
    }

    /// The field's value must not be shown.
    pub(super) fn hides(&self, name: &HeaderName) -> bool {
        let tells_address = self.ip != RedactIp::Keep && ADDRESSES.contains(&name.as_str());
        tells_address || self.sieve.may_have(name) && self.headers.contains(name)
    }

    /// As much of an address as may be shown.
    pub(super) fn address(&self, address: IpAddr) -> Option<IpAddr> {
        match self.ip {
            RedactIp::Keep => Some(address),
            RedactIp::Truncate => Some(truncated(address.to_canonical())),
            RedactIp::Off => None,
        }
    }

    /// Hands out a target or URL in pieces; values of listed parameters are replaced.
    pub(super) fn url(&self, url: &[u8], mut piece: impl FnMut(&[u8])) {
        let Some(query) = search::position(b'?', url).map(|at| at + 1) else {
            return piece(url);
        };
        piece(&url[..query]);
        for (index, pair) in url[query..].split(|byte| *byte == b'&').enumerate() {
            if index > 0 {
                piece(b"&");
            }
            match self.hidden_from(pair) {
                Some(value) => {
                    piece(&pair[..value]);
                    piece(HIDDEN.as_bytes());
                }
                None => piece(pair),
            }
        }
    }

    /// Where in `name=value` a value begins that must not be shown. Some servers take `;` for `&`: a listed name after it
    /// counts too, and all up to the next `&` is its value, as the others have it.
    fn hidden_from(&self, pair: &[u8]) -> Option<usize> {
        let mut start = 0;
        for part in pair.split(|byte| *byte == b';') {
            if let Some(equals) = part.iter().position(|byte| *byte == b'=')
                && self.query.iter().any(|name| names(&part[..equals], name))
            {
                return Some(start + equals + 1);
            }
            start += part.len() + 1;
        }
        None
    }
}

/// Whether a parameter's name, percent-encoded as it came, is this one in any case.
fn names(encoded: &[u8], name: &str) -> bool {
    decoded(encoded).map(|byte| byte.to_ascii_lowercase()).eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

fn decoded(mut bytes: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (&first, rest) = bytes.split_first()?;
        let hex = |at: usize| rest.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (byte, length) = match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            (b'+', ..) => (b' ', 1),
            _ => (first, 1),
        };
        bytes = &bytes[length..];
        Some(byte)
    })
}

fn truncated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8))),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction(ip: RedactIp) -> Redaction {
        Redaction::new(&RedactSettings { ip, ..RedactSettings::default() }).expect("valid settings")
    }

    #[test]
    fn listed_parameters_lose_their_values_however_their_names_are_written() {
        for (url, shown) in [
            ("/a/token=1", "/a/token=1"),
            ("/?a=1&token=x&b=2", "/?a=1&token=***&b=2"),
            ("/?TOKEN=x", "/?TOKEN=***"),
            ("/?%74oke%6E=x", "/?%74oke%6E=***"),
            ("/?token=x&token=y", "/?token=***&token=***"),
            ("/?token=a=b", "/?token=***"),
            ("/?token=", "/?token=***"),
            ("/?token", "/?token"),
            ("/?tokens=x&to%6=y&%", "/?tokens=x&to%6=y&%"),
            ("/?a=1;token=x;y&b", "/?a=1;token=***&b"),
            ("https://h/?code=x#top", "https://h/?code=***"),
            ("/?", "/?"),
            ("*", "*"),
        ] {
            let mut told = Vec::new();

            redaction(RedactIp::Keep).url(url.as_bytes(), |piece| told.extend_from_slice(piece));

            assert_eq!(String::from_utf8(told).as_deref(), Ok(shown), "{url}");
        }
    }

    #[test]
    fn addresses_are_shown_as_far_as_they_may() {
        for (address, short) in
            [("192.0.2.77", "192.0.2.0"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"), ("::ffff:192.0.2.77", "192.0.2.0")]
        {
            let address: IpAddr = address.parse().expect("an address");

            assert_eq!(redaction(RedactIp::Keep).address(address), Some(address));
            assert_eq!(redaction(RedactIp::Truncate).address(address), short.parse().ok());
            assert_eq!(redaction(RedactIp::Off).address(address), None);
        }
    }

    #[test]
    fn a_field_that_tells_an_address_is_hidden_where_addresses_are() {
        let name = HeaderName::from_static("x-forwarded-for");

        assert!(!redaction(RedactIp::Keep).hides(&name));
        assert!(redaction(RedactIp::Truncate).hides(&name));
        assert!(redaction(RedactIp::Off).hides(&name));
    }

    #[test]
    fn a_name_that_no_field_can_have_is_a_problem() {
        let settings = RedactSettings { headers: vec!["cookie".into(), "set cookie".into()], ..Default::default() };

        let problems = Redaction::new(&settings).expect_err("a bad name");

        assert_eq!(problems[0].key, ["log", "access", "redact", "headers", "1"]);
    }
}
