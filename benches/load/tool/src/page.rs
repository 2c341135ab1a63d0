//! The page of the docs that figures are put into, each kind between markers of its own.

use std::path::Path;
use std::{fs, io};

/// Puts a section between the markers of this name. `root` is the directory that holds `docs`.
pub fn put(root: &Path, name: &str, section: &str) -> io::Result<()> {
    let page = root.join("docs/performance.md");
    let text = fs::read_to_string(&page)?;
    fs::write(&page, between_markers(&text, name, section)?)
}

fn between_markers(text: &str, name: &str, section: &str) -> io::Result<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let missing = || io::Error::other(format!("docs/performance.md has lost its markers of {name}"));
    let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n\n{section}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let text = "above\n<!-- a: begin -->\nold\n<!-- a: end -->\nbelow\n";

        let changed = between_markers(text, "a", "new\n").unwrap();

        assert_eq!(changed, "above\n<!-- a: begin -->\n\nnew\n\n<!-- a: end -->\nbelow\n");
        assert_eq!(between_markers(&changed, "a", "new\n").unwrap(), changed);
        assert!(between_markers(text, "b", "new").is_err());
    }
}
