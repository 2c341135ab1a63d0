//! What of an answer's head goes on, and what it says of the body and the connection behind it.

use super::head::Head;
use crate::{
    http::{
        Marks, Method, StatusCode, Version,
        framing::{FramingError, ResponseFraming, response_framing},
        header, headers,
    },
    transport::IncomingHead,
};

/// A final head that was understood.
#[derive(Debug)]
pub struct Settled {
    /// What goes on: nothing of one connection is left in it.
    pub head: IncomingHead,
    /// Where the body ends.
    pub framing: ResponseFraming,
    /// The endpoint goes on with the connection.
    pub keeps: bool,
}

/// Understands the head that answers a request of this method. Not of one that switches protocols.
///
/// # Errors
/// It does not say where its body ends, or says it twice.
pub fn settle(head: Head, method: &Method) -> Result<Settled, FramingError> {
    let Head { status, version, mut headers, marks } = head;
    let framing = response_framing(method, status, version, &headers, marks)?;
    let keeps = version >= Version::HTTP_11 && headers::keeps_alive(&headers, marks, version);
    // To what a client must upgrade it is told (RFC 9110, 15.5.22).
    let demanded: Vec<_> = match status {
        StatusCode::UPGRADE_REQUIRED => headers.get_all(header::UPGRADE).cloned().collect(),
        _ => Vec::new(),
    };
    if marks.has(Marks::HOP_BY_HOP) {
        headers::strip_hop_by_hop(&mut headers);
    }
    if marks.has(Marks::CONTENT_LENGTH) {
        headers.remove(header::CONTENT_LENGTH);
    }
    for protocol in demanded {
        headers.append(header::UPGRADE, protocol);
    }
    Ok(Settled { head: IncomingHead { status, headers }, framing, keeps })
}
