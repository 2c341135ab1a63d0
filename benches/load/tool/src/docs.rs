//! Puts the figures of the last full run between the markers of `docs/performance.md`.

use std::path::Path;
use std::{fs, io};

use crate::chart;
use crate::markdown::markdown;
use crate::page;
use crate::results::Results;
use crate::shown::{Group, groups};

/// `root` is the directory that holds `docs`.
pub fn write(results: &Results, root: &Path) -> io::Result<()> {
    let assets = root.join("docs/assets/load");
    fs::create_dir_all(&assets)?;
    for group in groups(results) {
        fs::write(assets.join(group.file), chart::cpu(&group))?;
    }
    fs::write(assets.join("memory.svg"), chart::memory(results))?;
    page::put(root, "load", &section(results))
}

fn section(results: &Results) -> String {
    let chart = |title: &str, file: &str| format!("![{title}](assets/load/{file})\n\n");
    let cpu = |group: &Group| chart(&format!("CPU time per request: {}", group.title), group.file);
    let charts: String = groups(results).iter().map(cpu).collect();
    format!(
        "{charts}{}{}\n\
         Measured with `benches/load/run`, {}, on: {}.\n",
        chart("Memory", "memory.svg"),
        markdown(results),
        results.effort(),
        results.machine.line(),
    )
}
