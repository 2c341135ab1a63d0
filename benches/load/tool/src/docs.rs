//! Puts the figures of the last full run between the markers of `docs/performance.md`.

use std::path::Path;
use std::{fs, io};

use crate::chart;
use crate::markdown::markdown;
use crate::results::Results;
use crate::shown::{Group, groups};

const BEGIN: &str = "<!-- load: begin -->";
const END: &str = "<!-- load: end -->";

/// `root` is the directory that holds `docs`.
pub fn write(results: &Results, root: &Path) -> io::Result<()> {
    let assets = root.join("docs/assets/load");
    fs::create_dir_all(&assets)?;
    for group in groups(results) {
        fs::write(assets.join(group.file), chart::cpu(&group))?;
    }
    fs::write(assets.join("memory.svg"), chart::memory(results))?;
    let page = root.join("docs/performance.md");
    let text = fs::read_to_string(&page)?;
    fs::write(&page, between_markers(&text, &section(results))?)
}

fn section(results: &Results) -> String {
    let chart = |title: &str, file: &str| format!("![{title}](assets/load/{file})\n\n");
    let cpu = |group: &Group| chart(&format!("CPU time per request: {}", group.title), group.file);
    let charts: String = groups(results).iter().map(cpu).collect();
    format!(
        "{charts}{}{}\n\
         Measured with `benches/load/run --rounds {} --seconds {}` on: {}.\n",
        chart("Memory", "memory.svg"),
        markdown(results),
        results.rounds,
        results.seconds,
        results.machine.line(),
    )
}

fn between_markers(text: &str, section: &str) -> io::Result<String> {
    let missing = || io::Error::other("docs/performance.md has lost its markers");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n\n{section}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");

        let changed = between_markers(&text, "new\n").unwrap();

        assert_eq!(changed, format!("above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"));
        assert_eq!(between_markers(&changed, "new\n").unwrap(), changed);
        assert!(between_markers("no markers", "new").is_err());
    }
}
