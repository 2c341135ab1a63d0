//! What was measured, as it is kept in `results/`, and what follows from it.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io, mem};

use serde::{Deserialize, Serialize};

use crate::peers::Peer;
use crate::stats::Spread;

#[derive(Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    pub rounds: usize,
    pub seconds: f64,
    pub cases: Vec<CaseResult>,
}

/// Where and with what: figures mean nothing without it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    pub date: String,
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    pub network: String,
    pub versions: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub struct CaseResult {
    pub name: String,
    /// How long one measurement took, where that is not what the whole run says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The n-th round of each peer was measured next to the n-th round of the others.
    pub peers: BTreeMap<Peer, Vec<Round>>,
}

/// One measurement of one peer; a failed one has no figures that count.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Round {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Of the process tree, with all connections open.
    pub pss_kib: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_kib_per_connection: Option<f64>,
    /// How many requests of all the endpoint was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_ratio: Option<f64>,
    /// The same of those for what is asked for more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_ratio_again: Option<f64>,
    /// How often the endpoint was asked for a thing that many wanted at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_for_each: Option<f64>,
}

/// CPU time per request, and what it was divided by.
#[derive(Clone, Serialize, Deserialize)]
pub struct Cpu {
    pub user_us: f64,
    pub system_us: f64,
    pub requests: u64,
    pub requests_per_second: f64,
}

impl Cpu {
    pub fn total_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

impl Round {
    pub fn failed(reason: impl ToString) -> Self {
        Self { failure: Some(reason.to_string()), ..Self::default() }
    }

    fn counts(&self) -> bool {
        self.failure.is_none()
    }

    fn cpu_us(&self) -> Option<f64> {
        self.cpu.as_ref().filter(|_| self.counts()).map(Cpu::total_us)
    }
}

impl CaseResult {
    pub fn rounds(&self, peer: Peer) -> &[Round] {
        self.peers.get(&peer).map_or(&[], Vec::as_slice)
    }

    pub fn failures(&self, peer: Peer) -> usize {
        self.rounds(peer).iter().filter(|round| !round.counts()).count()
    }

    pub fn cpu(&self, peer: Peer, part: impl Fn(&Cpu) -> f64) -> Option<Spread> {
        let good = self.rounds(peer).iter().filter(|round| round.counts());
        Spread::of(good.filter_map(|round| round.cpu.as_ref()).map(part))
    }

    /// The one whose requests took the least CPU time.
    pub fn best_of(&self, peers: &[Peer]) -> Option<Peer> {
        let measured = peers.iter().filter_map(|&peer| Some((peer, self.cpu(peer, Cpu::total_us)?.median)));
        measured.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(peer, _)| peer)
    }

    pub fn pss_mib(&self, peer: Peer) -> Option<Spread> {
        let good = self.rounds(peer).iter().filter(|round| round.counts());
        Spread::of(good.map(|round| round.pss_kib as f64 / 1024.0))
    }

    pub fn growth_kib(&self, peer: Peer) -> Option<Spread> {
        let good = self.rounds(peer).iter().filter(|round| round.counts());
        Spread::of(good.filter_map(|round| round.growth_kib_per_connection))
    }

    pub fn hit_ratio(&self, peer: Peer) -> Option<Spread> {
        let good = self.rounds(peer).iter().filter(|round| round.counts());
        Spread::of(good.filter_map(|round| round.hit_ratio))
    }

    pub fn hit_ratio_again(&self, peer: Peer) -> Option<Spread> {
        let good = self.rounds(peer).iter().filter(|round| round.counts());
        Spread::of(good.filter_map(|round| round.hit_ratio_again))
    }

    pub fn asked_for_each(&self, peer: Peer) -> Option<Spread> {
        let good = self.rounds(peer).iter().filter(|round| round.counts());
        Spread::of(good.filter_map(|round| round.asked_for_each))
    }

    /// Of CPU time per request, round by round: neighbours in time share the machine's mood.
    pub fn ratio(&self, peer: Peer, to: Peer) -> Option<Spread> {
        let pairs = self.rounds(peer).iter().zip(self.rounds(to));
        Spread::of(pairs.filter_map(|(one, other)| Some(one.cpu_us()? / other.cpu_us()?)))
    }
}

impl Results {
    pub fn load(file: &Path) -> io::Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
    }

    pub fn save(&self, file: &Path) -> io::Result<()> {
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(file, serde_json::to_string_pretty(self)? + "\n")
    }

    pub fn case(&self, name: &str) -> Option<&CaseResult> {
        self.cases.iter().find(|case| case.name == name)
    }

    /// Puts the cases of a newer run in the place of their older selves. Peers that took no part in it keep their versions.
    pub fn update(&mut self, newer: Results) {
        let program = |version: &str| version.split(' ').next().map(str::to_owned);
        let newer_programs: Vec<_> = newer.machine.versions.iter().map(|version| program(version)).collect();
        let mut versions = mem::replace(&mut self.machine, newer.machine).versions;
        versions.retain(|version| !newer_programs.contains(&program(version)));
        self.machine.versions.extend(versions);
        for mut case in newer.cases {
            case.seconds = Some(newer.seconds).filter(|seconds| *seconds != self.seconds);
            match self.cases.iter_mut().find(|older| older.name == case.name) {
                Some(older) => *older = case,
                None => self.cases.push(case),
            }
        }
    }

    /// How often each peer was measured, and how long: in all cases, or from the least to the most.
    pub fn effort(&self) -> String {
        let rounds = self.cases.iter().flat_map(|case| case.peers.values()).map(|all| all.len() as f64);
        let seconds = self.cases.iter().map(|case| case.seconds.unwrap_or(self.seconds));
        format!("{} rounds of {} s", from_to(rounds), from_to(seconds))
    }

    pub fn failures(&self) -> usize {
        let of_case = |case: &CaseResult| case.peers.keys().map(|&peer| case.failures(peer)).sum::<usize>();
        self.cases.iter().map(of_case).sum()
    }

    /// All peers that were measured at all, in their usual order.
    pub fn peers(&self) -> Vec<Peer> {
        let mut peers: Vec<Peer> = self.cases.iter().flat_map(|case| case.peers.keys().copied()).collect();
        peers.sort();
        peers.dedup();
        peers
    }
}

/// The least and the most, or the one that all are.
fn from_to(values: impl Iterator<Item = f64>) -> String {
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), one| (one.min(least), one.max(most)));
    match least < most {
        true => format!("{least} to {most}"),
        false => least.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(user_us: f64, system_us: f64) -> Round {
        let cpu = Cpu { user_us, system_us, requests: 1, requests_per_second: 1.0 };
        Round { cpu: Some(cpu), pss_kib: 2048, ..Round::default() }
    }

    fn case(name: &str, nginx: Vec<Round>, aqueduct: Vec<Round>) -> CaseResult {
        let peers = BTreeMap::from([(Peer::Nginx, nginx), (Peer::Aqueduct, aqueduct)]);
        CaseResult { name: name.into(), seconds: None, peers }
    }

    fn run(versions: &[&str], seconds: f64, cases: Vec<CaseResult>) -> Results {
        let versions = versions.iter().map(|version| String::from(*version)).collect();
        Results { machine: Machine { versions, ..Machine::default() }, rounds: 1, seconds, cases }
    }

    #[test]
    fn what_a_newer_run_did_not_measure_is_kept_with_its_version() {
        let rounds = |many| vec![round(1.0, 1.0); many];
        let others = (0..20).map(|number| case(&number.to_string(), rounds(7), rounds(7)));
        let older = [case("128b", rounds(3), rounds(3)), case("10k", rounds(3), rounds(3))].into_iter().chain(others);
        let mut results = run(&["nginx 1.22.1", "Caddy 2.11.7", "Aqueduct 0.1.0"], 1.0, older.collect());

        results.update(run(&["nginx 1.26.0", "Aqueduct 0.1.0"], 0.25, vec![case("128b", rounds(40), rounds(40))]));

        assert_eq!(results.machine.versions, ["nginx 1.26.0", "Aqueduct 0.1.0", "Caddy 2.11.7"]);
        assert_eq!(results.case("128b").unwrap().rounds(Peer::Nginx).len(), 40);
        assert_eq!(results.case("10k").unwrap().rounds(Peer::Nginx).len(), 3);
        assert_eq!(results.effort(), "3 to 40 rounds of 0.25 to 1 s");
    }

    #[test]
    fn what_was_measured_alike_has_one_effort() {
        let results = run(&[], 4.0, vec![case("128b", vec![round(1.0, 1.0); 5], vec![round(1.0, 1.0); 5])]);

        assert_eq!(results.effort(), "5 rounds of 4 s");
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let nginx = vec![round(1.0, 1.0), round(2.0, 2.0), round(1.0, 3.0)];
        let aqueduct = vec![round(0.5, 0.5), round(3.0, 5.0), round(1.0, 2.0)];

        let ratio = case("128b", nginx, aqueduct).ratio(Peer::Aqueduct, Peer::Nginx);

        assert_eq!(ratio, Some(Spread { median: 0.75, least: 0.5, most: 2.0 }));
    }

    #[test]
    fn a_failed_round_takes_no_part() {
        let failed = Round { failure: Some("3 errors".into()), ..round(9.0, 9.0) };
        let case = case("128b", vec![round(1.0, 1.0), round(1.0, 1.0)], vec![failed, round(2.0, 2.0)]);

        assert_eq!(case.failures(Peer::Aqueduct), 1);
        assert_eq!(case.cpu(Peer::Aqueduct, Cpu::total_us).unwrap().most, 4.0);
        assert_eq!(case.ratio(Peer::Aqueduct, Peer::Nginx).unwrap().least, 2.0);
    }

    #[test]
    fn the_best_is_the_cheapest_of_those_that_did_not_fail() {
        let failed = Round { failure: Some("3 errors".into()), ..round(0.1, 0.1) };
        let case = case("128b", vec![failed], vec![round(2.0, 2.0)]);

        assert_eq!(case.best_of(&[Peer::Nginx, Peer::Aqueduct]), Some(Peer::Aqueduct));
        assert_eq!(case.best_of(&[Peer::Nginx, Peer::Caddy]), None);
    }
}
