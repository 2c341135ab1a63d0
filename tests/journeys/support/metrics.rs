//! What a proxy tells of itself, for Prometheus.

use std::{net::SocketAddr, path::Path};

use super::{
    binary::{Binary, write},
    client,
    wire::patiently,
};

/// A listener without TLS.
pub const CLEAR: &str = "listen = [\"127.0.0.1:0\"]\n";

/// A proxy with these routes and upstreams, and where it is asked for metrics.
pub async fn proxy(folder: &Path, more: &str) -> (Binary, SocketAddr) {
    settings(folder, more);
    Binary::with_operators(folder).await
}

pub fn settings(folder: &Path, more: &str) {
    let common = "admin.listen = \"127.0.0.1:0\"\nserver.watch = false\n";
    write(folder, "edge.toml", format!("{common}{more}"));
}

pub async fn metrics(admin: SocketAddr) -> String {
    let answer = client::get(admin, "/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.text()
}

/// What stands behind this name with these labels.
pub fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}

/// Waits until it is this: who counts does so when the client has everything.
pub async fn says(admin: SocketAddr, series: &str, wanted: f64) {
    patiently(series, async { while value(&metrics(admin).await, series) != Some(wanted) {} }).await;
}
