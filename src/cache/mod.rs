//! What a shared cache may keep, and what it may answer with (RFC 9111): rules, keys, and what is said of both; and what keeps it: bodies that
//! are read while they come, one fetch for many, stores.
//!
//! Rules do no I/O and ask no clock: times come in, decisions go out.

pub mod codings;
pub mod content;
pub mod entry;
pub mod filling;
pub mod flight;
pub mod key;
pub mod policy;
pub mod purge;
pub mod sliced;
pub mod status;
pub mod store;
mod structured;
#[cfg(test)]
pub(crate) mod testing;
