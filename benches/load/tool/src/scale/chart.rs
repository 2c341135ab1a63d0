//! What more costs, drawn: two panels, each with the three dimensions. The horizontal scale steps by ten times.

use std::fmt::Write;

use super::results::Results;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 330.0;
const PANEL: f64 = 330.0;
const LEFT: [f64; 2] = [64.0, 496.0];
const TOP: f64 = 100.0;
const BOTTOM: f64 = 270.0;
const MOST: f64 = 100_000.0;
const SERIES: [(&str, &str); 3] = [("routes", "#00997a"), ("endpoints", "#4477aa"), ("idle connections", "#aa6688")];

/// A line through how many there are and what that costs.
type Line = Vec<(f64, f64)>;

pub fn draw(results: &Results) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"Helvetica, Arial, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    text(&mut svg, (16.0, 26.0), "start", 17.0, "What more of everything costs");
    text(&mut svg, (16.0, 44.0), "start", 12.0, "flat is good: one more costs the same however many there are");
    for (place, (name, colour)) in SERIES.iter().enumerate() {
        let left = LEFT[0] + 110.0 * place as f64;
        let _ = writeln!(svg, "<rect x=\"{left:.1}\" y=\"54\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        text(&mut svg, (left + 18.0, 64.0), "start", 12.0, name);
    }
    panel(&mut svg, LEFT[0], "user CPU time of a request, us", &requests(results));
    panel(&mut svg, LEFT[1], "memory of one more, KB", &memory(results));
    svg.push_str("</svg>\n");
    svg
}

fn requests(results: &Results) -> [Line; 3] {
    let routes = results.routes.iter().map(|point| (point.size.routes as f64, point.user_us)).collect();
    let endpoints = results.endpoints.iter().map(|point| (point.size.endpoints as f64, point.user_us)).collect();
    let idle = results.idle.iter().map(|idle| (idle.connections as f64, idle.user_us)).collect();
    [routes, endpoints, idle]
}

fn memory(results: &Results) -> [Line; 3] {
    let kib = |of: &[super::results::Point], many: fn(&super::Size) -> usize| {
        each(of.iter().map(|point| (many(&point.size) as f64, point.pss_kib as f64)).collect())
    };
    let idle = results.idle.iter().map(|idle| (idle.connections as f64, idle.kib_each)).skip(1).collect();
    [kib(&results.routes, |size| size.routes), kib(&results.endpoints, |size| size.endpoints), idle]
}

/// From one size to the next, for each one more.
pub fn each(sizes: Line) -> Line {
    let steps = sizes.windows(2).map(|pair| (pair[1].0, (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0)));
    steps.collect()
}

fn panel(svg: &mut String, left: f64, title: &str, lines: &[Line; 3]) {
    let most = lines.iter().flatten().map(|(_, cost)| *cost).fold(f64::MIN_POSITIVE, f64::max) * 1.15;
    text(svg, (left, TOP - 12.0), "start", 12.0, title);
    for step in 0..=4 {
        let (value, y) = (most * f64::from(step) / 4.0, BOTTOM - (BOTTOM - TOP) * f64::from(step) / 4.0);
        let _ = writeln!(svg, "<path d=\"M{left:.1} {y:.1}h{PANEL}\" stroke=\"#e4e4e4\"/>");
        text(svg, (left - 6.0, y + 4.0), "end", 10.0, &format!("{value:.1}"));
    }
    for power in 1..=5 {
        let many = 10f64.powi(power);
        text(svg, (across(left, many), BOTTOM + 16.0), "middle", 11.0, &format!("{many}"));
    }
    text(svg, (left + PANEL / 2.0, BOTTOM + 36.0), "middle", 12.0, "how many there are");
    for (line, (_, colour)) in lines.iter().zip(SERIES) {
        let places: Vec<(f64, f64)> = line
            .iter()
            .map(|(many, cost)| (across(left, *many), BOTTOM - (BOTTOM - TOP) * (cost.max(0.0) / most)))
            .collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        for (x, y) in places {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}

fn across(left: f64, many: f64) -> f64 {
    left + PANEL * (many / 10.0).log10() / (MOST / 10.0).log10()
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, size: f64, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"#222\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_more_costs_is_the_slope() {
        assert_eq!(each(vec![(10.0, 100.0), (20.0, 120.0), (120.0, 420.0)]), [(20.0, 2.0), (120.0, 3.0)]);
    }
}
