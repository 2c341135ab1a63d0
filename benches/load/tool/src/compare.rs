//! The rounds: every peer once, then every peer again, so that all see the same moods of the machine.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use crate::cases::Case;
use crate::generator::Generator;
use crate::interrupt::Interrupt;
use crate::measure::Measurement;
use crate::peers::{Peer, Place};
use crate::report::figures;
use crate::results::{CaseResult, Round};
use crate::running::Running;

/// A process lives for so many rounds, so that what luck it has with its memory is not in all of them. What it stores is worth more.
pub const LIFE: usize = 5;

pub struct Comparison {
    pub cases: Vec<Case>,
    pub peers: Vec<Peer>,
    pub rounds: usize,
    pub window: Duration,
    pub place: Place,
    /// The certificate that clients are to see.
    pub shown: CertificateDer<'static>,
    pub interrupt: Interrupt,
}

struct Progress {
    began: Instant,
    done: usize,
    total: usize,
}

impl Comparison {
    pub fn run(self, generator: &mut Generator) -> io::Result<Vec<CaseResult>> {
        let total = self.cases.iter().map(|case| self.peers_of(case).len() * self.rounds).sum();
        let mut progress = Progress { began: Instant::now(), done: 0, total };
        let mut results = Vec::new();
        for case in &self.cases {
            eprintln!("\n{} ({})", case.title, case.name);
            results.push(self.case(case, generator, &mut progress)?);
        }
        Ok(results)
    }

    fn peers_of(&self, case: &Case) -> Vec<Peer> {
        self.peers.iter().copied().filter(|&peer| case.takes(peer)).collect()
    }

    fn case(&self, case: &Case, generator: &mut Generator, progress: &mut Progress) -> io::Result<CaseResult> {
        let all = self.peers_of(case);
        let start = |peer: Peer| peer.start(&self.place, case);
        let mut started: BTreeMap<Peer, io::Result<Running>> = BTreeMap::new();
        let mut peers: BTreeMap<Peer, Vec<Round>> = BTreeMap::new();
        for round in 0..self.rounds {
            let is_new = round == 0 || (round % LIFE == 0 && !case.is_stored());
            for turn in 0..all.len() {
                // Nobody is always the first.
                let peer = all[(round + turn) % all.len()];
                if !case.measures_cpu() {
                    // Memory once taken is seldom given back, and libraries may be shared with another peer:
                    // each round wants a new process, alone.
                    started.clear();
                } else if turn == 0 && is_new {
                    started.clear();
                    started.extend(all.iter().map(|&peer| (peer, start(peer))));
                }
                let running = started.entry(peer).or_insert_with(|| start(peer));
                let outcome = match running {
                    Ok(running) => {
                        let measurement = Measurement::of(case, running, &self.shown, round, is_new);
                        measurement.and_then(|it| it.take(generator, self.window))
                    }
                    Err(error) => Err(io::Error::other(format!("did not start: {error}"))),
                };
                self.interrupt.check()?;
                let measured = outcome.unwrap_or_else(Round::failed);
                progress.tell(round, self.rounds, peer, &measured);
                peers.entry(peer).or_default().push(measured);
            }
        }
        Ok(CaseResult { name: case.name.into(), seconds: None, peers })
    }
}

impl Progress {
    fn tell(&mut self, round: usize, rounds: usize, peer: Peer, measured: &Round) {
        self.done += 1;
        let left = self.total - self.done;
        let time_left = self.began.elapsed() / self.done as u32 * left as u32;
        eprintln!(
            "  round {}/{rounds}  {:<9}  {:<58}  [{}/{}, {} left]",
            round + 1,
            peer.title(),
            figures(measured),
            self.done,
            self.total,
            minutes(time_left),
        );
    }
}

fn minutes(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
