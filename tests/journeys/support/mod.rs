//! What the journeys are told with.
#![allow(dead_code, unused_imports, reason = "each journey uses its part")]

pub mod client;
pub mod origin;
pub mod proxy;
