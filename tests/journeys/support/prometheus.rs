//! Prometheus itself, which asks a proxy for its metrics.

use std::{fs, net::SocketAddr, process::Stdio};

use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

use super::{
    client::{self, loopback},
    wire::patiently,
};

/// It, until it is dropped.
pub struct Prometheus {
    address: SocketAddr,
    _folder: tempfile::TempDir,
    _running: Child,
}

impl Prometheus {
    /// Asks at this address, ten times a second.
    pub async fn scraping(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = format!(
            "global: {{ scrape_interval: 100ms, scrape_timeout: 100ms }}\n\
             scrape_configs: [{{ job_name: aqueduct, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), settings).expect("a file");
        let address = SocketAddr::from((loopback(), 9090));
        let running = Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("scripts/test installs prometheus");
        let listens = async { while tokio::net::TcpStream::connect(address).await.is_err() {} };
        patiently("prometheus", listens).await;
        Self { address, _folder: folder, _running: running }
    }

    /// The only value that this asks for, if there is one yet.
    pub async fn value(&self, query: &str) -> Option<f64> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = client::get(self.address, &format!("/api/v1/query?query={query}")).await;
        let answer: Value = serde_json::from_str(&answer.text()).ok()?;
        match &answer["data"]["result"].as_array()?[..] {
            [one] => one["value"][1].as_str()?.parse().ok(),
            _ => None,
        }
    }

    /// Waits until it is this.
    pub async fn says(&self, query: &str, value: f64) {
        patiently(query, async { while self.value(query).await != Some(value) {} }).await;
    }
}

/// What `promtool check metrics` has to say about them; nothing if they are good.
pub async fn found_wrong_with(metrics: &str) -> String {
    let mut checking = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scripts/test installs prometheus");
    let mut input = checking.stdin.take().expect("it is piped");
    input.write_all(metrics.as_bytes()).await.expect("it reads");
    drop(input);
    let checked = checking.wait_with_output().await.expect("it ends");
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if checked.status.success() { said } else { format!("{}: {said}", checked.status) }
}
