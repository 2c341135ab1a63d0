//! How long clients wait at a part of the peak rate, each peer at the same rates: open load, counted from when a request was due.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;
use std::{io, mem};

use serde::{Deserialize, Serialize};

use crate::cases::{Case, SMALL};
use crate::compare::LIFE;
use crate::crowd::Crowd;
use crate::generator::Generator;
use crate::h1::Request;
use crate::page;
use crate::peers::{Peer, Place};
use crate::results::Machine;
use crate::running::Running;
use crate::scale::failed;
use crate::stats::Spread;
use crate::wire::Target;

const PEERS: [Peer; 3] = [Peer::Nginx, Peer::Haproxy, Peer::Aqueduct];
/// Of the peak.
const PARTS: [f64; 2] = [0.3, 0.8];
/// As many as can be under way at once, and those that find the peak.
const CLIENTS: usize = 256;
const BUSY: usize = 64;
const PEAK: Duration = Duration::from_millis(700);

#[derive(Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    pub rounds: usize,
    pub seconds: f64,
    /// The lowest of what the peers can do at most: requests a second.
    pub peak: f64,
    pub rows: Vec<Row>,
}

/// One peer at one rate; each round's figures in microseconds.
#[derive(Serialize, Deserialize)]
pub struct Row {
    pub peer: Peer,
    pub part: f64,
    pub p50: Vec<f64>,
    pub p99: Vec<f64>,
    pub p999: Vec<f64>,
}

/// The peers, as processes.
struct Contest(Vec<Running>);

impl Contest {
    fn begin(place: &Place) -> io::Result<Self> {
        let case = Case::named("128b").expect("there is such a case");
        Ok(Self(PEERS.map(|peer| peer.start(place, &case)).into_iter().collect::<io::Result<_>>()?))
    }

    fn crowds(&self, clients: usize) -> Vec<Crowd> {
        let asks = Request::new(SMALL, 0, false).by_all();
        let crowd = |peer: &Running| Crowd::of_h1(clients, &asks, &Target { address: peer.address, tls: None });
        self.0.iter().map(crowd).collect()
    }

    /// With a connection for each.
    fn connected(&self, generator: &mut Generator) -> io::Result<Vec<Crowd>> {
        let mut crowds = self.crowds(CLIENTS);
        for crowd in &mut crowds {
            failed(&generator.once_each(crowd)?)?;
        }
        Ok(crowds)
    }
}

pub fn measure(generator: &mut Generator, place: &Place, rounds: usize, window: Duration) -> io::Result<Results> {
    let mut contest = Contest::begin(place)?;
    let mut peak = f64::MAX;
    for (crowd, peer) in contest.crowds(BUSY).iter_mut().zip(PEERS) {
        failed(&generator.run_for(PEAK / 2, crowd)?)?;
        let tally = generator.run_for(PEAK, crowd)?;
        failed(&tally)?;
        let rate = tally.requests as f64 / tally.elapsed.as_secs_f64();
        eprintln!("  {:<10} {rate:.0} a second at most", peer.title());
        peak = peak.min(rate);
    }
    let mut crowds = contest.connected(generator)?;
    let row = |(part, peer)| Row { peer, part, p50: Vec::new(), p99: Vec::new(), p999: Vec::new() };
    let mut rows: Vec<Row> = PARTS.iter().flat_map(|part| PEERS.map(|peer| (*part, peer))).map(row).collect();
    for round in 0..rounds {
        if round > 0 && round % LIFE == 0 {
            drop(mem::take(&mut crowds));
            contest = Contest::begin(place)?;
            crowds = contest.connected(generator)?;
        }
        for turn in 0..rows.len() {
            // Nobody is always the first.
            let at = (round + turn) % rows.len();
            let row = &mut rows[at];
            let crowd = &mut crowds[at % PEERS.len()];
            let (tally, times) = generator.steadily(peak * row.part, window, crowd, |_| Ok(()))?;
            failed(&tally)?;
            let settled = times.between(window / 10, window);
            for (figures, part) in [(&mut row.p50, 0.5), (&mut row.p99, 0.99), (&mut row.p999, 0.999)] {
                figures.push(settled.at(part));
            }
            eprintln!(
                "  round {}/{rounds}  {:<10} at {:.0}%: p50 {:.0} us, p99 {:.0}, p99.9 {:.0}",
                round + 1,
                row.peer.title(),
                row.part * 100.0,
                settled.at(0.5),
                settled.at(0.99),
                settled.at(0.999)
            );
        }
    }
    Ok(Results { machine: Machine::default(), rounds, seconds: window.as_secs_f64(), peak, rows })
}

/// As Markdown: medians, with where they are to be.
pub fn table(results: &Results) -> String {
    let mut text = String::from("| of the peak | | p50, us | p99, us | p99.9, us |\n|---|---|---|---|---|\n");
    for Row { peer, part, p50, p99, p999 } in &results.rows {
        let figures = [p50, p99, p999].map(|figures| match Spread::of(figures.iter().copied()) {
            Some(Spread { median, least, most }) => format!("{median:.0} ({least:.0}-{most:.0})"),
            None => "-".into(),
        });
        let _ = writeln!(text, "| {:.0}% | {} | {} |", part * 100.0, peer.title(), figures.join(" | "));
    }
    text
}

/// `root` is the directory that holds `docs`.
pub fn write(results: &Results, root: &Path) -> io::Result<()> {
    let section = format!(
        "{}\nThe peak is {:.0} requests a second, the least of what the three can do. Measured with `benches/scale/run --only pace --rounds {} \
         --seconds {}` on: {}.\n",
        table(results),
        results.peak,
        results.rounds,
        results.seconds,
        results.machine.line()
    );
    page::put(root, "pace", &section)
}
