//! A request in actix's terms, whichever version of HTTP it came in.

use std::rc::Rc;

use actix_http::{HttpMessage, Request};

use super::h1::head::Head;
use crate::http::{Downstream, downstream::Peer, scratch};

/// Says of a request what its head says, and who is at the other end.
pub fn describe(request: &mut Request, head: Head, peer: Peer, downstream: Rc<dyn Downstream>) {
    let known = request.head_mut();
    (known.method, known.uri, known.version) = (head.method, head.uri, head.version);
    let mut fields = head.headers;
    match downstream.crossing() {
        Some(crossing) => crossing.ask(fields),
        None => {
            fields.give_to(&mut known.headers);
            scratch::give_back(fields);
        }
    }
    known.peer_addr = match peer {
        Peer::Tcp(address) => Some(address),
        Peer::Unix => None,
    };
    request.extensions_mut().insert(downstream);
}
