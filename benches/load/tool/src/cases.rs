//! What is measured.

use crate::client::Request;

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;
/// What the backend answers to an upload.
const SMALL: u64 = 128;

#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    pub download: u64,
    pub upload: u64,
    pub connections: usize,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CPU time per request, over connections that are kept.
    Kept,
    /// CPU time per request, each over a connection of its own.
    Fresh,
    /// Memory held while clients read slowly.
    SlowReaders,
    /// Memory held for connections that do nothing.
    Idle,
}

pub const ALL: [Case; 10] = [
    case("128b", "128 B, 64 connections", SMALL, 0, 64, Kind::Kept),
    case("10k", "10 KB, 64 connections", 10 * KIB, 0, 64, Kind::Kept),
    case("thousand", "128 B, 1,000 connections", SMALL, 0, 1000, Kind::Kept),
    case("fresh", "128 B, a connection per request", SMALL, 0, 32, Kind::Fresh),
    case("down-1m", "1 MB down", MIB, 0, 16, Kind::Kept),
    case("down-100m", "100 MB down", 100 * MIB, 0, 4, Kind::Kept),
    case("up-1m", "1 MB up", SMALL, MIB, 16, Kind::Kept),
    case("up-100m", "100 MB up", SMALL, 100 * MIB, 4, Kind::Kept),
    case("slow-readers", "100 MB, read slowly by 10 clients", 100 * MIB, 0, 10, Kind::SlowReaders),
    case("idle", "2,000 idle connections", SMALL, 0, 2000, Kind::Idle),
];

const fn case(
    name: &'static str,
    title: &'static str,
    download: u64,
    upload: u64,
    connections: usize,
    kind: Kind,
) -> Case {
    Case { name, title, download, upload, connections, kind }
}

impl Case {
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|case| case.name == name)
    }

    pub fn request(&self) -> Request {
        Request::new(self.download, self.upload, self.kind == Kind::Fresh)
    }

    pub fn has_large_bodies(&self) -> bool {
        self.download.max(self.upload) >= MIB
    }

    pub fn measures_cpu(&self) -> bool {
        matches!(self.kind, Kind::Kept | Kind::Fresh)
    }
}
