//! The flags of `benches/load/run`, and what follows from them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cases::{self, Case};
use crate::compare::Comparison;
use crate::cores::{self, Cores};
use crate::count::Count;
use crate::generator::Generator;
use crate::interrupt::Interrupt;
use crate::neighbours::{self, Neighbours};
use crate::peers::{Peer, Place, Programs};
use crate::results::{Machine, Results};
use crate::scratch::Scratch;
use crate::tls::Certificate;
use crate::{docs, relay, report, scale};

#[derive(Parser)]
#[command(name = "run", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what a request costs in each peer.
    ///
    /// A run of all cases with all peers is kept in results/latest.json and drawn into
    /// docs/performance.md; any other is kept in results/partial.json only.
    #[command(
        override_usage = "benches/load/run [OPTIONS]\n       benches/load/run --short\n       benches/load/run draw"
    )]
    Compare(Compare),
    /// Draw docs/performance.md anew from results/latest.json.
    Draw,
    /// Count what instructions an exchange takes in Aqueduct, and hold them against what is recorded.
    #[command(override_usage = "benches/instructions/run [--only A,B] [--record]")]
    Count(Count),
    /// Measure what more routes, endpoints, idle connections and workers cost, and how long clients wait.
    #[command(override_usage = "benches/scale/run [OPTIONS]\n       benches/scale/run draw")]
    Scale(scale::cli::Flags),
    /// Draw what more costs anew.
    DrawScale,
    /// Relay TCP connections: the floor of the comparison.
    Relay {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        to: SocketAddr,
    },
}

#[derive(Args)]
struct Compare {
    /// How often each peer is measured in each case.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// How long one measurement takes, after its warm-up.
    #[arg(long, value_name = "S", default_value_t = 4.0)]
    seconds: f64,
    /// The short form: 3 rounds of 1 second, results/partial.json, no docs.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Only these cases.
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = case_named, long_help = cases_help())]
    cases: Vec<Case>,
    /// Only these peers.
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_enum,
          default_values_t = Peer::USUAL)]
    peers: Vec<Peer>,
    /// The program to measure, instead of a fresh release build.
    #[arg(long, value_name = "PATH")]
    aqueduct: Option<PathBuf>,
    /// Another build of it, measured in turn with this one: the peer aqueduct-before.
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// Where Caddy is.
    #[arg(long, value_name = "PATH")]
    caddy: Option<PathBuf>,
    /// The proxy of benches/load/pingora.
    #[arg(long, value_name = "PATH")]
    pingora: Option<PathBuf>,
    /// The relay on io_uring, which benches/io_uring/run builds.
    #[arg(long, value_name = "PATH")]
    relay_uring: Option<PathBuf>,
    /// The cores of the load and of the proxy; the first and the last if not said.
    #[arg(long, value_name = "LOAD,PROXY", value_parser = Cores::parse)]
    cores: Option<Cores>,
    /// Put these cases into results/latest.json and the docs, beside what is there.
    #[arg(long, conflicts_with = "quick")]
    merge: bool,
    /// Fail if a measurement fails.
    #[arg(long)]
    strict: bool,
    #[arg(long, hide = true)]
    private_network: bool,
}

pub fn run() -> io::Result<()> {
    match Cli::parse().command {
        Command::Compare(flags) => flags.compare(),
        Command::Count(flags) => flags.count(),
        Command::Draw => docs::write(&Results::load(&kept("latest.json"))?, &root()),
        Command::Scale(flags) => flags.run(),
        Command::DrawScale => scale::cli::draw(),
        Command::Relay { listen, to } => relay::run(listen, to),
    }
}

impl Compare {
    fn compare(self) -> io::Result<()> {
        let interrupt = Interrupt::listen()?;
        let cores = self.cores.map_or_else(Cores::choose, Ok)?;
        if cores.are_one() {
            eprintln!("note: one core for both the proxy and the load: figures will be rough");
        }
        open_many_files()?;
        let (rounds, seconds) = if self.quick { (3, 1.0) } else { (self.rounds, self.seconds) };
        let cases = if self.cases.is_empty() { cases::ALL.to_vec() } else { self.cases.clone() };
        let found = |program: &Option<PathBuf>| program.as_deref().map(Path::canonicalize).transpose();
        let programs = Programs {
            aqueduct: found(&self.aqueduct)?,
            before: found(&self.before)?,
            caddy: found(&self.caddy)?,
            pingora: found(&self.pingora)?,
            relay_uring: found(&self.relay_uring)?,
        };
        let machine = Machine::describe(&self.peers, &programs, self.private_network);
        eprintln!("{}", machine.line());

        cores::pin(cores.load)?;
        let mut generator = Generator::start(interrupt.clone())?;
        let directory = Scratch::create()?;
        let certificate = Certificate::at(directory.path());
        let shown = certificate.write()?;
        let place = Place {
            directory: directory.path().to_owned(),
            core: cores.proxy,
            load_core: cores.load,
            endpoints: generator.endpoints(),
            certificate,
            programs,
        };
        let window = Duration::try_from_secs_f64(seconds).map_err(io::Error::other)?;
        let peers = self.peers.clone();
        let comparison = Comparison { cases, peers, rounds, window, place, shown, interrupt };
        let neighbours = Neighbours::watch()?;
        let cases = comparison.run(&mut generator)?;
        let others = neighbours.share()?;
        let results = Results { machine, rounds, seconds, cases };
        println!("\n{}{}{}", report::table(&results), report::variants(&results), neighbours::told(others));
        let failed = results.failures();
        if failed > 0 {
            eprintln!("note: {failed} measurements failed and count for nothing; see above why");
        }
        self.keep(results)?;
        match failed {
            1.. if self.strict => Err(io::Error::other("a proxy did not do what it was asked to")),
            _ => Ok(()),
        }
    }

    /// Of all cases, with all who are compared as a rule.
    fn is_full(&self) -> bool {
        !self.quick && self.cases.is_empty() && Peer::USUAL.iter().all(|peer| self.peers.contains(peer))
    }

    fn keep(&self, results: Results) -> io::Result<()> {
        if !self.is_full() && !self.merge {
            results.save(&kept("partial.json"))?;
            eprintln!("kept in benches/load/results/partial.json");
            return Ok(());
        }
        let latest = kept("latest.json");
        let results = match Results::load(&latest) {
            Ok(mut older) if self.merge => {
                older.update(results);
                older
            }
            _ => results,
        };
        results.save(&latest)?;
        docs::write(&results, &root())?;
        eprintln!("kept in benches/load/results/latest.json, drawn in docs/performance.md");
        Ok(())
    }
}

/// Thousands of connections: as many files as the system allows, for us and for what we start.
pub fn open_many_files() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

pub fn case_named(name: &str) -> Result<Case, String> {
    Case::named(name).ok_or_else(|| format!("no such case; there are: {}", names_of_cases()))
}

fn cases_help() -> String {
    format!("Only these cases; all are: {}", names_of_cases())
}

fn names_of_cases() -> String {
    cases::ALL.map(|case| case.name).join(", ")
}

fn kept(file: &str) -> PathBuf {
    root().join("benches/load/results").join(file)
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(words: &[&str]) -> Compare {
        match Cli::parse_from([&["run", "compare"], words].concat()).command {
            Command::Compare(flags) => flags,
            _ => unreachable!("it was asked for"),
        }
    }

    #[test]
    fn a_run_without_flags_is_kept_and_one_of_a_few_is_not() {
        for (words, full) in [
            (&[][..], true),
            (&["--rounds", "1"], true),
            (&["--quick"], false),
            (&["--cases", "128b"], false),
            (&["--peers", "nginx,aqueduct"], false),
        ] {
            assert_eq!(compare(words).is_full(), full, "{words:?}");
        }
    }
}
