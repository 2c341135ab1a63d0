//! The chart of the docs, as SVG: three bars for each contestant, on a scale where each step is ten times the one before.

use std::fmt::Write;

use crate::figures::{Figures, Results};

const WIDTH: f64 = 860.0;
const LABELS: f64 = 240.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 84.0;
const BAR: f64 = 11.0;
const ROW: f64 = 3.0 * BAR + 12.0;
/// In milliseconds.
const LEAST: f64 = 1.0;
const MOST: f64 = 10_000.0;
const COLOURS: [(&str, &str); 3] = [("p50", "#b7d8ce"), ("p99", "#00997a"), ("p99.9", "#5d6670")];
/// Of those that are not ours.
const GREYS: [&str; 3] = ["#d5d5d5", "#8d8d8d", "#5d6670"];

pub fn draw(results: &Results) -> String {
    let bottom = TOP + ROW * results.rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"Helvetica, Arial, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        height = bottom + 46.0
    );
    text(
        &mut svg,
        (16.0, 26.0),
        "start",
        17.0,
        "How long clients wait where one of eight endpoints is slow and one comes and goes",
    );
    text(
        &mut svg,
        (16.0, 44.0),
        "start",
        12.0,
        "lower is better; from when a request was due; above 10 s the client gives up",
    );
    for (place, (name, colour)) in COLOURS.iter().enumerate() {
        let left = LABELS + 80.0 * place as f64;
        rectangle(&mut svg, (left, 54.0), (12.0, 12.0), colour);
        text(&mut svg, (left + 18.0, 64.0), "start", 12.0, name);
    }
    for step in 0..=4 {
        let value = LEAST * 10f64.powi(step);
        let x = place(value);
        let _ = writeln!(svg, "<path d=\"M{x:.1} {:.1}V{bottom:.1}\" stroke=\"#e4e4e4\"/>", TOP - 6.0);
        text(&mut svg, (x, bottom + 16.0), "middle", 11.0, &format!("{value:.0}"));
    }
    text(&mut svg, (place(100.0), bottom + 36.0), "middle", 12.0, "milliseconds");
    for (number, (name, figures)) in results.rows.iter().enumerate() {
        row(&mut svg, TOP + ROW * number as f64, name, figures);
    }
    svg.push_str("</svg>\n");
    svg
}

fn row(svg: &mut String, top: f64, name: &str, figures: &Figures) {
    text(svg, (LABELS - 10.0, top + 1.5 * BAR + 4.0), "end", 12.0, name);
    if figures.failed > 0 {
        let failed = format!("{:.2}% failed", 100.0 * figures.failed as f64 / figures.requests as f64);
        text(svg, (LABELS - 10.0, top + 1.5 * BAR + 17.0), "end", 11.0, &failed);
    }
    let ours = name.starts_with("Aqueduct");
    for (bar, value) in [figures.p50, figures.p99, figures.p999].into_iter().enumerate() {
        let top = top + BAR * bar as f64;
        let colour = if ours { COLOURS[bar].1 } else { GREYS[bar] };
        rectangle(svg, (LABELS, top + 1.0), (place(value) - LABELS, BAR - 2.0), colour);
        text(svg, (place(value) + 6.0, top + BAR - 2.0), "start", 10.0, &format!("{value:.1}"));
    }
}

/// Where a value is on the paper.
fn place(value: f64) -> f64 {
    let part = (value / LEAST).log10() / (MOST / LEAST).log10();
    LABELS + (WIDTH - LABELS - RIGHT) * part.clamp(0.0, 1.0)
}

fn rectangle(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
    let _ =
        writeln!(svg, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>");
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
    fn ten_times_as_long_is_one_step_further_and_nothing_leaves_the_paper() {
        let step = place(10.0) - place(1.0);
        assert!((place(1000.0) - place(100.0) - step).abs() < 1e-9);
        assert_eq!((place(0.1), place(1e9)), (LABELS, WIDTH - RIGHT));
    }
}
