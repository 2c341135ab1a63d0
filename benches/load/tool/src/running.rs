//! A proxy as a process: started on its core, and ended with all it has started.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{account, cores};

/// Enough for one whose instructions are counted, which takes fifty times as long.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const ORDERLY_STOP_LIMIT: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(20);

pub struct Running {
    pub address: SocketAddr,
    child: Child,
    /// What it needs, which ends after it.
    beside: Option<Box<Running>>,
}

impl Running {
    /// Waits until it listens; what it says is in `output.log` of the directory.
    pub fn start(command: Command, address: SocketAddr, core: usize, directory: &Path) -> io::Result<Self> {
        let mut running = Self::spawn(command, address, core, directory)?;
        running.wait_until_it_listens().map_err(|error| {
            let log = fs::read_to_string(directory.join("output.log")).unwrap_or_default();
            io::Error::other(format!("{error}; its output ends: {:?}", last_line(&log)))
        })?;
        Ok(running)
    }

    /// The same without waiting.
    pub fn spawn(mut command: Command, address: SocketAddr, core: usize, directory: &Path) -> io::Result<Self> {
        let log = File::create(directory.join("output.log"))?;
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C reaches the comparison, which then ends its peers in order.
            .process_group(0);
        let child = cores::on(core, || command.spawn())?;
        Ok(Self { address, child, beside: None })
    }

    /// Asks it to read its settings again.
    pub fn hang_up(&self) {
        signal(self.process(), Signal::HUP);
    }

    /// An error if it has ended.
    pub fn is_alive(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(io::Error::other(format!("it ended with {status}"))),
            None => Ok(()),
        }
    }

    pub fn with(mut self, beside: Option<Self>) -> Self {
        self.beside = beside.map(Box::new);
        self
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end by itself, and leave what it writes last.
    pub fn end(mut self) -> io::Result<()> {
        signal(self.process(), Signal::TERM);
        if !self.has_ended_within(ORDERLY_STOP_LIMIT) {
            return Err(io::Error::other(format!("it did not end within {ORDERLY_STOP_LIMIT:?}")));
        }
        let status = self.child.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("it ended with {status}")));
        }
        Ok(())
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_LIMIT {
            self.is_alive()?;
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

fn last_line(text: &str) -> &str {
    text.lines().next_back().unwrap_or("")
}
