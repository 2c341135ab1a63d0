//! gRPC that is not ours: grpcio's server and client (tests/peers/grpc), each a process of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
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
    said: Said,
    child: Child,
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
        let said = Said::of(&mut child);
        let mut peer = Self { address: SocketAddr::from(([0; 4], 0)), said, child };
        let line = peer.says("listening on ").await;
        peer.address = line.trim_start_matches("listening on ").parse().expect("an address");
        peer
    }

    /// The next line that has this in it.
    pub async fn says(&mut self, text: &str) -> String {
        self.said.next(text).await
    }

    /// It takes no more calls, finishes those that it has, and ends; all that is told to it, and not waited for.
    pub async fn stop(&mut self) {
        let id = self.child.id().expect("it was not waited for").cast_signed();
        // SAFETY: the process was started here and not waited for yet, so the id is its own.
        assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
        self.says("takes no more").await;
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) {
        assert!(patiently("its end", self.child.wait()).await.expect("it can be waited for").success());
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
    said: Said,
    tells_to_end: ChildStdin,
    calls: usize,
}

impl Steady {
    /// Begins with whoever is at this address.
    pub async fn start(address: SocketAddr) -> Self {
        let mut client = python("client.py")
            .args([&address.to_string(), "steady"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python runs");
        let tells_to_end = client.stdin.take().expect("it is piped");
        let said = Said::of(&mut client);
        let mut steady = Self { client, said, tells_to_end, calls: 0 };
        steady.makes(1).await;
        steady
    }

    /// Waits until it has made so many more calls.
    pub async fn makes(&mut self, more: usize) {
        let wanted = self.calls + more;
        while self.calls < wanted {
            let line = self.said.next("calls").await;
            self.calls = line.trim_end_matches(" calls").parse().expect("how many calls it has made");
        }
    }

    /// Lets it finish what is under way. How many calls it has made, each of them answered as it must be.
    pub async fn end(mut self) -> usize {
        drop(self.tells_to_end);
        let mut calls = self.calls;
        while let Some(line) = patiently("its end", self.said.0.next_line()).await.expect("text") {
            calls = line.split_whitespace().next().and_then(|count| count.parse().ok()).unwrap_or(calls);
        }
        let status = patiently("its end", self.client.wait()).await.expect("it can be waited for");
        assert!(status.success(), "after {calls} calls: {status}");
        calls
    }
}

/// What a process says on its output.
struct Said(Lines<BufReader<ChildStdout>>);

impl Said {
    fn of(process: &mut Child) -> Self {
        Self(BufReader::new(process.stdout.take().expect("it is piped")).lines())
    }

    /// The next line that has this in it.
    async fn next(&mut self, text: &str) -> String {
        patiently(text, async {
            loop {
                let line = self.0.next_line().await.expect("text");
                let line = line.unwrap_or_else(|| panic!("it ended, and did not say {text}"));
                if line.contains(text) {
                    return line;
                }
            }
        })
        .await
    }
}

async fn converse(arguments: &[&str], stories: &[&str]) {
    let client = python("client.py").args(arguments).args(stories).kill_on_drop(true).output();
    let output = timeout(PATIENCE, client).await.expect("the conversations end").expect("Python runs");
    let (told, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "of {stories:?} this came to its end: {told}\n{failed}");
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
