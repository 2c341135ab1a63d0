//! The real binary with real files, until it is dropped.

use std::{
    collections::VecDeque,
    fs,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use super::{
    client::{self, Client, Response},
    wire::patiently,
};

/// `aqueduct run`, and what it says.
pub struct Binary {
    /// The first address it listens on.
    pub address: SocketAddr,
    child: Child,
    /// The process that serves, and those before it.
    processes: Vec<i32>,
    log: Lines<BufReader<ChildStderr>>,
    /// What it said before an address, and nobody has looked at yet.
    early: VecDeque<String>,
}

impl Binary {
    /// In this folder.
    pub async fn run(folder: &Path, arguments: &[&str]) -> Self {
        Self::run_as(Path::new(env!("CARGO_BIN_EXE_aqueduct")), folder, arguments).await
    }

    /// By `edge.toml` in this folder, and where it answers operators.
    pub async fn with_operators(folder: &Path) -> (Self, SocketAddr) {
        let mut binary = Self::run(folder, &["--settings", "edge.toml"]).await;
        let operators = binary.says_address("telling operators at ").await;
        (binary, operators)
    }

    /// By another path.
    pub async fn run_as(program: &Path, folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.arg("run").args(arguments).current_dir(folder).env_clear();
        Self::start(&mut command).await
    }

    /// As this says.
    pub async fn start(command: &mut Command) -> Self {
        Self::start_with(command.stdin(Stdio::null())).await
    }

    /// The same, and what is at its stdin is said there, too.
    pub async fn start_with(command: &mut Command) -> Self {
        // Whoever takes its place is of its group, and ends with it.
        command.stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().expect("the binary runs");
        let log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let processes = vec![child.id().expect("it was not waited for").cast_signed()];
        let early = VecDeque::new();
        let mut binary = Self { address: SocketAddr::from(([0; 4], 0)), child, processes, log, early };
        binary.address = binary.says_address("listening on ").await;
        binary
    }

    /// The address behind this. What it says before that, by chance or not, is for whoever waits for it.
    pub async fn says_address(&mut self, text: &str) -> SocketAddr {
        let mut early = VecDeque::new();
        let address = patiently(text, async {
            loop {
                let line = self.next_line().await.unwrap_or_else(|| panic!("it ended: {early:?}"));
                match line.split_once(text) {
                    Some((_, address)) => break address.trim().parse().expect("an address"),
                    None => early.push_back(line),
                }
            }
        })
        .await;
        early.append(&mut self.early);
        self.early = early;
        address
    }

    async fn next_line(&mut self) -> Option<String> {
        match self.early.pop_front() {
            Some(line) => Some(line),
            None => self.log.next_line().await.expect("text"),
        }
    }

    /// Another process takes its place.
    pub async fn hand_over(&mut self) {
        self.signal(libc::SIGUSR2);
        let line = self.says("has taken over").await;
        let id = line.split_once("process ").and_then(|(_, rest)| rest.split_once(' '));
        self.processes.push(id.and_then(|(id, _)| id.parse().ok()).expect("its number"));
    }

    /// Waits until the process that was started first has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        patiently("it ends", self.child.wait()).await.expect("it can be waited for")
    }

    /// The next line that has this in it.
    pub async fn says(&mut self, text: &str) -> String {
        patiently(text, async {
            loop {
                let line = self.next_line().await.unwrap_or_else(|| panic!("it ended, and did not say {text}"));
                if line.contains(text) {
                    return line;
                }
            }
        })
        .await
    }

    /// Waits until all of its processes have ended.
    pub async fn says_nothing_more(&mut self) {
        let over = async { while self.next_line().await.is_some() {} };
        patiently("the end of what it says", over).await;
    }

    /// The next line that has one of these in it.
    pub async fn says_one_of(&mut self, texts: &[&str]) -> String {
        patiently(&texts.join(" or "), async {
            loop {
                let line = self.next_line().await.unwrap_or_else(|| panic!("it ended, and said none of {texts:?}"));
                if texts.iter().any(|text| line.contains(text)) {
                    return line;
                }
            }
        })
        .await
    }

    /// What the process that serves has of memory for itself, in KiB, in shares where it is not alone.
    pub fn memory(&self) -> u64 {
        let process = self.processes.last().expect("there is one");
        let told = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("it runs");
        let mut lines = told.lines().filter_map(|line| line.strip_prefix("Pss_Anon:")?.strip_suffix("kB"));
        lines.next().expect("the kernel tells it").trim().parse().expect("a number")
    }

    /// To the process that serves.
    pub fn signal(&self, signal: libc::c_int) {
        kill(*self.processes.last().expect("there is one"), signal);
    }

    /// To the one that was started first.
    pub fn signal_first(&self, signal: libc::c_int) {
        kill(self.processes[0], signal);
    }

    /// Each that has served, in turn.
    pub fn processes(&self) -> &[i32] {
        &self.processes
    }

    /// Has the settings read, and waits until they are in force.
    pub async fn reload(&mut self) -> String {
        self.signal(libc::SIGHUP);
        self.says("is in force").await
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    pub async fn get(&self, path: &str) -> Response {
        client::get(self.address, path).await
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // SAFETY: its group is its own, and has no other processes than those it has started.
        let _all_may_have_ended = unsafe { libc::kill(-self.processes[0], libc::SIGKILL) };
    }
}

fn kill(process: i32, signal: libc::c_int) {
    // SAFETY: the process was started by a test, which has not seen it end yet.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0);
}

/// Writes a file of settings.
pub fn write(folder: &Path, name: &str, text: impl AsRef<str>) {
    fs::write(folder.join(name), text.as_ref()).expect("a file");
}
