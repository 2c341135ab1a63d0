//! What must hold for any input. Each check is a fuzz target, and replays its corpus as a plain test (tests/corpus.rs).
#![allow(dead_code, reason = "each target uses its own")]

pub mod cache_rules;
pub mod chunked_body;
pub mod condition;
pub mod forwarded;
pub mod h2_session;
pub mod hpack;
pub mod path;
pub mod proxy_protocol;
pub mod request_head;
pub mod request_intake;
pub mod response_head;
pub mod response_out;
pub mod settings;
