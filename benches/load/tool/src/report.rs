//! The figures as text: lines of progress, the table on the terminal, the tables of the docs.

use crate::cases::{self, Case};
use crate::peers::Peer;
use crate::results::{CaseResult, Cpu, Results, Round};
use crate::stats::Spread;

pub fn figures(round: &Round) -> String {
    if let Some(failure) = &round.failure {
        return format!("FAILED: {failure}");
    }
    let memory = format!("{:.1} MB", round.pss_kib as f64 / 1024.0);
    if let Some(cpu) = &round.cpu {
        return format!(
            "{} us ({} user, {} system), {}/s, {memory}",
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
        "{:<34}{:<19}{:>9}{:>9}{:>10}  {:<20}{:<21}{:<20}{:>10}{:>9}{:>12}\n",
        "case",
        "peer",
        "user us",
        "sys us",
        "total us",
        "to nginx",
        "to it, same fields",
        "to HAProxy",
        "req/s",
        "PSS MB",
        "KB/conn",
    );
    for (case, result) in measured(results) {
        let mut title = case.title;
        for peer in result.peers.keys().copied() {
            let line = format!(
                "{title:<34}{:<19}{:>9}{:>9}{:>10}  {:<20}{:<21}{:<20}{:>10}{:>9}{:>12}{}",
                peer.title(),
                median(result.cpu(peer, |cpu| cpu.user_us)),
                median(result.cpu(peer, |cpu| cpu.system_us)),
                median(result.cpu(peer, Cpu::total_us)),
                ratio(result.ratio(peer, Peer::Nginx)),
                ratio(result.ratio(peer, Peer::NginxSame)),
                ratio(result.ratio(peer, Peer::Haproxy)),
                median(result.cpu(peer, |cpu| cpu.requests_per_second)),
                median(result.pss_mib(peer)),
                median(result.growth_kib(peer)),
                failures(result, peer),
            );
            text.push_str(line.trim_end());
            text.push('\n');
            title = "";
        }
    }
    text
}

/// The tables of the docs, in Markdown.
pub fn markdown(results: &Results) -> String {
    let peers = results.peers();
    let mut text = String::from("CPU time per request, in microseconds: user + system = total\n\n");
    heading(&mut text, "case", peers.iter().map(|peer| peer.title().to_owned()));
    for (case, result) in measured(results).filter(|(case, _)| case.measures_cpu()) {
        row(&mut text, case.title, peers.iter().map(|&peer| cpu_cell(result, peer)));
    }

    let pairs = ratio_pairs(&peers);
    text.push_str("\nRatios of CPU time per request: median (least-most) of same-round ratios\n\n");
    let title = |(one, other): &(Peer, Peer)| format!("{} / {}", one.title(), other.title());
    heading(&mut text, "case", pairs.iter().map(title));
    for (case, result) in measured(results).filter(|(case, _)| case.measures_cpu()) {
        row(&mut text, case.title, pairs.iter().map(|&(one, other)| ratio(result.ratio(one, other))));
    }

    text.push_str("\nMemory of the proxy's processes (PSS): median (least-most)\n\n");
    heading(&mut text, "", peers.iter().map(|peer| peer.title().to_owned()));
    for memory in memories(results) {
        let cells = peers.iter().map(|&peer| spread(memory.of(peer)));
        row(&mut text, &format!("{}, {}", memory.title, memory.unit), cells);
    }
    text
}

/// Something about memory that is worth a row or a panel.
pub struct Memory<'r> {
    pub title: &'static str,
    pub unit: &'static str,
    result: &'r CaseResult,
    read: fn(&CaseResult, Peer) -> Option<Spread>,
}

impl Memory<'_> {
    pub fn of(&self, peer: Peer) -> Option<Spread> {
        (self.read)(self.result, peer)
    }
}

pub fn memories(results: &Results) -> Vec<Memory<'_>> {
    type Read = fn(&CaseResult, Peer) -> Option<Spread>;
    let wanted: [(&str, &str, &str, Read); 5] = [
        ("128b", "64 busy connections", "MB", CaseResult::pss_mib),
        ("thousand", "1,000 busy connections", "MB", CaseResult::pss_mib),
        ("idle", "2,000 idle connections", "MB", CaseResult::pss_mib),
        ("idle", "an idle connection", "KB", CaseResult::growth_kib),
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

fn ratio_pairs(peers: &[Peer]) -> Vec<(Peer, Peer)> {
    let to = |other| peers.iter().filter(move |&&peer| peer != other).map(move |&peer| (peer, other));
    let mut pairs = Vec::new();
    if peers.contains(&Peer::Nginx) {
        pairs.extend(to(Peer::Nginx));
    }
    for other in [Peer::NginxSame, Peer::Haproxy] {
        if peers.contains(&other) {
            pairs.extend(to(other).filter(|&(peer, _)| peer == Peer::Aqueduct));
        }
    }
    pairs
}

fn cpu_cell(result: &CaseResult, peer: Peer) -> String {
    let part = |read: fn(&Cpu) -> f64| result.cpu(peer, read).map(|spread| amount(spread.median));
    let parts = (part(|cpu| cpu.user_us), part(|cpu| cpu.system_us), part(Cpu::total_us));
    let (Some(user), Some(system), Some(total)) = parts else { return "failed".into() };
    format!("{user} + {system} = **{total}**{}", failures(result, peer))
}

fn failures(result: &CaseResult, peer: Peer) -> String {
    match result.failures(peer) {
        0 => String::new(),
        failed => format!("  ({failed} of {} rounds failed)", result.rounds(peer).len()),
    }
}

fn median(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".into(), |spread| amount(spread.median))
}

fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".into(), |Spread { median, least, most }| format!("{median:.2} ({least:.2}-{most:.2})"))
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".into(),
        |Spread { median, least, most }| format!("{} ({} to {})", amount(median), amount(least), amount(most)),
    )
}

fn heading(text: &mut String, first: &str, others: impl Iterator<Item = String> + Clone) {
    let columns = others.clone().count();
    row(text, first, others);
    text.push_str(&format!("|---|{}\n", "---|".repeat(columns)));
}

fn row(text: &mut String, first: &str, others: impl Iterator<Item = String>) {
    let cells: Vec<String> = others.collect();
    text.push_str(&format!("| {first} | {} |\n", cells.join(" | ")));
}

#[cfg(test)]
mod tests {
    use super::*;

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
