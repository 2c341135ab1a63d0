//! The journey of a request and the handle on it.

pub mod intake;
