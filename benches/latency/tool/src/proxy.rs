//! A proxy as a process, until it is dropped.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::contestants::Contestant;

const START_LIMIT: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(20);

pub struct Proxy {
    pub address: SocketAddr,
    child: Child,
    directory: PathBuf,
}

impl Proxy {
    /// Waits until it listens.
    pub fn start(contestant: &Contestant, endpoints: &[SocketAddr], aqueduct: &Path) -> io::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let directory = std::env::temp_dir().join(format!("aqueduct-latency-{}", process::id()));
        fs::create_dir_all(&directory)?;
        let settings = directory.join("settings.toml");
        fs::write(&settings, contestant.settings(address, endpoints, &directory))?;
        let log = File::create(directory.join("output.log"))?;
        let mut command = match contestant {
            Contestant::Nginx => {
                let mut command = Command::new("nginx");
                command.arg("-p").arg(&directory).arg("-e").arg(directory.join("error.log")).arg("-c").arg(&settings);
                command
            }
            Contestant::Haproxy { .. } => {
                let mut command = Command::new("haproxy");
                command.args(["-db", "-f"]).arg(&settings);
                command
            }
            Contestant::Aqueduct(..) => {
                let mut command = Command::new(aqueduct);
                command.env_clear().args(["run", "--settings"]).arg(&settings);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut proxy = Self { address, child: command.spawn()?, directory };
        proxy.wait_until_it_listens()?;
        Ok(proxy)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_LIMIT && self.child.try_wait()?.is_none() {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            thread::sleep(GLANCE);
        }
        let said = fs::read_to_string(self.directory.join("output.log")).unwrap_or_default();
        Err(io::Error::other(format!("a proxy does not start: {said}")))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx and HAProxy end what they have started when they are asked to end.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _asked = Command::new("kill").arg(self.child.id().to_string()).status();
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(GLANCE);
        }
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        let _left_to_the_system = fs::remove_dir_all(&self.directory);
    }
}
