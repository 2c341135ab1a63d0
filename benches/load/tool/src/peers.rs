//! The proxies that are compared: how each is set up, started on its core, and ended.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::settings::{Tells, haproxy, nginx};
use crate::{account, cores, socket};

const START_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    Nginx,
    /// nginx that tells the endpoint what Aqueduct tells it.
    NginxSame,
    Haproxy,
    Relay,
    Aqueduct,
}

/// What a peer needs to know to start.
pub struct Place {
    /// A directory of this comparison's own, for settings and logs.
    pub directory: PathBuf,
    pub core: usize,
    pub backend: SocketAddr,
    pub aqueduct: Option<PathBuf>,
    /// Bodies of a megabyte and more: nginx gets larger buffers for them.
    pub large_bodies: bool,
}

pub struct Running {
    pub address: SocketAddr,
    child: Child,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxSame => "nginx-same",
            Self::Haproxy => "haproxy",
            Self::Relay => "relay",
            Self::Aqueduct => "aqueduct",
        }
    }

    /// As it calls itself in a table or a chart.
    pub fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxSame => "nginx, same fields",
            Self::Haproxy => "HAProxy",
            Self::Relay => "TCP relay",
            Self::Aqueduct => "Aqueduct",
        }
    }

    /// The version it prints, or `None` if there is none to print.
    pub fn version(self, aqueduct: Option<&Path>) -> Option<String> {
        let mut command = match self {
            Self::Nginx => command_with("nginx", &["-v"]),
            Self::Haproxy => command_with("haproxy", &["-v"]),
            Self::Aqueduct => command_with(aqueduct?, &["--version"]),
            Self::NginxSame | Self::Relay => return None,
        };
        let output = command.output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let version = said.split_ascii_whitespace().find_map(|word| {
            let number = word.rsplit('/').next().filter(|text| text.contains('.'))?;
            number.starts_with(|first: char| first.is_ascii_digit()).then(|| number.to_owned())
        })?;
        Some(format!("{} {version}", self.title()))
    }

    /// Starts it on its core and waits until it listens.
    pub fn start(self, place: &Place) -> io::Result<Running> {
        let address = socket::loopback(socket::free_port()?);
        let directory = place.directory.join(self.name());
        fs::create_dir_all(&directory)?;
        let log = File::create(directory.join("output.log"))?;
        let mut command = self.command(address, place, &directory)?;
        command
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C reaches the comparison, which then ends its peers in order.
            .process_group(0);
        let child = cores::on(place.core, || command.spawn())?;
        let mut running = Running { address, child };
        running.wait_until_it_listens().map_err(|error| {
            let log = fs::read_to_string(directory.join("output.log")).unwrap_or_default();
            io::Error::other(format!("{error}; its output ends: {:?}", last_line(&log)))
        })?;
        Ok(running)
    }

    fn command(self, listen: SocketAddr, place: &Place, directory: &Path) -> io::Result<Command> {
        let settings = directory.join("settings");
        let backend = place.backend;
        match self {
            Self::Nginx | Self::NginxSame => {
                let tells = if self == Self::Nginx { Tells::ForwardedFor } else { Tells::AsAqueduct };
                fs::write(&settings, nginx(listen, backend, directory, place.large_bodies, tells))?;
                let mut command = Command::new("nginx");
                command.arg("-p").arg(directory).arg("-c").arg(&settings);
                // The built-in error log would be written before the settings are read.
                command.arg("-e").arg(directory.join("error.log"));
                Ok(command)
            }
            Self::Haproxy => {
                fs::write(&settings, haproxy(listen, backend))?;
                let mut command = command_with("haproxy", &["-db", "-f"]);
                command.arg(&settings);
                Ok(command)
            }
            Self::Relay => {
                let (listen, to) = (listen.to_string(), backend.to_string());
                let words = ["relay", "--listen", &listen, "--to", &to];
                Ok(command_with(std::env::current_exe()?, &words))
            }
            Self::Aqueduct => {
                let program = place.aqueduct.as_ref();
                let program = program.ok_or_else(|| io::Error::other("no program was built"))?;
                let (listen, route) = (listen.to_string(), format!("/=http://{backend}"));
                let words = ["run", "--listen", &listen, "--route", &route];
                let mut command = command_with(program, &words);
                for (name, _) in std::env::vars_os() {
                    if name.to_string_lossy().starts_with("AQUEDUCT__") {
                        command.env_remove(name);
                    }
                }
                command.env("AQUEDUCT__SERVER__WORKERS", "1");
                Ok(command)
            }
        }
    }
}

impl Running {
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}")));
            }
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            thread::sleep(GLANCE);
        }
        Err(io::Error::other(format!("it did not listen within {START_LIMIT:?}")))
    }

    fn has_ended_within(&mut self, limit: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < limit {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            thread::sleep(GLANCE);
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let family = account::family(self.process()).unwrap_or_default();
        signal(self.process(), Signal::TERM);
        if self.has_ended_within(STOP_LIMIT) {
            return;
        }
        for process in family {
            signal(process, Signal::KILL);
        }
        // Nothing is left to do about a process that survives this.
        let _ = self.child.wait();
    }
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(process, signal);
    }
}

fn command_with(program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

fn last_line(text: &str) -> &str {
    text.lines().next_back().unwrap_or("")
}
