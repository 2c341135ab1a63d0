//! Goodput over what is asked, as SVG.

use std::fmt::Write;

use super::Series;

const SIZE: (f64, f64) = (860.0, 420.0);
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 60.0;
const COLOURS: [&str; 3] = ["#9a9a9a", "#00997a", "#4477aa"];
const FONT: &str = "font-family=\"Helvetica, Arial, sans-serif\"";

/// A line for each way.
pub fn goodput(all: &[Series], can: f64) -> String {
    let (width, height) = SIZE;
    let x = |factor: f64| LEFT + (width - LEFT - RIGHT) * factor / 3.0;
    let y = |goodput: f64| height - BOTTOM - (height - TOP - BOTTOM) * goodput / (1.1 * can);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" {FONT}>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut push = |element: std::fmt::Arguments| writeln!(svg, "{element}").expect("memory");
    let text = |x: f64, y: f64, anchor: &str, size: u32, fill: &str, text: &str| {
        format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{fill}\">{text}</text>"
        )
    };
    push(format_args!("{}", text(16.0, 26.0, "start", 17, "#111", "Goodput under overload")));
    let below = format!("answered within 250 ms, a second; an endpoint that can do {can:.0}; higher is better");
    push(format_args!("{}", text(16.0, 44.0, "start", 12, "#666", &below)));
    for part in 0..=4 {
        let goodput = can * f64::from(part) / 4.0;
        push(format_args!("<path d=\"M{LEFT} {0:.1}H{1:.1}\" stroke=\"#e4e4e4\"/>", y(goodput), width - RIGHT));
        push(format_args!("{}", text(LEFT - 8.0, y(goodput) + 4.0, "end", 11, "#444", &format!("{goodput:.0}"))));
    }
    for factor in [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0] {
        push(format_args!("{}", text(x(factor), height - BOTTOM + 18.0, "middle", 11, "#444", &format!("{factor}"))));
    }
    let middle = f64::midpoint(LEFT, width - RIGHT);
    push(format_args!("{}", text(middle, height - 16.0, "middle", 12, "#222", "asked, of what it can do")));
    for (row, (series, colour)) in all.iter().zip(COLOURS).enumerate() {
        let beside = TOP + 20.0 * row as f64;
        push(format_args!("<circle cx=\"{:.1}\" cy=\"{beside:.1}\" r=\"5\" fill=\"{colour}\"/>", width - RIGHT + 20.0));
        push(format_args!("{}", text(width - RIGHT + 32.0, beside + 4.0, "start", 12, "#222", series.name)));
        let points: Vec<(f64, f64)> =
            series.outcomes.iter().map(|outcome| (x(outcome.factor), y(outcome.goodput()))).collect();
        let path: String = points.iter().map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        push(format_args!("<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        for (x, y) in &points {
            push(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
        }
    }
    svg + "</svg>\n"
}
