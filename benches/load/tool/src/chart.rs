//! The charts of the docs, as SVG.

use std::fmt::Write;

use crate::cases::Case;
use crate::peers::Peer;
use crate::report::amount;
use crate::results::{CaseResult, Results};
use crate::shown::{Group, Memory, memories};
use crate::stats::Spread;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 230.0;
const RIGHT: f64 = 60.0;
const BAR: f64 = 15.0;
const GAP: f64 = 14.0;
const TOP: f64 = 92.0;
/// About as wide as one is at 12 pixels.
const LETTER: f64 = 6.0;
/// What is worse than this ends at the edge of the paper, with its figure beside it.
const MOST_RATIO: f64 = 3.0;
const FONT: &str = "font-family=\"Helvetica, Arial, sans-serif\"";

struct Drawing(String);

/// How values become places on the paper.
struct Scale {
    left: f64,
    width: f64,
    most: f64,
}

/// CPU time per request as a ratio to nginx, a group of bars for each case.
pub fn cpu(group: &Group) -> String {
    let others: Vec<Peer> = group.peers().into_iter().filter(|&peer| peer != Peer::Nginx).collect();
    let cases = &group.cases;
    let ratios = cases.iter().flat_map(|(_, result)| others.iter().filter_map(|&peer| result.ratio(peer, Peer::Nginx)));
    let most = ratios.map(|ratio| ratio.most).fold(1.2, f64::max).min(MOST_RATIO);
    let scale = Scale { left: LABELS, width: WIDTH - LABELS - RIGHT, most: (most * 5.0).ceil() / 5.0 };
    let height = |peers: &[Peer]| BAR * peers.len() as f64 + GAP;
    let rows: Vec<(&Case, &CaseResult, Vec<Peer>)> =
        cases.iter().map(|(case, result)| (case, *result, taking_part(result, &others))).collect();
    let bottom = TOP + rows.iter().map(|(_, _, peers)| height(peers)).sum::<f64>();

    let mut drawing = Drawing::new(bottom + 52.0);
    drawing.title(
        &format!("{}: CPU time per request, nginx = 1", group.title),
        "lower is better; line: where the median is to be, 95%",
    );
    drawing.legend(&others);
    let step = if scale.most > 3.0 { 0.5 } else { 0.2 };
    for mark in 0..=(scale.most / step).round() as usize {
        let value = mark as f64 * step;
        drawing.grid(scale.at(value), TOP - 6.0, bottom, "#e4e4e4");
        drawing.text(scale.at(value), bottom + 16.0, "middle", 11.0, "#444", &format!("{value:.1}"));
    }
    drawing.grid(scale.at(1.0), TOP - 6.0, bottom, "#555");
    drawing.text(scale.at(1.0), TOP - 10.0, "middle", 11.0, "#444", "nginx");
    let middle = scale.left + scale.width / 2.0;
    drawing.text(middle, bottom + 38.0, "middle", 12.0, "#222", "ratio to nginx in the same round");
    let mut top = TOP;
    for (case, result, peers) in &rows {
        let middle = top + BAR * peers.len() as f64 / 2.0 + 4.0;
        drawing.text(LABELS - 10.0, middle, "end", 12.0, "#222", case.title);
        for (index, &peer) in peers.iter().enumerate() {
            let ratio = result.ratio(peer, Peer::Nginx);
            let label = |spread: Spread| format!("{:.2}", spread.median);
            drawing.bar(&scale, top + BAR * index as f64, peer, ratio, label);
        }
        top += height(peers);
    }
    drawing.end()
}

/// Who was not asked to did not fail.
fn taking_part(result: &CaseResult, peers: &[Peer]) -> Vec<Peer> {
    peers.iter().copied().filter(|&peer| !result.rounds(peer).is_empty()).collect()
}

/// Memory, a panel with its own scale for each measure.
pub fn memory(results: &Results) -> String {
    let peers = results.peers();
    let memories = memories(results);
    let height = |memory: &Memory| BAR * memory.peers().len() as f64 + 34.0;
    let bottom = TOP + memories.iter().map(height).sum::<f64>();

    let mut drawing = Drawing::new(bottom + 8.0);
    drawing.title(
        "Memory of the proxy (PSS)",
        "lower is better; each group has its own scale; line: where the median is to be, 95%",
    );
    drawing.legend(&peers);
    let mut top = TOP;
    for memory in &memories {
        let peers = memory.peers();
        let most = peers.iter().filter_map(|&peer| memory.of(peer)).map(|spread| spread.most);
        let most = most.fold(f64::MIN_POSITIVE, f64::max);
        let scale = Scale { left: LABELS, width: WIDTH - LABELS - RIGHT - 40.0, most };
        let middle = top + BAR * peers.len() as f64 / 2.0;
        let (title, rest) = memory.title.split_once(", ").unwrap_or((memory.title, ""));
        drawing.text(LABELS - 10.0, middle, "end", 12.0, "#222", title);
        let below = if rest.is_empty() { memory.unit.into() } else { format!("{rest}, {}", memory.unit) };
        drawing.text(LABELS - 10.0, middle + 15.0, "end", 11.0, "#666", &below);
        drawing.grid(LABELS, top - 4.0, top + BAR * peers.len() as f64 + 4.0, "#999");
        for (index, &peer) in peers.iter().enumerate() {
            let label = |spread: Spread| format!("{} {}", amount(spread.median), memory.unit);
            drawing.bar(&scale, top + BAR * index as f64, peer, memory.of(peer), label);
        }
        top += height(memory);
    }
    drawing.end()
}

fn colour(peer: Peer) -> &'static str {
    match peer {
        Peer::Nginx => "#9a9a9a",
        Peer::NginxSame => "#5d6670",
        Peer::NginxLua => "#778899",
        Peer::Haproxy => "#4477aa",
        Peer::Caddy => "#aa6688",
        Peer::Pingora => "#cc6644",
        Peer::Relay | Peer::RelayUring => "#ccbb44",
        Peer::Varnish => "#4477aa",
        Peer::TrafficServer => "#aa6688",
        Peer::Aqueduct => "#00997a",
        Peer::AqueductBefore => "#b3a1d6",
        Peer::AqueductCounted => "#33ad94",
        Peer::AqueductShared => "#66c2ae",
        Peer::AqueductReusePort => "#006652",
    }
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        self.left + self.width * (value / self.most).clamp(0.0, 1.0)
    }
}

impl Drawing {
    fn new(height: f64) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" {FONT}>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        ))
    }

    fn title(&mut self, title: &str, below: &str) {
        self.text(16.0, 26.0, "start", 17.0, "#111", title);
        self.text(16.0, 44.0, "start", 12.0, "#666", below);
    }

    fn legend(&mut self, peers: &[Peer]) {
        let mut left = LABELS;
        for &peer in peers {
            self.rectangle(left, 54.0, 12.0, 12.0, colour(peer));
            self.text(left + 18.0, 64.0, "start", 12.0, "#222", peer.title());
            left += 40.0 + LETTER * peer.title().len() as f64;
        }
    }

    fn bar(&mut self, scale: &Scale, top: f64, peer: Peer, spread: Option<Spread>, label: impl Fn(Spread) -> String) {
        let middle = top + BAR / 2.0;
        let Some(spread) = spread else {
            self.text(scale.left + 5.0, middle + 4.0, "start", 11.0, "#a00", "failed");
            return;
        };
        let width = scale.at(spread.median) - scale.left;
        self.rectangle(scale.left, top + 1.0, width, BAR - 2.0, colour(peer));
        let (from, to) = (scale.at(spread.least), scale.at(spread.most));
        self.push(format_args!(
            "<path d=\"M{from:.1} {middle:.1}H{to:.1}M{from:.1} {:.1}v6M{to:.1} {:.1}v6\" stroke=\"#222\"/>",
            middle - 3.0,
            middle - 3.0,
        ));
        let after = scale.at(spread.most.max(spread.median)) + 6.0;
        self.text(after, middle + 4.0, "start", 11.0, "#222", &label(spread));
    }

    fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
        ));
    }

    fn grid(&mut self, x: f64, from: f64, to: f64, stroke: &str) {
        self.push(format_args!("<path d=\"M{x:.1} {from:.1}V{to:.1}\" stroke=\"{stroke}\"/>"));
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, size: f64, fill: &str, text: &str) {
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
             fill=\"{fill}\">{text}</text>"
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{element}");
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Round;

    #[test]
    fn only_those_that_were_measured_in_a_case_have_a_bar_there() {
        let round = |of: &str| serde_json::from_str::<Round>(of).unwrap();
        let good = || round(r#"{"pss_kib":1,"cpu":{"user_us":1,"system_us":1,"requests":1,"requests_per_second":1}}"#);
        let result = |name: &str, peers: &[(Peer, Round)]| {
            let peers = peers.iter().map(|(peer, round)| (*peer, vec![round.clone()])).collect();
            CaseResult { name: name.into(), seconds: None, peers }
        };
        let all = result("128b", &[(Peer::Nginx, good()), (Peer::Caddy, good()), (Peer::Haproxy, Round::failed("x"))]);
        let few = result("fresh", &[(Peer::Nginx, good()), (Peer::Haproxy, good())]);
        let cases = vec![(Case::named("128b").unwrap(), &all), (Case::named("fresh").unwrap(), &few)];

        let drawn = cpu(&Group { title: "some", file: "some.svg", cases });

        let bars = |of: Peer| drawn.matches(&format!("fill=\"{}\"", colour(of))).count();
        // One of each is in the legend.
        assert_eq!((bars(Peer::Caddy), bars(Peer::Haproxy)), (2, 2));
        assert_eq!(drawn.matches(">failed<").count(), 1);
    }

    #[test]
    fn what_is_beyond_the_scale_stays_on_the_paper() {
        let scale = Scale { left: 100.0, width: 200.0, most: 2.0 };
        for (value, place) in [(0.0, 100.0), (1.0, 200.0), (9.0, 300.0), (-1.0, 100.0)] {
            assert_eq!(scale.at(value), place);
        }
    }
}
