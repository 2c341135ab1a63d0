//! The figures as the tables of the docs, in Markdown.

use std::iter::once;

use crate::cases::Kind;
use crate::peers::Peer;
use crate::report::{amount, failures, ratio};
use crate::results::{CaseResult, Cpu, Results};
use crate::shown::{groups, measured, memories};
use crate::stats::Spread;

/// The tables of the docs.
pub fn markdown(results: &Results) -> String {
    let mut text = String::from("CPU time per request, in microseconds: user + system = total\n");
    for group in groups(results) {
        let peers = group.peers();
        text.push('\n');
        heading(&mut text, group.title, peers.iter().map(|peer| peer.title().to_owned()));
        for (case, result) in &group.cases {
            row(&mut text, case.title, peers.iter().map(|&peer| cpu_cell(result, peer)));
        }
    }
    text.push_str("\nRatios of CPU time per request: median (least-most) of same-round ratios\n");
    for group in groups(results) {
        let pairs = ratio_pairs(&group.peers());
        let title = |(one, other): &(Peer, Peer)| format!("{} / {}", one.title(), other.title());
        let best = once("Aqueduct / the best of the others".to_owned());
        text.push('\n');
        heading(&mut text, group.title, pairs.iter().map(title).chain(best));
        for (case, result) in &group.cases {
            let ratios = pairs.iter().map(|&(one, other)| ratio(result.ratio(one, other)));
            row(&mut text, case.title, ratios.chain(once(best_cell(result))));
        }
    }
    text.push_str("\nMemory of the proxy's processes (PSS): median (least-most)\n\n");
    let peers = results.peers();
    heading(&mut text, "", peers.iter().map(|peer| peer.title().to_owned()));
    for memory in memories(results) {
        let cells = peers.iter().map(|&peer| spread(memory.of(peer)));
        row(&mut text, &format!("{}, {}", memory.title, memory.unit), cells);
    }
    text.push_str(&of_the_cache(results));
    text
}

/// What of it is not CPU time.
fn of_the_cache(results: &Results) -> String {
    type Read = fn(&CaseResult, Peer) -> Option<Spread>;
    let again = "The same of those for what is asked for more than once";
    let wanted: [(Kind, &str, Read); 4] = [
        (Kind::Mixed, "Share of requests that were answered from the cache", CaseResult::hit_ratio),
        (Kind::Scanned, "Share of requests that were answered from the cache", CaseResult::hit_ratio),
        (Kind::Scanned, again, CaseResult::hit_ratio_again),
        (Kind::Herd, "How often the endpoint was asked for one thing", CaseResult::asked_for_each),
    ];
    let mut text = String::new();
    for (kind, title, read) in wanted {
        for (case, result) in measured(results).filter(|(case, _)| case.kind == kind) {
            let peers: Vec<Peer> = result.peers.keys().copied().collect();
            text.push_str(&format!("\n{title}: median (least-most)\n\n"));
            heading(&mut text, "", peers.iter().map(|peer| peer.title().to_owned()));
            row(&mut text, case.title, peers.iter().map(|&peer| ratio(read(result, peer))));
        }
    }
    text
}

fn ratio_pairs(peers: &[Peer]) -> Vec<(Peer, Peer)> {
    let to = |other| peers.iter().filter(move |&&peer| peer != other).map(move |&peer| (peer, other));
    let mut pairs = Vec::new();
    if peers.contains(&Peer::Nginx) {
        pairs.extend(to(Peer::Nginx));
    }
    let others = [
        Peer::NginxSame,
        Peer::NginxLua,
        Peer::Haproxy,
        Peer::Caddy,
        Peer::Pingora,
        Peer::Varnish,
        Peer::TrafficServer,
    ];
    for other in others {
        if peers.contains(&other) {
            pairs.extend(to(other).filter(|&(peer, _)| peer == Peer::Aqueduct));
        }
    }
    pairs
}

/// Against whichever of the other proxies was cheapest in the case.
fn best_cell(result: &CaseResult) -> String {
    match result.best_of(&Peer::RIVALS) {
        Some(best) => format!("{}, {}", ratio(result.ratio(Peer::Aqueduct, best)), best.title()),
        None => "-".into(),
    }
}

fn cpu_cell(result: &CaseResult, peer: Peer) -> String {
    let part = |read: fn(&Cpu) -> f64| result.cpu(peer, read).map(|spread| amount(spread.median));
    if result.rounds(peer).is_empty() {
        return "-".into();
    }
    let parts = (part(|cpu| cpu.user_us), part(|cpu| cpu.system_us), part(Cpu::total_us));
    let (Some(user), Some(system), Some(total)) = parts else { return "failed".into() };
    format!("{user} + {system} = **{total}**{}", failures(result, peer))
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
