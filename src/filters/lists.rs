//! Files of entries, one a line.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

/// So many bad lines of a file are told.
const MOST_TOLD: usize = 10;

/// What its lines are read as, `None` for those that hold no entry; or everything that is wrong with it. No more than so many
/// MiB are read.
///
/// # Errors
/// In words, with the lines.
pub fn read<T>(
    path: &Path,
    mebibytes: u64,
    mut entry: impl FnMut(&str) -> Result<Option<T>, String>,
) -> Result<Vec<T>, String> {
    let name = path.display();
    let text = bounded(path, mebibytes).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
    let (mut entries, mut told, mut more) = (Vec::new(), Vec::new(), 0);
    for (number, line) in text.lines().enumerate() {
        match entry(line) {
            Ok(entry) => entries.extend(entry),
            Err(what) if told.len() < MOST_TOLD => told.push(format!("line {}: {what}", number + 1)),
            Err(_) => more += 1,
        }
    }
    if told.is_empty() {
        return Ok(entries);
    }
    told.extend((more > 0).then(|| format!("and {more} more")));
    Err(format!("`{name}`, {}", told.join("; ")))
}

fn bounded(path: &Path, mebibytes: u64) -> io::Result<String> {
    let mut text = String::new();
    let most = mebibytes << 20;
    fs::File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {mebibytes} MiB")));
    }
    Ok(text)
}
