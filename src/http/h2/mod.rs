//! What HTTP/2 has in common on both sides, with clients and with endpoints: frames as they pass, fields in the types of the
//! h2 crate and in ours, and streams as bytes.

pub mod allowance;
pub mod backlog;
pub mod fields;
pub mod frames;
pub mod pipe;

pub use self::{allowance::Allowance, pipe::Pipe};
