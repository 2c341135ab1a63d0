//! What HTTP/2 has in common on both sides, with clients and with endpoints: frames as they pass, and fields in the types of
//! the h2 crate and in ours.

pub mod allowance;
pub mod fields;
pub mod frames;

pub use self::allowance::Allowance;
