//! What of the results is worth showing, and together with what.

use crate::cases::{self, Case};
use crate::peers::Peer;
use crate::results::{CaseResult, Results};
use crate::stats::Spread;

/// Cases of CPU time that share tables and a chart.
pub struct Group<'r> {
    pub title: &'static str,
    /// The chart's file.
    pub file: &'static str,
    pub cases: Vec<(Case, &'r CaseResult)>,
}

pub fn groups(results: &Results) -> Vec<Group<'_>> {
    let of = |belongs: fn(&Case) -> bool| {
        measured(results).filter(|(case, _)| case.measures_cpu() && belongs(case)).collect()
    };
    let in_the_clear = of(|case| case.is_h1_in_the_clear() && !case.is_stored());
    let groups = [
        Group { title: "HTTP/1.1 in the clear", file: "cpu.svg", cases: in_the_clear },
        Group { title: "TLS, HTTP/2 and gRPC", file: "tls.svg", cases: of(|case| !case.is_h1_in_the_clear()) },
        Group { title: "From the cache", file: "stored.svg", cases: of(Case::is_stored) },
    ];
    groups.into_iter().filter(|group| !group.cases.is_empty()).collect()
}

impl Group<'_> {
    /// Those that took part, in their usual order.
    pub fn peers(&self) -> Vec<Peer> {
        let mut peers: Vec<Peer> = self.cases.iter().flat_map(|(_, result)| result.peers.keys().copied()).collect();
        peers.sort();
        peers.dedup();
        peers
    }
}

/// Something about memory that is worth a row or a panel.
pub struct Memory<'r> {
    pub title: &'static str,
    pub unit: &'static str,
    result: &'r CaseResult,
    read: fn(&CaseResult, Peer) -> Option<Spread>,
}

impl Memory<'_> {
    /// Those that took part.
    pub fn peers(&self) -> Vec<Peer> {
        self.result.peers.keys().copied().collect()
    }

    pub fn of(&self, peer: Peer) -> Option<Spread> {
        (self.read)(self.result, peer)
    }
}

pub fn memories(results: &Results) -> Vec<Memory<'_>> {
    type Read = fn(&CaseResult, Peer) -> Option<Spread>;
    let wanted: [(&str, &str, &str, Read); 11] = [
        ("128b", "64 busy connections", "MB", CaseResult::pss_mib),
        ("thousand", "1,000 busy connections", "MB", CaseResult::pss_mib),
        ("idle", "2,000 idle connections", "MB", CaseResult::pss_mib),
        ("idle", "an idle connection", "KB", CaseResult::growth_kib),
        ("tls-128b", "64 busy connections of TLS", "MB", CaseResult::pss_mib),
        ("h2-10", "16 busy connections of HTTP/2", "MB", CaseResult::pss_mib),
        ("idle-tls", "10,000 idle connections of TLS", "MB", CaseResult::pss_mib),
        ("idle-tls", "an idle connection of TLS", "KB", CaseResult::growth_kib),
        ("idle-h2", "10,000 idle connections of HTTP/2", "MB", CaseResult::pss_mib),
        ("idle-h2", "an idle connection of HTTP/2", "KB", CaseResult::growth_kib),
        ("slow-readers", "a slow reader of 100 MB, at the peak", "KB", CaseResult::growth_kib),
    ];
    let found = wanted
        .into_iter()
        .filter_map(|(case, title, unit, read)| Some(Memory { title, unit, result: results.case(case)?, read }));
    found.collect()
}

pub fn measured(results: &Results) -> impl Iterator<Item = (Case, &CaseResult)> {
    cases::ALL.into_iter().filter_map(|case| Some((case, results.case(case.name)?)))
}
