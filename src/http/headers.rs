//! Header fields: lists, tokens, and those that end at us (hop-by-hop).

use super::{HeaderMap, HeaderName, HeaderValue, Marks, Version, header};

/// The field that names a request across hops.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields that belong to one connection and are never relayed (RFC 9110, 7.6.1), whether `Connection` names them or not.
static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Fields that `Connection` cannot take away, whatever the letter of RFC 9110, 7.6.1: a message without them would be
/// another message.
const NEVER_NOMINATED: [HeaderName; 2] = [header::HOST, header::CONTENT_LENGTH];

/// It belongs to one connection.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Removes what belongs to one connection, with what `Connection` names (RFC 9110, 7.6.1).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip_hop_by_hop_and(headers, |_| false);
}

/// The same, and others in the same pass.
pub fn strip_hop_by_hop_and(headers: &mut HeaderMap, others: impl Fn(&HeaderName) -> bool) {
    strip_hop_by_hop_but(headers, |_| false, others);
}

/// The same, where `Connection` cannot take away what is `spared`.
pub fn strip_hop_by_hop_but(
    headers: &mut HeaderMap,
    spared: impl Fn(&HeaderName) -> bool,
    others: impl Fn(&HeaderName) -> bool,
) {
    // Before `Connection` itself goes: it is the list of what else must go.
    if headers.get_all(header::CONNECTION).any(|value| !names_no_field(value.as_bytes())) {
        for name in nominated(headers, spared) {
            headers.remove(name);
        }
    }
    let goes = |name: &HeaderName| is_hop_by_hop(name) || others(name);
    // Most messages hold few such fields or none.
    if headers.keys().any(goes) {
        headers.retain(|name, _| !goes(name));
    }
}

/// Those of the fields that `Connection` names. It may name what is not there, and anything as often as it likes: that makes no list longer.
fn nominated(headers: &HeaderMap, spared: impl Fn(&HeaderName) -> bool) -> Vec<HeaderName> {
    let can_go = |name: &&HeaderName| !NEVER_NOMINATED.contains(name) && !spared(name);
    let mut left: Vec<&HeaderName> = headers.keys().filter(can_go).collect();
    let mut nominated = Vec::new();
    for token in list(headers, &header::CONNECTION) {
        if let Some(at) = left.iter().position(|name| token.eq_ignore_ascii_case(name.as_str().as_bytes())) {
            nominated.push(left.swap_remove(at).clone());
        }
    }
    nominated
}

/// What most say: `close` and `keep-alive` name no field but one that goes anyway.
fn names_no_field(connection: &[u8]) -> bool {
    connection.eq_ignore_ascii_case(b"keep-alive") || connection.eq_ignore_ascii_case(b"close")
}

/// The members of a comma-separated list over all lines of the field, trimmed, empty ones left out (RFC 9110, 5.6.1).
/// For lists of tokens: a comma inside a quoted string is not looked for.
pub fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers.get_all(name).flat_map(members)
}

fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// One of the list's members is this token, in whatever case.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    list(headers, name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
}

/// The connection may carry another message after this one (RFC 9112, 9.3).
pub fn keeps_alive(headers: &HeaderMap, marks: Marks, version: Version) -> bool {
    let (mut keeps, mut closes) = (version >= Version::HTTP_11, false);
    if !marks.has(Marks::CONNECTION) {
        return keeps;
    }
    for value in headers.get_all(header::CONNECTION) {
        if value.as_bytes().eq_ignore_ascii_case(b"keep-alive") {
            keeps = true;
            continue;
        }
        for token in members(value) {
            keeps |= token.eq_ignore_ascii_case(b"keep-alive");
            closes |= token.eq_ignore_ascii_case(b"close");
        }
    }
    keeps && !closes
}

/// The sender takes trailers (RFC 9110, 10.1.4).
pub fn wants_trailers(headers: &HeaderMap, marks: Marks) -> bool {
    marks.has(Marks::TE) && has_token(headers, &header::TE, "trailers")
}

/// A token (RFC 9110, 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    marks_of_token(bytes).is_some()
}

/// What the letters of a token tell, if it is one.
pub fn marks_of_token(bytes: &[u8]) -> Option<Marks> {
    // Without a way out in between: names are short.
    let seen = bytes.iter().fold(0, |seen, byte| seen | CLASSES[*byte as usize]);
    if bytes.is_empty() || seen & OUTSIDE != 0 {
        return None;
    }
    Some(if seen & UNDERSCORE == 0 { Marks::default() } else { Marks::UNDERSCORE })
}

/// What a byte is beside one of a token's.
const CLASSES: [u8; 256] = {
    let mut classes = [OUTSIDE; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            classes[byte] = 0;
        }
        byte += 1;
    }
    let punctuation = b"!#$%&'*+-.^`|~";
    let mut at = 0;
    while at < punctuation.len() {
        classes[punctuation[at] as usize] = 0;
        at += 1;
    }
    classes[b'_' as usize] = UNDERSCORE;
    classes
};

const OUTSIDE: u8 = 1;
const UNDERSCORE: u8 = 1 << 1;

/// The host in a value of `Host`: `name:80` and `[::1]:80` without what follows, without brackets, and without a dot at
/// the end. What is malformed stays so.
pub fn host_name(host: &str) -> &str {
    if let Some(literal) = host.strip_prefix('[') {
        return literal.split(']').next().unwrap_or(literal);
    }
    let name = host.split(':').next().unwrap_or(host);
    name.strip_suffix('.').unwrap_or(name)
}

/// Removes these fields, also where they are written with `_` for `-` or the other way round: endpoints behind gateway interfaces
/// read both as one.
pub fn remove_spellings<'n>(headers: &mut HeaderMap, names: impl Iterator<Item = &'n HeaderName> + Clone) {
    let other = |name: &&HeaderName| names.clone().any(|known| known != *name && is_spelling(known, name));
    let others: Vec<_> = headers.keys().filter(other).cloned().collect();
    names.for_each(|name| drop(headers.remove(name)));
    others.iter().for_each(|name| drop(headers.remove(name)));
}

fn is_spelling(one: &HeaderName, other: &HeaderName) -> bool {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let (one, other) = (one.as_str().bytes(), other.as_str().bytes());
    one.len() == other.len() && one.map(dashed).eq(other.map(dashed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_field_that_names_without_end_costs_little_and_takes_what_is_there() {
        let mut fields = HeaderMap::new();
        for name in ["x-a", "x-b", "x-b", "host", "x-c"] {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        let long = format!("{}X-B, nothing, host, x-b", "x-a,".repeat(10_000));
        fields.append(header::CONNECTION, HeaderValue::from_str(&long).expect("text"));

        assert_eq!(nominated(&fields, |_| false), ["x-a", "x-b", "x-b"], "each once for each time that it is there");
        strip_hop_by_hop(&mut fields);

        assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["host", "x-c"]);
    }

    #[test]
    fn fields_are_removed_in_all_spellings() {
        for name in ["x-user-id", "x_user_id", "x-user_id"] {
            let mut headers = HeaderMap::new();
            for name in ["x-user-id", "x-user-id", "x_user_id", "x-user_id", "x-user-idx", "xuserid"] {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
            }

            remove_spellings(&mut headers, [HeaderName::from_static(name)].iter());

            let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(left, ["x-user-idx", "xuserid"], "{name}");
        }
    }

    #[test]
    fn a_host_has_a_name_without_its_port() {
        for (host, name) in
            [("a.example:443", "a.example"), ("a.example.", "a.example"), ("[::1]:443", "::1"), ("[::1]", "::1")]
        {
            assert_eq!(host_name(host), name);
        }
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_belongs_to_one_connection_goes_and_what_connection_names_too() {
        let mut headers = fields(&[
            ("connection", "close, X-Secret"),
            ("connection", "upgrade,host , content-length, Content-Type,cache-control"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "websocket"),
            ("te", "trailers"),
            ("host", "a"),
            ("content-length", "3"),
            ("content-type", "text/plain"),
            ("cache-control", "no-store"),
            ("x-kept", "1"),
        ]);

        strip_hop_by_hop(&mut headers);

        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-kept"]);
    }

    #[test]
    fn a_connection_is_kept_by_version_and_token() {
        for (value, version, expected) in [
            ("", Version::HTTP_11, true),
            ("Close", Version::HTTP_11, false),
            ("TE, close", Version::HTTP_11, false),
            ("", Version::HTTP_10, false),
            ("keep-alive", Version::HTTP_10, true),
            ("keep-alive, close", Version::HTTP_10, false),
        ] {
            assert_eq!(
                keeps_alive(&fields(&[("connection", value)]), Marks::CONNECTION, version),
                expected,
                "{value:?} {version:?}"
            );
        }
    }
}
