//! gRPC that is not ours: grpcio's server and client (tests/peers/grpc), each a process of its own.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::wire::patiently;

/// How long one conversation may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// An endpoint that takes every call of the stories, until it is dropped.
pub struct Peer {
    pub address: SocketAddr,
    said: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Peer {
    /// Speaks `h2c`.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Speaks TLS with this pair of files.
    pub async fn start_tls(cert: &str, key: &str) -> Self {
        Self::start_with(&["--cert", cert, "--key", key]).await
    }

    async fn start_with(arguments: &[&str]) -> Self {
        let mut child =
            python("server.py").args(arguments).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("Python runs");
        let said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut peer = Self { address: SocketAddr::from(([0; 4], 0)), said, _child: child };
        let line = peer.says("listening on ").await;
        peer.address = line.trim_start_matches("listening on ").parse().expect("an address");
        peer
    }

    /// The next line that has this in it.
    pub async fn says(&mut self, text: &str) -> String {
        patiently(text, async {
            loop {
                let line = self.said.next_line().await.expect("text");
                let line = line.unwrap_or_else(|| panic!("it ended, and did not say {text}"));
                if line.contains(text) {
                    return line;
                }
            }
        })
        .await
    }
}

/// A client has these conversations, one after the other, with whoever is at this address; panics with what was not as
/// it must be.
pub async fn tell(address: SocketAddr, stories: &[&str]) {
    converse(&[&address.to_string()], stories).await;
}

/// The same over TLS with whoever is known by this authority.
pub async fn tell_over_tls(host: &str, port: u16, ca: &str, stories: &[&str]) {
    converse(&["--ca", ca, &format!("{host}:{port}")], stories).await;
}

/// A client that calls again and again, with one call open all the time.
pub struct Steady {
    client: Child,
    tells_to_end: ChildStdin,
}

impl Steady {
    /// Begins with whoever is at this address.
    pub async fn start(address: SocketAddr) -> Self {
        let mut client = python("client.py")
            .args([&address.to_string(), "steady"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python runs");
        let tells_to_end = client.stdin.take().expect("it is piped");
        Self { client, tells_to_end }
    }

    /// Lets it finish what is under way. How many calls it has made, each of them answered as it must be.
    pub async fn end(self) -> usize {
        drop(self.tells_to_end);
        let told = ended("steady calls", self.client.wait_with_output()).await;
        let count = told.split_whitespace().find_map(|word| word.parse().ok());
        count.unwrap_or_else(|| panic!("no number of calls: {told}"))
    }
}

async fn converse(arguments: &[&str], stories: &[&str]) {
    let client = python("client.py").args(arguments).args(stories).kill_on_drop(true).output();
    ended(&format!("{stories:?}"), client).await;
}

/// What the client says when it has ended; panics if it was not content.
async fn ended(what: &str, client: impl Future<Output = io::Result<Output>>) -> String {
    let output = timeout(PATIENCE, client).await.expect("the conversations end").expect("Python runs");
    let (told, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "of {what} this came to its end: {told}\n{failed}");
    told.into_owned()
}

fn python(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = root.join("target/grpc/bin/python");
    assert!(
        python.exists(),
        "grpcio is not installed: run scripts/test, or\n    python3 -m venv target/grpc && \
         target/grpc/bin/pip install -r tests/peers/grpc/requirements.txt"
    );
    let mut command = Command::new(python);
    // A proxy that the environment names is none of ours.
    command.arg(root.join("tests/peers/grpc").join(script)).env_clear().stdin(Stdio::null());
    command
}
