//! What more of everything costs: routes, endpoints, idle connections, workers; and what a reload of it does to requests. Started by
//! `benches/scale/run`.

mod chart;
pub mod cli;
mod docs;
mod point;
mod results;
mod settings;
mod workers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::cases::SMALL;
use crate::crowd::Crowd;
use crate::generator::Generator;
use crate::h1::Request;
use crate::interrupt::Interrupt;
use crate::running::Running;
use crate::socket;
use crate::wire::Target;

pub use docs::{table, write};
pub use point::failed;
pub use results::Results;
use settings::{Size, settings};

/// One dimension at a time, and all of it.
const ROUTES: [usize; 4] = [10, 1_000, 10_000, 100_000];
const ENDPOINTS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
const ALL: Size = Size { routes: 100_000, endpoints: 10_000, upstreams: 1_000 };
const IDLE: [usize; 3] = [10, 1_000, 10_000];
/// Until it answers the first request.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Long enough to give back what a start has taken for the time being.
const SETTLING: Duration = Duration::from_secs(2);

/// Where it is measured, and with what.
pub struct Scale {
    pub aqueduct: PathBuf,
    pub directory: PathBuf,
    pub core: usize,
    pub load_core: usize,
    pub window: Duration,
    /// Requests a second while it reloads.
    pub rate: f64,
    pub interrupt: Interrupt,
}

impl Scale {
    /// `quick` leaves the largest out, and one address for all endpoints those that need several.
    pub fn run(&self, generator: &mut Generator, quick: bool, has_addresses: bool) -> io::Result<Results> {
        let most = if quick { 1_000 } else { usize::MAX };
        let sizes = |all: &[usize]| all.iter().copied().filter(|size| *size <= most).collect::<Vec<_>>();
        let mut results = Results::default();
        for routes in sizes(&ROUTES) {
            results.routes.push(self.point(generator, Size { routes, endpoints: 1, upstreams: 1 })?);
        }
        for endpoints in sizes(&ENDPOINTS).into_iter().filter(|_| has_addresses) {
            results.endpoints.push(self.point(generator, Size { routes: 10, endpoints, upstreams: 1 })?);
        }
        if !quick && has_addresses {
            results.all = Some(self.point(generator, ALL)?);
        }
        results.idle = self.idle(generator, &sizes(&IDLE))?;
        results.spread = self.spread(generator)?;
        results.workers = self.workers(generator)?;
        results.together = self.together(generator)?;
        Ok(results)
    }

    /// Writes settings, and where they are.
    fn write(
        &self,
        size: Size,
        listen: SocketAddr,
        endpoint: SocketAddr,
        workers: usize,
        edition: usize,
    ) -> io::Result<PathBuf> {
        let file = self.directory.join("scale.toml");
        fs::write(&file, settings(size, listen, endpoint, workers, edition))?;
        Ok(file)
    }

    fn command(&self, word: &str, file: &Path) -> Command {
        let mut command = Command::new(&self.aqueduct);
        command.env_clear().args([word, "--settings"]).arg(file);
        command
    }

    /// Starts it, and says how long it took to the first answer.
    fn start(&self, file: &Path, address: SocketAddr) -> io::Result<(Running, Duration)> {
        let began = Instant::now();
        let mut running = Running::spawn(self.command("run", file), address, self.core, &self.directory)?;
        while !is_up(address) {
            self.interrupt.check()?;
            running.is_alive()?;
            if began.elapsed() > START_LIMIT {
                return Err(io::Error::other(format!("no answer within {START_LIMIT:?}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok((running, began.elapsed()))
    }

    fn started(&self, size: Size, endpoint: SocketAddr, workers: usize) -> io::Result<Running> {
        let address = socket::loopback(socket::free_port()?);
        let file = self.write(size, address, endpoint, workers, 0)?;
        Ok(self.start(&file, address)?.0)
    }

    fn crowd(&self, clients: usize, running: &Running) -> Crowd {
        let target = Target { address: running.address, tls: None };
        Crowd::of_h1(clients, &Request::new(SMALL, 0, false).by_all(), &target)
    }
}

/// Whether a request is answered; with what it answers itself.
fn is_up(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let ask = || {
        let mut socket = std::net::TcpStream::connect(address)?;
        socket.write_all(b"GET /up HTTP/1.1\r\nHost: up\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        socket.read_exact(&mut answer)?;
        io::Result::Ok(answer)
    };
    matches!(ask(), Ok(answer) if answer.ends_with(b" 200"))
}
