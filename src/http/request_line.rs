//! The first line of a request: what the server and `explain` refuse alike.

use super::{Error, Method};

/// Bytes of a method.
pub const MAX_METHOD: usize = 64;

/// The method as a type.
///
/// # Errors
/// It is none, or one that this proxy never carries.
pub fn method(text: &str) -> Result<Method, Error> {
    let method = Some(text).filter(|text| text.len() <= MAX_METHOD);
    let method = method.and_then(|text| Method::from_bytes(text.as_bytes()).ok());
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
pub fn check_target(target: &str, limit: usize) -> Result<(), Error> {
    if target.len() > limit {
        return Err(Error::UriTooLong { limit });
    }
    if target.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        return Err(Error::Malformed { what: "a target with a character that must be encoded" });
    }
    Ok(())
}
