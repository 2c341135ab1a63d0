//! The figures as text on the terminal: lines of progress, and a table.

use crate::peers::Peer;
use crate::results::{CaseResult, Cpu, Results, Round};
use crate::shown::measured;
use crate::stats::Spread;

pub fn figures(round: &Round) -> String {
    if let Some(failure) = &round.failure {
        return format!("FAILED: {failure}");
    }
    let memory = format!("{:.1} MB", round.pss_kib as f64 / 1024.0);
    let hits = round.hit_ratio.map_or_else(String::new, |ratio| format!(", hit ratio {ratio:.3}"));
    let again =
        round.hit_ratio_again.map_or_else(String::new, |ratio| format!(" ({ratio:.3} of what is asked for again)"));
    let asked = round.asked_for_each.map_or_else(String::new, |times| format!(", asked {times:.1} times"));
    if let Some(cpu) = &round.cpu {
        return format!(
            "{} us ({} user, {} system), {}/s, {memory}{hits}{again}{asked}",
            amount(cpu.total_us()),
            amount(cpu.user_us),
            amount(cpu.system_us),
            amount(cpu.requests_per_second),
        );
    }
    let growth = round.growth_kib_per_connection.unwrap_or_default();
    format!("{} KB per connection, {memory}", amount(growth))
}

/// The table on the terminal: one line for each case and peer.
pub fn table(results: &Results) -> String {
    let mut text = format!(
        "{:<36}{:<19}{:>9}{:>9}{:>10}  {:<20}{:<21}{:<20}{:<20}{:<20}{:<20}{:>10}{:>9}{:>12}{:>7}{:>7}\n",
        "case",
        "peer",
        "user us",
        "sys us",
        "total us",
        "to nginx",
        "to it, same fields",
        "to HAProxy",
        "to Caddy",
        "to Pingora",
        "to the best",
        "req/s",
        "PSS MB",
        "KB/conn",
        "hits",
        "again",
    );
    for (case, result) in measured(results) {
        let mut title = case.title;
        for peer in result.peers.keys().copied() {
            let line = format!(
                "{title:<36}{:<19}{:>9}{:>9}{:>10}  {:<20}{:<21}{:<20}{:<20}{:<20}{:<20}{:>10}{:>9}{:>12}{:>7}{:>7}{}",
                peer.title(),
                median(result.cpu(peer, |cpu| cpu.user_us)),
                median(result.cpu(peer, |cpu| cpu.system_us)),
                median(result.cpu(peer, Cpu::total_us)),
                ratio(result.ratio(peer, Peer::Nginx)),
                ratio(result.ratio(peer, Peer::NginxSame)),
                ratio(result.ratio(peer, Peer::Haproxy)),
                ratio(result.ratio(peer, Peer::Caddy)),
                ratio(result.ratio(peer, Peer::Pingora)),
                ratio(result.best_of(&Peer::RIVALS).and_then(|best| result.ratio(peer, best))),
                median(result.cpu(peer, |cpu| cpu.requests_per_second)),
                median(result.pss_mib(peer)),
                median(result.growth_kib(peer)),
                median(result.hit_ratio(peer)),
                median(result.hit_ratio_again(peer)),
                failures(result, peer),
            );
            text.push_str(line.trim_end());
            text.push('\n');
            title = "";
        }
    }
    text
}

/// What one Aqueduct costs next to another, finer than the table is; nothing where that was not measured.
pub fn variants(results: &Results) -> String {
    let pairs = [
        ("counting costs", Peer::AqueductCounted, Peer::Aqueduct),
        ("the change costs", Peer::Aqueduct, Peer::AqueductBefore),
    ];
    let mut text = String::new();
    for (case, result) in measured(results) {
        for (what, one, other) in pairs {
            let Some(Spread { median, least, most }) = result.ratio(one, other) else { continue };
            let (percent, title) = ((median - 1.0) * 100.0, case.title);
            text.push_str(&format!("{title}: {what} {percent:+.2}% ({median:.4}, {least:.4}-{most:.4})\n"));
        }
    }
    text
}

/// 8.13, 81.3, 813, 81,300.
pub fn amount(value: f64) -> String {
    let size = value.abs();
    if size < 10.0 {
        return format!("{value:.2}");
    }
    if size < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{size:.0}");
    let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

pub fn failures(result: &CaseResult, peer: Peer) -> String {
    match result.failures(peer) {
        0 => String::new(),
        failed => format!("  ({failed} of {} rounds failed)", result.rounds(peer).len()),
    }
}

fn median(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".into(), |spread| amount(spread.median))
}

pub fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".into(), |Spread { median, least, most }| format!("{median:.2} ({least:.2}-{most:.2})"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::Machine;

    fn rounds(of: [f64; 3]) -> Vec<Round> {
        let cpu = |user_us| Cpu { user_us, system_us: 0.0, requests: 1, requests_per_second: 1.0 };
        of.map(|user_us| Round { cpu: Some(cpu(user_us)), ..Round::default() }).into()
    }

    #[test]
    fn what_a_variant_costs_is_told_by_neighbours_in_time() {
        let peers = [
            (Peer::Aqueduct, [10.0, 20.0, 10.0]),
            (Peer::AqueductCounted, [10.05, 20.3, 10.1]),
            (Peer::AqueductBefore, [10.0, 25.0, 10.0]),
        ];
        let peers = peers.map(|(peer, of)| (peer, rounds(of)));
        let both = CaseResult { name: "128b".into(), seconds: None, peers: BTreeMap::from(peers) };
        let peers = BTreeMap::from([(Peer::Aqueduct, rounds([1.0; 3]))]);
        let alone = CaseResult { name: "10k".into(), seconds: None, peers };
        let results = Results { machine: Machine::default(), rounds: 3, seconds: 1.0, cases: vec![both, alone] };

        assert_eq!(
            variants(&results),
            "128 B, 64 connections: counting costs +1.00% (1.0100, 1.0050-1.0150)\n\
             128 B, 64 connections: the change costs +0.00% (1.0000, 0.8000-1.0000)\n"
        );
    }

    #[test]
    fn amounts_keep_three_figures_and_group_thousands() {
        for (value, text) in [
            (0.456, "0.46"),
            (8.134, "8.13"),
            (81.34, "81.3"),
            (813.4, "813"),
            (81_340.0, "81,340"),
            (1_234_567.0, "1,234,567"),
            (-4_096.0, "-4,096"),
        ] {
            assert_eq!(amount(value), text);
        }
    }
}
