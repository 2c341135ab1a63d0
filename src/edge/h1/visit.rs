//! A connection as it is served: when it has come in, and again after it was parked.

use std::rc::Rc;

use super::{Arrival, wire::Wire};
use crate::{
    clock::Due,
    edge::{h2::session::Remains, limits::Limits},
};

/// What is known of a connection while nothing is under way on it.
pub struct Visit {
    /// The connection.
    pub arrival: Arrival,
    /// What it may cost.
    pub limits: Rc<Limits>,
    /// When it is over if nothing comes until then.
    pub until: Due,
    /// Nothing was asked on it yet.
    pub is_fresh: bool,
    /// What remains of a session of HTTP/2. In a box: most have none.
    pub http2: Option<Box<Remains>>,
}

impl Visit {
    /// Of one that has just come in.
    pub fn first(arrival: Arrival, limits: Rc<Limits>) -> Self {
        Self { arrival, limits, until: Due::NEVER, is_fresh: true, http2: None }
    }

    /// Nothing will be served any more: its time is over, or the server stops and it has been served before. What the
    /// kernel has of it is served all the same.
    pub fn is_over(&self, is_stopping: bool) -> bool {
        let is_over = self.until.has_passed() || (is_stopping && !self.is_fresh);
        // Whose protocol has a last word is to be told it.
        is_over && self.http2.is_none() && !self.arrival.line.has_unread()
    }

    /// Closes the connection.
    pub fn end(self) {
        Wire::new(self).say_goodbye();
    }
}

#[cfg(test)]
impl Visit {
    /// One at a socket, in the clear and with the limits that everybody has.
    pub fn at(socket: crate::transport::dial::Stream) -> Self {
        let arrival = Arrival {
            line: crate::edge::line::Line::Known(socket),
            peer: crate::http::downstream::Peer::Unix,
            announced: None,
            greeted: None,
            newest: crate::edge::tls::Protocol::Http1,
            counts: std::sync::Arc::default(),
        };
        Self::first(arrival, Rc::new(Limits::of(&crate::settings::ServerSettings::default(), "edge")))
    }
}
