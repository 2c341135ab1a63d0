//! Connections kept for the next request: per worker and endpoint, last in first out.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::sync::Semaphore;

/// Limits on the connections to one endpoint.
pub struct Limits {
    /// Idle connections kept per worker.
    pub max_idle: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
    /// How old a connection may get.
    pub lifetime: Duration,
    /// Connections in all, over all workers; a permit each.
    pub total: Arc<Semaphore>,
    /// How many requests may wait for a permit, over all workers.
    pub max_queue: usize,
    /// How many wait now.
    pub queued: AtomicU64,
}
