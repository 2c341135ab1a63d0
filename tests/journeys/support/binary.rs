//! The real binary with real files, until it is dropped.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

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
    log: Lines<BufReader<ChildStderr>>,
}

impl Binary {
    /// In this folder.
    pub async fn run(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
            .arg("run")
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary runs");
        let log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut binary = Self { address: SocketAddr::from(([0; 4], 0)), child, log };
        binary.address = binary.says_address("listening on ").await;
        binary
    }

    /// The next line that has this in it.
    pub async fn says(&mut self, text: &str) -> String {
        patiently(text, async {
            loop {
                let line = self.log.next_line().await.expect("text");
                let line = line.unwrap_or_else(|| panic!("it ended, and did not say {text}"));
                if line.contains(text) {
                    return line;
                }
            }
        })
        .await
    }

    /// The next line that has one of these in it.
    pub async fn says_one_of(&mut self, texts: &[&str]) -> String {
        patiently(&texts.join(" or "), async {
            loop {
                let line = self.log.next_line().await.expect("text");
                let line = line.unwrap_or_else(|| panic!("it ended, and said none of {texts:?}"));
                if texts.iter().any(|text| line.contains(text)) {
                    return line;
                }
            }
        })
        .await
    }

    /// The address behind this, in the next line that has it.
    pub async fn says_address(&mut self, text: &str) -> SocketAddr {
        let line = self.says(text).await;
        let (_, address) = line.split_once(text).expect("it is in it");
        address.trim().parse().unwrap_or_else(|_| panic!("no address: {line}"))
    }

    pub fn signal(&self, signal: libc::c_int) {
        let process = self.child.id().expect("it was not waited for").cast_signed();
        // SAFETY: the process was started here and not waited for yet, so the id is its own.
        assert_eq!(unsafe { libc::kill(process, signal) }, 0);
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

/// Writes a file of settings.
pub fn write(folder: &Path, name: &str, text: impl AsRef<str>) {
    fs::write(folder.join(name), text.as_ref()).expect("a file");
}
