//! Puts the figures between the markers of `docs/performance.md`.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::chart;
use crate::endpoints::{FLAP, SLOW, USUAL};
use crate::figures::{Figures, Results};

const BEGIN: &str = "<!-- latency: begin -->";
const END: &str = "<!-- latency: end -->";
/// What is compared with the better of those of others.
const OURS: &str = "Aqueduct p2c";

/// `root` is the directory that holds `docs`.
pub fn write(results: &Results, root: &Path) -> io::Result<()> {
    fs::write(root.join("docs/assets/latency.svg"), chart::draw(results))?;
    let page = root.join("docs/performance.md");
    let text = fs::read_to_string(&page)?;
    let missing = || io::Error::other("docs/performance.md has lost its markers");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    fs::write(&page, format!("{before}{BEGIN}\n\n{}\n{END}{after}", section(results)))
}

/// A row for each contestant.
pub fn table(results: &Results) -> String {
    let mut table = String::from("| | p50, ms | p99, ms | p99.9, ms | failed |\n|---|---|---|---|---|\n");
    for (name, Figures { p50, p99, p999, requests, failed }) in &results.rows {
        let _ = writeln!(table, "| {name} | {p50:.1} | **{p99:.1}** | {p999:.1} | {failed} of {requests} |");
    }
    table
}

fn section(results: &Results) -> String {
    let Results { rounds, seconds, rate, machine, .. } = results;
    format!(
        "![How long clients wait](assets/latency.svg)\n\n{}\n{}Measured with `benches/latency/run --rounds {rounds} --seconds \
         {seconds} --rate {rate}`: {rate} requests per second; six endpoints answer after {} ms, one after {} ms, one is there for {} s and gone \
         for {} s in turn. {machine}.\n",
        table(results),
        ratio(results).unwrap_or_default(),
        USUAL.as_millis(),
        SLOW.as_millis(),
        FLAP.as_secs(),
        FLAP.as_secs(),
    )
}

fn ratio(results: &Results) -> Option<String> {
    let ours = results.of(OURS)?;
    let others = results.rows.iter().filter(|(name, _)| !name.starts_with("Aqueduct"));
    let (name, best) = others.min_by(|(_, one), (_, other)| one.p99.total_cmp(&other.p99))?;
    Some(format!(
        "The p99 of {name}, the lowest of the others, is {:.1} times that of {OURS}.\n\n",
        best.p99 / ours.p99
    ))
}
