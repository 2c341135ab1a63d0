//! What a shared cache may keep, and what it may answer with (RFC 9111): rules, keys, and what is said of both.
//!
//! Rules do no I/O and ask no clock: times come in, decisions go out.

pub mod key;
pub mod policy;
pub mod status;
mod structured;
