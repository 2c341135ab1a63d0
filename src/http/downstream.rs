//! What a client connection can do beyond what actix-web hands to a handler.
//!
//! The edge puts an `Rc<dyn Downstream>` into the request's extensions. Under a plain `HttpServer` there is none,
//! and the proxy does without: no 1xx, no trailers, no upgrades.

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{ClientCertificate, HeaderMap, Shortcut, StatusCode};

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// What runs on a client connection after `101 Switching Protocols`. Put into the response's extensions by the
/// handler; called by the edge once the head is out, with the connection and whatever the client had sent already.
pub struct Takeover(pub Box<dyn FnOnce(TakenOver) -> LocalBoxFuture<'static, ()>>);

/// A client connection that no longer speaks HTTP.
pub struct TakenOver {
    /// The connection.
    pub io: Box<dyn Io>,
    /// Bytes the client sent behind its request head.
    pub early: Bytes,
    /// Resolves when tunnels are to end: the server starts to drain, or the grace of one whose place another has taken ends.
    pub draining: LocalBoxFuture<'static, ()>,
}

/// Where a client connects from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket; it has no address worth naming.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

/// One exchange's view of the client connection it came in on.
pub trait Downstream {
    /// Who is at the other end.
    fn peer(&self) -> Peer;

    /// The address that the client has connected to; unix sockets have none.
    fn local(&self) -> Option<SocketAddr>;

    /// The connection is encrypted.
    fn is_tls(&self) -> bool;

    /// The certificate that the client has shown, if the listener asks for one: read once for each connection.
    fn client_certificate(&self) -> Option<&Arc<ClientCertificate>>;

    /// Sends an interim response (RFC 9110, 15.2). Ignored for HTTP/1.0 and after the final head.
    fn informational(&self, status: StatusCode, headers: &HeaderMap);

    /// The trailers of the request, once its body has ended.
    fn request_trailers(&self) -> Option<HeaderMap>;

    /// Trailers to send after the response body, if its framing has room for them.
    fn response_trailers(&self, trailers: HeaderMap);

    /// The way past our memory, where the connection has one.
    fn shortcut(&self) -> Option<&Shortcut> {
        None
    }
}

/// What was known of a client connection, for an exchange that goes on without its client: nothing can be sent.
pub struct Absent {
    peer: Peer,
    local: Option<SocketAddr>,
    is_tls: bool,
    client_certificate: Option<Arc<ClientCertificate>>,
}

impl Absent {
    /// What is known of this one.
    pub fn like(downstream: &dyn Downstream) -> Self {
        Self {
            peer: downstream.peer(),
            local: downstream.local(),
            is_tls: downstream.is_tls(),
            client_certificate: downstream.client_certificate().cloned(),
        }
    }
}

impl Downstream for Absent {
    fn peer(&self) -> Peer {
        self.peer
    }

    fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }

    fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.client_certificate.as_ref()
    }

    fn informational(&self, _: StatusCode, _: &HeaderMap) {}

    fn request_trailers(&self) -> Option<HeaderMap> {
        None
    }

    fn response_trailers(&self, _: HeaderMap) {}
}
