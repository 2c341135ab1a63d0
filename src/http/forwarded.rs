//! Who the client is, and what endpoints are told of it: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
};

use super::{HeaderMap, HeaderName, HeaderValue, header, headers};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// More hops than this nobody has; the rest of such a list is not read.
const MAX_HOPS: usize = 64;
/// What of a list is continued; a longer one begins anew.
const MAX_LIST: usize = 4096;

/// It tells who asks, or would be taken for what does: of a client that is not trusted nothing goes on under this name.
/// Some endpoints take `_` for `-`: so do we.
pub fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    match name {
        [b'x', b'-' | b'_', rest @ ..] => match rest.strip_prefix(b"forwarded") {
            Some(rest) => matches!(rest, [] | [b'-' | b'_', ..]),
            None => matches!(rest, b"real-ip" | b"real_ip") || is_certificate(name),
        },
        name => name == b"forwarded" || is_certificate(name),
    }
}

/// It tells of a certificate that the client has shown to somebody: `Client-Cert` (RFC 9440) and what was usual before.
pub fn is_certificate(name: &[u8]) -> bool {
    let is_like = |word: &[u8]| {
        let mut bytes = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte });
        word.iter().all(|byte| bytes.next() == Some(*byte)) && matches!(bytes.next(), None | Some(b'-'))
    };
    match name.first() {
        Some(b'c') => is_like(b"client-cert"),
        Some(b's') => is_like(b"ssl-client"),
        Some(b'x') => is_like(b"x-client-cert") || is_like(b"x-ssl-client") || is_like(b"x-forwarded-client-cert"),
        _ => false,
    }
}

/// One of the fields that [`announce`] writes.
pub fn is_told(name: &HeaderName) -> bool {
    *name == header::FORWARDED || [FOR, HOST, PROTO].contains(name)
}

/// What a trusted peer says of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claim {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's connection was encrypted.
    pub secure: Option<bool>,
    /// The client is somebody else, who is not named in a way that can be believed.
    pub hides: bool,
}

/// Reads what a trusted peer says: the list of hops from the right, over those that are trusted as well, to the first
/// that is not, which is the client. What makes no sense ends the walk: nothing to its left can be believed.
///
/// A `peer` without an address is one at a unix socket.
///
/// `None` if `Forwarded` and `X-Forwarded-*` are both there and name two clients: one of them is the client's own work,
/// handed through by a proxy that writes only the other, and nobody can say which.
pub fn believe(headers: &HeaderMap, peer: Option<IpAddr>, is_trusted: &dyn Fn(IpAddr) -> bool) -> Option<Claim> {
    let standard = headers.contains_key(header::FORWARDED).then(|| {
        let nobody = (!is_well_formed(headers, &header::FORWARDED)).then(Claim::default);
        walk(nobody.into_iter().chain(hops(headers, &header::FORWARDED).map(element)), peer, is_trusted)
    });
    let secure = hops(headers, &PROTO).next().and_then(is_secure);
    if let (Some(standard), false) = (standard, headers.contains_key(FOR)) {
        return (!differ(standard.secure, secure)).then_some(standard);
    }
    let nobody = (!is_well_formed(headers, &FOR)).then(Claim::default);
    let addresses = hops(headers, &FOR).map(|hop| Claim { address: node(hop), ..Claim::default() });
    let x = Claim { secure, ..walk(nobody.into_iter().chain(addresses), peer, is_trusted) };
    match standard {
        Some(standard) if standard.address != x.address || differ(standard.secure, x.secure) => None,
        Some(standard) => Some(Claim { hides: standard.hides || x.hides, ..standard }),
        None => Some(x),
    }
}

/// Both say something, and not the same.
fn differ(one: Option<bool>, other: Option<bool>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

fn walk(hops: impl Iterator<Item = Claim>, peer: Option<IpAddr>, is_trusted: &dyn Fn(IpAddr) -> bool) -> Claim {
    let mut known = Claim { address: peer, ..Claim::default() };
    for hop in hops.take(MAX_HOPS) {
        let Some(address) = hop.address else { return Claim { hides: true, ..known } };
        known = Claim { address: Some(address), secure: hop.secure.or(known.secure), hides: false };
        if !is_trusted(address) {
            break;
        }
    }
    known
}

/// The members of a list over all lines of the field, the last one first. Commas inside of quotes do not count.
fn hops<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).collect();
    lines.into_iter().rev().flat_map(|line| {
        let mut members: Vec<&[u8]> = split_unquoted(line.as_bytes(), b',').collect();
        members.reverse();
        members
    })
}

/// Every line of the list can be read to its end, and in one way: whatever stands behind one that cannot, ours at last,
/// would be a part of it.
fn is_well_formed(headers: &HeaderMap, name: &HeaderName) -> bool {
    let is_member = if *name == header::FORWARDED { is_element } else { is_node };
    // An empty member means nothing (RFC 9110, 5.6.1).
    let mut members = headers.get_all(name).flat_map(|line| split_unquoted(line.as_bytes(), b','));
    members.all(|member| member.is_empty() || is_member(member))
}

/// What an element of `Forwarded` is made of (RFC 7239, 4).
fn is_element(member: &[u8]) -> bool {
    split_unquoted(member, b';').all(|pair| {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { return pair.is_empty() };
        headers::is_token(&pair[..at]) && is_value(&pair[at + 1..])
    })
}

/// A token, or a quoted string that ends where it should. An address with a port must be quoted, and is often not.
fn is_value(value: &[u8]) -> bool {
    let Some(quoted) = value.strip_prefix(b"\"") else { return headers::is_token(value) || is_node(value) };
    let mut left = quoted.iter();
    while let Some(byte) = left.next() {
        match byte {
            b'"' => return left.len() == 0,
            b'\\' if left.next().is_none() => return false,
            _ => {}
        }
    }
    false
}

/// An address, or a name instead of one.
fn is_node(member: &[u8]) -> bool {
    !member.is_empty() && member.iter().all(|byte| byte.is_ascii_alphanumeric() || b".:[]_-%".contains(byte))
}

fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        *byte == separator && !quoted
    })
    .map(<[u8]>::trim_ascii)
}

/// One element of `Forwarded`.
fn element(element: &[u8]) -> Claim {
    let mut claim = Claim::default();
    for pair in split_unquoted(element, b';') {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&pair[..at], unquoted(&pair[at + 1..]));
        if name.eq_ignore_ascii_case(b"for") {
            claim.address = node(value);
        } else if name.eq_ignore_ascii_case(b"proto") {
            claim.secure = is_secure(value);
        }
    }
    claim
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

fn is_secure(proto: &[u8]) -> Option<bool> {
    match proto {
        proto if proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss") => Some(true),
        proto if proto.eq_ignore_ascii_case(b"http") || proto.eq_ignore_ascii_case(b"ws") => Some(false),
        _ => None,
    }
}

/// An address with or without a port; IPv6 with or without brackets. `unknown` and hidden names are none.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(address.to_canonical())
}

/// The hop a request takes here.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The other end of the connection; unix sockets have no address.
    pub peer: Option<IpAddr>,
    /// The authority that was asked for; valid, so it cannot break a line.
    pub host: &'a str,
    /// The connection is encrypted.
    pub secure: bool,
    /// What the peer says of those before it is passed on.
    pub trusted: bool,
}

/// Writes the fields that tell an endpoint who asks, as complete lines: `standard` is `Forwarded`, `x` is
/// `X-Forwarded-For`, `-Host` and `-Proto`. Of an untrusted peer only what we see ourselves is told.
pub fn announce(headers: &HeaderMap, hop: &Hop<'_>, standard: bool, x: bool, out: &mut Vec<u8>) {
    let address = hop.peer.map(Address::of);
    if standard {
        out.extend_from_slice(b"forwarded: ");
        continue_list(headers, &header::FORWARDED, hop, out);
        own_element(hop, address.as_ref(), out);
    }
    if x {
        out.extend_from_slice(b"x-forwarded-for: ");
        let continued = continue_list(headers, &FOR, hop, out);
        match &address {
            Some(address) => out.extend_from_slice(address.as_bytes()),
            // A unix socket in front of nobody known: an empty field would say less than none.
            None if continued => out.truncate(out.len() - b", ".len()),
            None => out.truncate(out.len() - b"x-forwarded-for: ".len()),
        }
        if address.is_some() || continued {
            out.extend_from_slice(b"\r\n");
        }
        if let Some(host) = said(headers, &HOST, hop).or(Some(hop.host.as_bytes()).filter(|host| !host.is_empty())) {
            out.extend_from_slice(b"x-forwarded-host: ");
            out.extend_from_slice(host);
            out.extend_from_slice(b"\r\n");
        }
        match said(headers, &PROTO, hop) {
            Some(proto) => {
                out.extend_from_slice(b"x-forwarded-proto: ");
                out.extend_from_slice(proto);
                out.extend_from_slice(b"\r\n");
            }
            None if hop.secure => out.extend_from_slice(b"x-forwarded-proto: https\r\n"),
            None => out.extend_from_slice(b"x-forwarded-proto: http\r\n"),
        }
    }
}

/// The list so far and a comma, if it may go on.
fn continue_list(headers: &HeaderMap, name: &HeaderName, hop: &Hop<'_>, out: &mut Vec<u8>) -> bool {
    if !hop.trusted {
        return false;
    }
    let length: usize = headers.get_all(name).map(HeaderValue::len).sum();
    if length == 0 || length > MAX_LIST || !is_well_formed(headers, name) {
        return false;
    }
    for value in headers.get_all(name).filter(|value| !value.as_bytes().trim_ascii().is_empty()) {
        out.extend_from_slice(value.as_bytes().trim_ascii());
        out.extend_from_slice(b", ");
    }
    out.ends_with(b", ")
}

/// With the end of its line.
fn own_element(hop: &Hop<'_>, address: Option<&Address>, out: &mut Vec<u8>) {
    let address = address.map_or(&b"unknown"[..], Address::as_bytes);
    if matches!(hop.peer, Some(IpAddr::V6(_))) {
        out.extend_from_slice(b"for=\"[");
        out.extend_from_slice(address);
        out.extend_from_slice(b"]\"");
    } else {
        out.extend_from_slice(b"for=");
        out.extend_from_slice(address);
    }
    // A colon, a port's or one of an IPv6 address, is no part of a token (RFC 7239, 4).
    if hop.host.as_bytes().contains(&b':') {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(hop.host.as_bytes());
        out.extend_from_slice(b"\"");
    } else if !hop.host.is_empty() {
        out.extend_from_slice(b";host=");
        out.extend_from_slice(hop.host.as_bytes());
    }
    out.extend_from_slice(if hop.secure { &b";proto=https\r\n"[..] } else { b";proto=http\r\n" });
}

/// What the first trusted proxy said stays: it alone saw the client's own.
fn said<'h>(headers: &'h HeaderMap, name: &HeaderName, hop: &Hop<'_>) -> Option<&'h [u8]> {
    if !hop.trusted {
        return None;
    }
    headers.get(name).map(|value| value.as_bytes().trim_ascii()).filter(|said| !said.is_empty())
}

/// An address, written once for all the fields that tell it.
struct Address {
    text: [u8; Self::LONGEST],
    length: usize,
}

impl Address {
    /// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
    const LONGEST: usize = 45;

    fn of(address: IpAddr) -> Self {
        let mut written = Self { text: [0; Self::LONGEST], length: 0 };
        match address {
            // By far the most: those need no formatter.
            IpAddr::V4(address) => written.numbers(address.octets()),
            IpAddr::V6(address) => {
                let mut room = &mut written.text[..];
                write!(room, "{address}").expect("no address is longer");
                let left = room.len();
                written.length = Self::LONGEST - left;
            }
        }
        written
    }

    fn numbers(&mut self, numbers: [u8; 4]) {
        for (place, number) in numbers.into_iter().enumerate() {
            if place > 0 {
                self.push(b'.');
            }
            if number > 99 {
                self.push(b'0' + number / 100);
            }
            if number > 9 {
                self.push(b'0' + number / 10 % 10);
            }
            self.push(b'0' + number % 10);
        }
    }

    fn push(&mut self, byte: u8) {
        self.text[self.length] = byte;
        self.length += 1;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn read(lines: &[(&'static str, &'static str)]) -> Option<Claim> {
        let trusted = |address: IpAddr| address.to_string().starts_with("10.");
        believe(&fields(lines), Some(address("10.0.0.1")), &trusted)
    }

    fn believed(lines: &[(&'static str, &'static str)]) -> Claim {
        read(lines).expect("one client")
    }

    #[test]
    fn two_fields_that_name_two_clients_are_not_believed() {
        let (xff, proto, forwarded) = ("x-forwarded-for", "x-forwarded-proto", "forwarded");
        for (lines, agree) in [
            (&[(forwarded, "for=6.6.6.6"), (xff, "203.0.113.9")][..], false),
            (&[(forwarded, "for=203.0.113.9"), (xff, "6.6.6.6")], false),
            (&[(forwarded, "for=unknown"), (xff, "203.0.113.9")], false),
            (&[(forwarded, "for=\"6.6.6.6"), (xff, "203.0.113.9")], false),
            (&[(forwarded, "for=203.0.113.9;proto=https"), (xff, "203.0.113.9"), (proto, "http")], false),
            (&[(forwarded, "for=203.0.113.9;proto=https"), (proto, "http")], false),
            (&[(forwarded, "for=203.0.113.9"), (xff, "203.0.113.9")], true),
            (&[(forwarded, "for=203.0.113.9;proto=https"), (xff, "203.0.113.9"), (proto, "https")], true),
            (&[(forwarded, "for=6.6.6.6, for=\"[2001:db8::1]:80\""), (xff, "7.7.7.7, 2001:db8::1")], true),
        ] {
            assert_eq!(read(lines).is_some(), agree, "{lines:?}");
        }
    }

    #[test]
    fn however_long_a_list_is_it_is_read_from_the_right() {
        let list = "6.6.6.6, ".repeat(100) + "203.0.113.9";
        let value = HeaderValue::from_str(&list).expect("a value");
        let headers = HeaderMap::from_iter([(FOR, value)]);

        let claim =
            believe(&headers, Some(address("10.0.0.1")), &|peer| peer == address("10.0.0.1")).expect("one client");

        assert_eq!(claim.address, Some(address("203.0.113.9")));
    }

    #[test]
    fn a_list_that_cannot_be_read_to_its_end_does_not_go_on() {
        let own = "forwarded: for=192.0.2.1;host=\"shop.example:8080\";proto=https\r\n";
        for (list, goes_on) in [
            ("for=\"a", false),
            ("for=\"a\\\"", false),
            ("for=\"a\"b", false),
            ("for=a b", false),
            ("for", false),
            ("=a", false),
            ("for=1.2.3.4;;proto=http", true),
            ("for=1.2.3.4:80, for=\"[::1]:80\";host=\"a, b\"", true),
            ("for=_hidden;by=unknown", true),
        ] {
            let told = announced(&[("forwarded", list)], true);
            assert_eq!(told.starts_with(&format!("forwarded: {list}, ")), goes_on, "{list}: {told}");
            assert_eq!(told.starts_with(own), !goes_on, "{list}: {told}");
        }
        for (list, goes_on) in [("1.2.3.4, \"", false), ("a b", false), ("1.2.3.4; x", false), ("unknown, ::1", true)] {
            let told = announced(&[("x-forwarded-for", list)], true);
            assert_eq!(told.contains(&format!("x-forwarded-for: {list}, ")), goes_on, "{list}: {told}");
        }
    }

    #[test]
    fn a_claim_is_told_by_its_name_in_whatever_disguise() {
        for (name, expected) in [
            ("forwarded", true),
            ("x-forwarded", true),
            ("x-forwarded-for", true),
            ("x_forwarded_for", true),
            ("x-forwarded_proto", true),
            ("x-forwarded-ssl", true),
            ("x-real_ip", true),
            ("x-forwardedness", false),
            ("x-really", false),
            ("forwarded-by", false),
        ] {
            assert_eq!(is_ours(&HeaderName::from_static(name)), expected, "{name}");
        }
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
        let (xff, forwarded) = ("x-forwarded-for", "forwarded");
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&[(xff, "203.0.113.9")], "203.0.113.9"),
            (&[(xff, "6.6.6.6, 203.0.113.9")], "203.0.113.9"),
            (&[(xff, "6.6.6.6, 203.0.113.9, 10.0.0.2")], "203.0.113.9"),
            (&[(xff, "6.6.6.6"), (xff, "203.0.113.9,10.0.0.2")], "203.0.113.9"),
            (&[(xff, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (&[(xff, "6.6.6.6, nonsense, 10.0.0.2")], "10.0.0.2"),
            (&[(xff, "203.0.113.9:4711")], "203.0.113.9"),
            (&[(xff, "[2001:db8::1]:4711")], "2001:db8::1"),
            (&[(xff, "::ffff:203.0.113.9")], "203.0.113.9"),
            (&[(forwarded, "for=6.6.6.6, For=\"[2001:db8::1]:80\";proto=https")], "2001:db8::1"),
            (&[(forwarded, "for=203.0.113.9"), (xff, "203.0.113.9")], "203.0.113.9"),
            (&[(forwarded, "for=203.0.113.9, for=\"10.0.0.2")], "10.0.0.1"),
            (&[(forwarded, "for=\"6.6.6.6, for=203.0.113.9\"")], "10.0.0.1"),
            (&[(forwarded, "for=unknown")], "10.0.0.1"),
            (&[(forwarded, "for=_hidden, for=10.0.0.2")], "10.0.0.2"),
        ] {
            assert_eq!(believed(lines).address, Some(address(expected)), "{lines:?}");
        }
    }

    #[test]
    fn a_peer_without_an_address_may_have_a_client_with_one() {
        let headers = fields(&[("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2"), ("x-forwarded-proto", "https")]);
        let trusted = |address: IpAddr| address.to_string().starts_with("10.");

        let claim = believe(&headers, None, &trusted).expect("one client");
        let nobody = believe(&HeaderMap::new(), None, &trusted).expect("no two clients");

        assert_eq!(claim, Claim { address: Some(address("203.0.113.9")), secure: Some(true), hides: false });
        assert_eq!(nobody, Claim::default());
    }

    #[test]
    fn encryption_is_believed_too() {
        assert_eq!(believed(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")]).secure, Some(true));
        assert_eq!(believed(&[("forwarded", "for=1.2.3.4;proto=http")]).secure, Some(false));
        assert_eq!(believed(&[("x-forwarded-proto", "gopher")]).secure, None);
    }

    fn announced(lines: &[(&'static str, &'static str)], trusted: bool) -> String {
        let hop = Hop { peer: Some(address("192.0.2.1")), host: "shop.example:8080", secure: true, trusted };
        let mut out = Vec::new();
        announce(&fields(lines), &hop, true, true, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn of_a_stranger_only_what_we_see_is_told() {
        let claims = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-host", "evil")];
        let expected = "forwarded: for=192.0.2.1;host=\"shop.example:8080\";proto=https\r\n\
            x-forwarded-for: 192.0.2.1\r\nx-forwarded-host: shop.example:8080\r\nx-forwarded-proto: https\r\n";
        assert_eq!(announced(&claims, false), expected);
        assert_eq!(announced(&[], true), expected);
    }

    #[test]
    fn a_trusted_peers_lists_go_on() {
        let claims = [
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8 "),
            ("x-forwarded-host", "front.example"),
            ("x-forwarded-proto", "http"),
        ];
        let expected = "forwarded: for=1.2.3.4, for=192.0.2.1;host=\"shop.example:8080\";proto=https\r\n\
            x-forwarded-for: 1.2.3.4, 5.6.7.8, 192.0.2.1\r\nx-forwarded-host: front.example\r\n\
            x-forwarded-proto: http\r\n";
        assert_eq!(announced(&claims, true), expected);
    }

    #[test]
    fn an_address_is_written_as_everyone_writes_it() {
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for text in ["0.0.0.0", "1.20.255.100", "127.0.0.1", "::", "::1", "2001:db8::1", longest, "::ffff:1.2.3.4"] {
            assert_eq!(Address::of(address(text)).as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn a_unix_socket_has_no_address_to_tell() {
        let hop = Hop { peer: None, host: "", secure: false, trusted: false };
        let mut out = Vec::new();
        announce(&HeaderMap::new(), &hop, true, true, &mut out);
        assert_eq!(out, b"forwarded: for=unknown;proto=http\r\nx-forwarded-proto: http\r\n");
    }
}
