//! What is measured.

use crate::h1::Request;
use crate::peers::Peer;
use crate::tls::Resumption;

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;
/// What the backend answers to an upload, and to most who ask for little.
pub const SMALL: u64 = 128;

#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    pub download: u64,
    pub upload: u64,
    pub connections: usize,
    pub speaks: Speaks,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CPU time per request, over connections that are kept.
    Kept,
    /// The same, with all that a careful operator has on: see `Guard` of each peer's settings.
    Guarded,
    /// CPU time per request, each over a connection of its own.
    Fresh,
    /// The same, and each but a client's first resumes a TLS session.
    Resumed,
    /// CPU time per request, over connections that are kept, for what the proxy has stored: the endpoint is not asked.
    Stored,
    /// The same for many things, of which some are asked for once.
    Mixed,
    /// The same with more that are asked for once, and room for few: what is kept then?
    Scanned,
    /// The same for what is not in the proxy's memory, but in files.
    OnDisk,
    /// The same for what is in a Redis.
    InRedis,
    /// How often the endpoint is asked for a thing that all want at once, and CPU time per request of it.
    Herd,
    /// Memory held while clients read slowly.
    SlowReaders,
    /// Memory held for connections that do nothing.
    Idle,
}

/// What clients speak with the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Http,
    /// Messages, once HTTP/1.1 has been left (RFC 6455): a request is one there and back.
    WebSocket,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 over TLS, with so many requests at once on each connection.
    H2 {
        streams: usize,
    },
    /// HTTP/2 from the first byte, without TLS.
    H2c {
        streams: usize,
    },
    /// Calls over HTTP/2 that send and get a message.
    Grpc {
        streams: usize,
    },
    /// The same without TLS.
    GrpcH2c {
        streams: usize,
    },
}

use Kind::{Fresh, Guarded, Herd, Idle, InRedis, Kept, Mixed, OnDisk, Resumed, Scanned, SlowReaders, Stored};
use Speaks::{Grpc, GrpcH2c, H2, H2c, Http, Https, WebSocket};

pub const ALL: [Case; 33] = [
    case("128b", "128 B, 64 connections", Http, SMALL, 0, 64, Kept),
    case("10k", "10 KB, 64 connections", Http, 10 * KIB, 0, 64, Kept),
    case("thousand", "128 B, 1,000 connections", Http, SMALL, 0, 1000, Kept),
    case("thousand-10k", "10 KB, 1,000 connections", Http, 10 * KIB, 0, 1000, Kept),
    case("bundle", "128 B, with a bundle of filters", Http, SMALL, 0, 64, Guarded),
    case("fresh", "128 B, a connection per request", Http, SMALL, 0, 32, Fresh),
    case("down-1m", "1 MB down", Http, MIB, 0, 16, Kept),
    case("down-100m", "100 MB down", Http, 100 * MIB, 0, 4, Kept),
    case("up-1m", "1 MB up", Http, SMALL, MIB, 16, Kept),
    case("up-100m", "100 MB up", Http, SMALL, 100 * MIB, 4, Kept),
    case("websocket", "WebSocket, messages of 128 B", WebSocket, SMALL, SMALL, 64, Kept),
    case("slow-readers", "100 MB, read slowly by 10 clients", Http, 100 * MIB, 0, 10, SlowReaders),
    case("idle", "2,000 idle connections", Http, SMALL, 0, 2000, Idle),
    case("tls-handshake", "TLS, a full handshake per request", Https, SMALL, 0, 32, Fresh),
    case("tls-resumed", "TLS, a resumed one per request", Https, SMALL, 0, 32, Resumed),
    case("tls-128b", "TLS, 128 B, 64 connections", Https, SMALL, 0, 64, Kept),
    case("h2-1", "HTTP/2, 64 connections of 1 stream", H2 { streams: 1 }, SMALL, 0, 64, Kept),
    case("h2-10", "HTTP/2, 16 connections of 10", H2 { streams: 10 }, SMALL, 0, 16, Kept),
    case("h2-100", "HTTP/2, 4 connections of 100", H2 { streams: 100 }, SMALL, 0, 4, Kept),
    case("h2c", "HTTP/2 without TLS, 64 connections of 1", H2c { streams: 1 }, SMALL, 0, 64, Kept),
    case("grpc-unary", "gRPC, unary, 16 connections of 10", Grpc { streams: 10 }, SMALL, 0, 16, Kept),
    case("grpc-h2c", "gRPC, the same without TLS", GrpcH2c { streams: 10 }, SMALL, 0, 16, Kept),
    case("idle-tls", "10,000 idle connections of TLS", Https, SMALL, 0, 10_000, Idle),
    case("idle-h2", "10,000 idle connections of HTTP/2", H2 { streams: 1 }, SMALL, 0, 10_000, Idle),
    case("stored-1k", "1 KB from the cache, 64 connections", Http, KIB, 0, 64, Stored),
    case("stored-10k", "10 KB from the cache, 64 connections", Http, 10 * KIB, 0, 64, Stored),
    case("stored-1m", "1 MB from the cache, 16 connections", Http, MIB, 0, 16, Stored),
    case("stored-mix", "1 KB of 100,000 things, a tenth of it new", Http, KIB, 0, 64, Mixed),
    case("stored-scan", "10 KB of 100,000 things, a third new, room for 13,000", Http, 10 * KIB, 0, 64, Scanned),
    case("stored-herd", "10 KB that 1,000 clients want at once", Http, 10 * KIB, 0, 1000, Herd),
    case("stored-disk-1k", "1 KB from disk, 16 connections", Http, KIB, 0, 16, OnDisk),
    case("stored-disk-1m", "1 MB from disk, 16 connections", Http, MIB, 0, 16, OnDisk),
    case("stored-redis-1k", "1 KB from a Redis, 16 connections", Http, KIB, 0, 16, InRedis),
];

const fn case(
    name: &'static str,
    title: &'static str,
    speaks: Speaks,
    download: u64,
    upload: u64,
    connections: usize,
    kind: Kind,
) -> Case {
    Case { name, title, download, upload, connections, speaks, kind }
}

impl Case {
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|case| case.name == name)
    }

    pub fn request(&self, download: u64) -> Request {
        match self.kind {
            Guarded => Request::with_token(download),
            _ if self.is_stored() => Request::stored_as(download, ""),
            _ => Request::new(download, self.upload, matches!(self.kind, Fresh | Resumed)),
        }
    }

    pub fn has_large_bodies(&self) -> bool {
        self.download.max(self.upload) >= MIB
    }

    pub fn measures_cpu(&self) -> bool {
        !matches!(self.kind, SlowReaders | Idle)
    }

    /// Whether peers are to keep what the endpoint answers.
    pub fn is_stored(&self) -> bool {
        matches!(self.kind, Stored | Mixed | Scanned | OnDisk | InRedis | Herd)
    }

    /// How much of it peers may keep in memory, in MiB.
    pub fn memory(&self) -> u64 {
        match self.kind {
            Scanned => 128,
            OnDisk | InRedis => 1,
            _ => 256,
        }
    }

    /// How much of it in files, where peers have them.
    pub fn files(&self) -> u64 {
        if self.kind == Scanned { self.memory() } else { 256 }
    }

    /// What is asked for in turn where memory has no room for it: sixteen times as much.
    pub fn things(&self) -> usize {
        (16 * MIB).div_ceil(self.download.max(1)) as usize
    }

    /// Whether peers are to check and note each request.
    pub fn is_guarded(&self) -> bool {
        self.kind == Guarded
    }

    pub fn is_secure(&self) -> bool {
        matches!(self.speaks, Https | H2 { .. } | Grpc { .. })
    }

    pub fn is_grpc(&self) -> bool {
        matches!(self.speaks, Grpc { .. } | GrpcH2c { .. })
    }

    /// Whether clients speak HTTP/2 without having agreed on it.
    pub fn is_h2c(&self) -> bool {
        matches!(self.speaks, H2c { .. } | GrpcH2c { .. })
    }

    pub fn is_h1_in_the_clear(&self) -> bool {
        matches!(self.speaks, Http | WebSocket)
    }

    /// What is agreed on in TLS.
    pub fn protocol(&self) -> &'static str {
        match self.speaks {
            Http | Https | WebSocket => "http/1.1",
            H2 { .. } | H2c { .. } | Grpc { .. } | GrpcH2c { .. } => "h2",
        }
    }

    pub fn resumption(&self) -> Resumption {
        match self.kind {
            Resumed => Resumption::Always,
            _ => Resumption::Never,
        }
    }

    /// The relay understands no TLS; Caddy is compared where TLS is; Pingora has no filters but those one writes; how workers accept
    /// matters where each request has a connection of its own; and what is stored is compared with those that are known for it.
    pub fn takes(&self, peer: Peer) -> bool {
        match self.kind {
            InRedis => return matches!(peer, Peer::Aqueduct | Peer::AqueductBefore),
            OnDisk => return matches!(peer, Peer::Nginx | Peer::TrafficServer | Peer::Aqueduct | Peer::AqueductBefore),
            _ => {}
        }
        if self.is_stored() {
            let known = [Peer::Nginx, Peer::Varnish, Peer::TrafficServer, Peer::Aqueduct, Peer::AqueductBefore];
            return known.contains(&peer);
        }
        match peer {
            Peer::Varnish | Peer::TrafficServer => false,
            // It guards nothing, and what nginx tells an endpoint is told once for all messages.
            Peer::Relay | Peer::RelayUring => !self.is_secure() && !self.is_guarded(),
            Peer::NginxSame => self.speaks != WebSocket,
            Peer::NginxLua => self.is_guarded(),
            Peer::Caddy => self.is_secure(),
            // It gives no tickets, but remembers 256 sessions.
            Peer::Pingora => !self.is_guarded() && self.kind != Resumed,
            Peer::AqueductShared | Peer::AqueductReusePort => self.kind == Fresh && !self.is_secure(),
            Peer::Nginx | Peer::Haproxy | Peer::Aqueduct | Peer::AqueductBefore | Peer::AqueductCounted => true,
        }
    }
}
