//! What is counted of connections where they come in.

use super::listener::Full;
use crate::telemetry::metrics::SharedCount;

/// Of one address that is listened on, over all workers. A reload that keeps the address goes on with it.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were taken in.
    pub accepted: SharedCount,
    /// Connections that were parked, each as often as it was.
    pub parked: SharedCount,
    /// Connections that were turned away.
    pub refused: Refused,
    /// Handshakes of TLS.
    pub handshakes: Handshakes,
    /// HTTP/2.
    pub http2: Http2,
}

/// Connections that were turned away, by why.
#[derive(Debug, Default)]
pub struct Refused {
    /// The server has as many as it may have.
    pub server: SharedCount,
    /// As many have come in here as may.
    pub listener: SharedCount,
    /// Its client has as many as one may have.
    pub address: SharedCount,
    /// It was to begin with a PROXY header, and did not.
    pub proxy_header: SharedCount,
}

/// Handshakes of TLS, by what became of them.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// From the beginning.
    pub full: SharedCount,
    /// With a client that was known.
    pub resumed: SharedCount,
    /// Nothing came of it.
    pub failed: SharedCount,
    /// It took too long.
    pub late: SharedCount,
}

/// Connections of HTTP/2.
#[derive(Debug, Default)]
pub struct Http2 {
    /// Those that were begun.
    pub connections: SharedCount,
    /// Streams on them that clients have reset.
    pub resets_by_clients: SharedCount,
    /// Streams on them that we have.
    pub resets_by_us: SharedCount,
}

impl Refused {
    /// One more, for want of a place.
    pub fn count(&self, full: Full) {
        match full {
            Full::Server => self.server.one(),
            Full::Listener => self.listener.one(),
            Full::Address => self.address.one(),
        };
    }
}
