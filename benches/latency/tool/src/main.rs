//! How long clients wait where one of eight endpoints is slow and another one comes and goes: each balancer, beside HAProxy
//! and nginx. Started by `benches/latency/run`.

mod chart;
mod client;
mod contestants;
mod docs;
mod endpoints;
mod figures;
mod http;
mod proxy;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::contestants::Contestant;
use crate::endpoints::Endpoints;
use crate::figures::{Figures, Results, Samples};
use crate::proxy::Proxy;

/// Measure how long clients wait for each contestant, and draw it into docs/performance.md.
#[derive(Parser)]
#[command(name = "run")]
struct Cli {
    /// The program to measure.
    #[arg(long, value_name = "PATH", default_value = "target/release/aqueduct")]
    aqueduct: PathBuf,
    /// How often each contestant is measured, in turn with the others.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// How long one measurement takes, after a warm-up of four seconds.
    #[arg(long, value_name = "S", default_value_t = 12)]
    seconds: u64,
    /// Requests per second.
    #[arg(long, value_name = "N", default_value_t = 400)]
    rate: u32,
    /// Only those with one of these words in their names; nothing is kept.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    only: Vec<String>,
    /// Draw the docs anew from what was kept.
    #[arg(long)]
    draw: bool,
}

const WARM_UP: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latency: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn run(self) -> io::Result<()> {
        let kept = root().join("benches/latency/results.json");
        if self.draw {
            return docs::write(&Results::load(&kept)?, &root());
        }
        let results = self.measure()?;
        println!("\n{}", docs::table(&results));
        if self.only.is_empty() {
            results.save(&kept)?;
            docs::write(&results, &root())?;
            eprintln!("kept in benches/latency/results.json, drawn in docs/performance.md");
        }
        Ok(())
    }

    fn measure(&self) -> io::Result<Results> {
        let named = |it: &Contestant| self.only.is_empty() || self.only.iter().any(|word| it.name().contains(word));
        let contestants: Vec<Contestant> = contestants::all().into_iter().filter(named).collect();
        let mut samples: Vec<Samples> = contestants.iter().map(|_| Samples::default()).collect();
        let (began, total) = (Instant::now(), self.rounds * contestants.len());
        for done in 0..total {
            // In turn, so that all see the same moods of the machine.
            let place = done % contestants.len();
            let more = self.once(&contestants[place])?;
            let left = began.elapsed() / (done + 1) as u32 * (total - done - 1) as u32;
            let figures = Figures::of(&mut more.clone());
            eprintln!("[{}/{total}, {} s left]  {:<32} {figures}", done + 1, left.as_secs(), contestants[place].name());
            samples[place].add(more);
        }
        let rows = contestants.iter().zip(&mut samples).map(|(it, all)| (it.name(), Figures::of(all)));
        Ok(Results {
            rows: rows.collect(),
            rounds: self.rounds,
            seconds: self.seconds,
            rate: self.rate,
            machine: figures::machine(&self.aqueduct),
        })
    }

    fn once(&self, contestant: &Contestant) -> io::Result<Samples> {
        // The endpoints begin anew, so that the flapping one does so at the same times for everybody.
        let endpoints = Endpoints::start()?;
        let proxy = Proxy::start(contestant, &endpoints.addresses, &self.aqueduct)?;
        client::load(proxy.address, self.rate, WARM_UP)?;
        client::load(proxy.address, self.rate, Duration::from_secs(self.seconds))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}
