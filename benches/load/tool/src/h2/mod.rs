//! As much HTTP/2 as the load speaks (RFC 9113): frames, and blocks of fields that are written once for all requests.

mod client;
mod fields;
mod frames;
mod grpc;

pub use client::{Ask, H2Client};
pub use grpc::Echo;
