//! The flags of `benches/scale/run`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Results, Scale, table, write};
use crate::cli::{open_many_files, root};
use crate::cores::{self, Cores};
use crate::generator::Generator;
use crate::interrupt::Interrupt;
use crate::pace;
use crate::peers::{Peer, Place, Programs};
use crate::results::Machine;
use crate::scratch::Scratch;
use crate::tls::Certificate;

#[derive(Args)]
pub struct Flags {
    /// The program to measure.
    #[arg(long, value_name = "PATH")]
    aqueduct: PathBuf,
    /// One of the two.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Sizes up to a thousand, and nothing is kept.
    #[arg(long)]
    quick: bool,
    /// How often peers are measured at a rate.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// How long one measurement takes.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Requests a second while it reloads.
    #[arg(long, value_name = "N", default_value_t = 8_000.0)]
    rate: f64,
    /// The cores of the load and of the proxy; the first and the last if not said.
    #[arg(long, value_name = "LOAD,PROXY", value_parser = Cores::parse)]
    cores: Option<Cores>,
    #[arg(long, hide = true)]
    private_network: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What more of everything costs.
    Growth,
    /// How long clients wait at 30% and 80% of the peak rate, next to nginx and HAProxy.
    Pace,
}

impl Flags {
    pub fn run(self) -> io::Result<()> {
        let interrupt = Interrupt::listen()?;
        let cores = self.cores.map_or_else(Cores::choose, Ok)?;
        open_many_files()?;
        let aqueduct = self.aqueduct.canonicalize()?;
        let programs = Programs { aqueduct: Some(aqueduct.clone()), ..Programs::default() };
        let machine = Machine::describe(&[Peer::Nginx, Peer::Haproxy, Peer::Aqueduct], &programs, self.private_network);
        eprintln!("{}", machine.line());
        cores::pin(cores.load)?;
        let directory = Scratch::create()?;
        let window = Duration::try_from_secs_f64(self.seconds).map_err(io::Error::other)?;
        let parts = |part| self.only.is_none_or(|only| only == part);
        if parts(Part::Growth) {
            let mut generator = Generator::start_anywhere(interrupt.clone(), self.private_network)?;
            let scale = Scale {
                aqueduct,
                directory: directory.path().to_owned(),
                core: cores.proxy,
                load_core: cores.load,
                window,
                rate: self.rate,
                interrupt: interrupt.clone(),
            };
            // Without a network of its own there is one address to be an endpoint at.
            let results = scale.run(&mut generator, self.quick, self.private_network)?;
            println!("\n{}", table(&results));
            self.keep_growth(Results { machine: machine.clone(), flags: self.said(), ..results })?;
        }
        if parts(Part::Pace) {
            let mut generator = Generator::start(interrupt)?;
            let (directory, endpoints) = (directory.path().to_owned(), generator.endpoints());
            let certificate = Certificate::at(&directory);
            let (core, load_core) = (cores.proxy, cores.load);
            let place = Place { directory, core, load_core, endpoints, certificate, programs };
            let results = pace::measure(&mut generator, &place, self.rounds, window)?;
            println!("\n{}", pace::table(&results));
            if !self.quick {
                pace::write(&pace::Results { machine, ..results }, &root())?;
            }
        }
        Ok(())
    }

    fn keep_growth(&self, results: Results) -> io::Result<()> {
        if self.quick || !self.private_network {
            return Ok(());
        }
        results.save(&kept())?;
        write(&results, &root())
    }

    fn said(&self) -> String {
        let seconds = if self.seconds == 2.0 { String::new() } else { format!(" --seconds {}", self.seconds) };
        format!(" --only growth{seconds}")
    }
}

/// Draws the docs anew from what was kept.
pub fn draw() -> io::Result<()> {
    write(&Results::load(&kept())?, &root())
}

fn kept() -> PathBuf {
    let root: &Path = &root();
    root.join("benches/scale/results.json")
}
