//! A program that is measured instead of the proxy that was built with the bench: `aqueduct run`.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

/// It serves until it is dropped.
pub struct Program {
    pub address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Program {
    /// With one worker and these settings, as in a file.
    pub fn start(program: &Path, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let first = "listen = [\"127.0.0.1:0\"]\nserver.workers = 1\nlog.level = \"info,aqueduct::proxy=off\"\n";
        fs::write(folder.path().join("flood.toml"), format!("{first}{text}")).expect("a file");
        let mut command = Command::new(program);
        command.args(["run", "--settings", "flood.toml"]).current_dir(folder.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a program that runs");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.expect("text");
            line.split_once("listening on ").and_then(|(_, address)| address.trim().parse().ok())
        });
        // What it says must go somewhere.
        thread::spawn(move || lines.for_each(drop));
        Self { address: address.expect("it listens"), child, _folder: folder }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _it_may_have_ended = (self.child.kill(), self.child.wait());
    }
}
