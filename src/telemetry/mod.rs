//! What the proxy tells of its work.

pub mod access_log;
pub mod line_queue;
pub mod metrics;
pub mod refusals;
pub mod tail;
pub mod time;
