//! The first line of a request: what the server and `explain` refuse alike.

use super::{Error, Method, Version, search};

/// Bytes of a method.
pub const MAX_METHOD: usize = 64;

/// The parts of a request line without its CRLF: method and target as they are written, and the version (RFC 9112, 3).
///
/// # Errors
/// There are not three parts, a single space between them, or the last is no version of HTTP/1.
pub fn split(line: &[u8]) -> Result<(&[u8], &[u8], Version), Error> {
    const MALFORMED: Error = Error::Malformed { what: "a malformed request line" };
    let method = search::position(b' ', line).ok_or(MALFORMED)?;
    let (method, rest) = (&line[..method], &line[method + 1..]);
    let target = search::position(b' ', rest).ok_or(MALFORMED)?;
    let version = match &rest[target + 1..] {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Error::Version);
        }
        _ => return Err(MALFORMED),
    };
    Ok((method, &rest[..target], version))
}

/// The method as a type.
///
/// # Errors
/// It is none, or one that this proxy never carries.
pub fn method(text: &[u8]) -> Result<Method, Error> {
    let method = Some(text).filter(|text| text.len() <= MAX_METHOD);
    let method = method.and_then(|text| Method::from_bytes(text).ok());
    match method.ok_or(Error::Malformed { what: "no method" })? {
        // A tunnel to wherever the client likes is not what a reverse proxy is for.
        Method::CONNECT => Err(Error::Method),
        method => Ok(method),
    }
}

/// Looks at a target before it is taken apart, whatever its form.
///
/// # Errors
/// It is too long, or has a character that no target has.
pub fn check_target(target: &[u8], limit: usize) -> Result<(), Error> {
    if target.len() > limit {
        return Err(Error::UriTooLong { limit });
    }
    if target.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'#') {
        return Err(Error::Malformed { what: "a target with a character that must be encoded" });
    }
    Ok(())
}
