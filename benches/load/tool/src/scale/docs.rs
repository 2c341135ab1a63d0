//! Puts the figures between the markers of `docs/performance.md`.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use super::chart;
use super::results::{Point, Results, Side, together};
use crate::{page, stats};

/// `root` is the directory that holds `docs`.
pub fn write(results: &Results, root: &Path) -> io::Result<()> {
    let assets = root.join("docs/assets/scale");
    fs::create_dir_all(&assets)?;
    fs::write(assets.join("growth.svg"), chart::draw(results))?;
    page::put(root, "scale", &section(results))
}

fn section(results: &Results) -> String {
    format!(
        "![What more of everything costs](assets/scale/growth.svg)\n\n{}\nMeasured with `benches/scale/run{}` on: {}.\n",
        table(results),
        results.flags,
        results.machine.line()
    )
}

/// All of it, as Markdown.
pub fn table(results: &Results) -> String {
    let mut text = String::from(
        "| routes | endpoints | `check`, ms | start, ms | memory, MB | at the peak | user + system, us | reload, ms | p99 before, during, us | longest before, during, us |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for point in results.routes.iter().chain(&results.endpoints).chain(&results.all) {
        row(&mut text, point);
    }
    text.push_str(
        "\n| idle connections | KB each | user + system of one busy connection beside them, us |\n|---|---|---|\n",
    );
    for idle in &results.idle {
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} + {:.2} |",
            idle.connections, idle.kib_each, idle.user_us, idle.system_us
        );
    }
    text.push_str("\n| long connections | shares of two workers |\n|---|---|\n");
    for spread in &results.spread {
        let shares: Vec<String> = spread.shares.iter().map(|share| format!("{:.0}%", share * 100.0)).collect();
        let _ = writeln!(text, "| {} | {} |", spread.connections, shares.join(", "));
    }
    text.push_str(
        "\n| workers, on one core | user + system, us, at the same rate | switches a request |\n|---|---|---|\n",
    );
    for one in &results.workers {
        let _ = writeln!(text, "| {} | {:.2} + {:.2} | {:.2} |", one.workers, one.user_us, one.system_us, one.switches);
    }
    if let Some(stats::Spread { median, least, most }) = together(&results.together) {
        let both = |side: usize, part: fn(&Side) -> f64| {
            stats::Spread::of(results.together.iter().map(|sides| part(&sides[side]))).map_or(f64::NAN, |it| it.median)
        };
        text.push_str(
            "\n| two workers at once, on two cores | CPU, us a request | requests a second |\n|---|---|---|\n",
        );
        for (side, name) in ["two processes of one", "one process of two"].iter().enumerate() {
            let (us, per_second) = (both(side, |it| it.us), both(side, |it| it.per_second));
            let _ = writeln!(text, "| {name} | {us:.2} | {per_second:.0} |");
        }
        let _ = writeln!(
            text,
            "\nTwo workers do {median:.2} times the work of one ({least:.2} to {most:.2} in {} rounds).",
            results.together.len()
        );
    }
    text
}

fn row(text: &mut String, point: &Point) {
    let mb = |kib: u64| kib as f64 / 1024.0;
    let _ = writeln!(
        text,
        "| {} | {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.2} + {:.2} | {:.0} | {:.0}, {:.0} | {:.0}, {:.0} |",
        point.size.routes,
        point.size.endpoints,
        point.check_ms,
        point.start_ms,
        mb(point.pss_kib),
        mb(point.peak_kib),
        point.user_us,
        point.system_us,
        point.reload_ms,
        point.p99_before_us,
        point.p99_during_us,
        point.longest_before_us,
        point.longest_during_us,
    );
}
