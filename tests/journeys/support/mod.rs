//! What the journeys are told with. None of it uses the crate's own readers: a test kit must not share its bugs.
#![allow(dead_code, unused_imports, reason = "each journey uses its part")]

pub mod binary;
pub mod browser;
pub mod client;
pub mod dns;
pub mod edge;
pub mod exchange;
pub mod frames;
pub mod grpc;
pub mod h2;
pub mod h2_origin;
pub mod metrics;
pub mod origin;
pub mod pebble;
pub mod peers;
pub mod prometheus;
pub mod proxy;
pub mod scripts;
pub mod seen;
pub mod tls;
pub mod wire;
