//! Folders of stores: there, ours to write to, and each for one store.

use std::{
    fs, io,
    path::{Component, Path, PathBuf, absolute},
};

use indexmap::IndexMap;
use rustix::fs::{Access, access};

use crate::settings::{Problem, Size, StoreSettings};

/// Less is not worth its files.
const SMALLEST: Size = Size::mib(16);

/// Says everything that is wrong with them. Nothing is written: that is for who runs by these settings.
pub fn check(stores: &IndexMap<String, StoreSettings>, problems: &mut Vec<Problem>) {
    let mut known: Vec<(&str, PathBuf)> = Vec::new();
    let disks = stores.iter().filter_map(|(name, store)| Some((name, store.disk.as_ref()?)));
    for (name, disk) in disks {
        let at = |key: &str, what: String| Problem::at(["stores", name, "disk", key], what);
        if disk.size < SMALLEST {
            let what = format!("too little to keep anything: {}", disk.size);
            problems.push(at("size", what).help(format!("{SMALLEST} at least")));
        }
        match place(&disk.path) {
            Ok(path) => {
                let other = known.iter().find(|(_, other)| path.starts_with(other) || other.starts_with(&path));
                if let Some((other, _)) = other {
                    let problem = at("path", "each store needs a folder of its own".to_owned());
                    problems.push(problem.related(["stores", other, "disk", "path"], "the other one"));
                }
                known.push((name, path));
            }
            Err(why) => {
                let problem = at("path", format!("answers cannot be kept there: {why}"));
                problems.push(problem.help("a folder that this user can write to, or make"));
            }
        }
    }
}

/// Where that is, links followed as far as there are any. It, or what it is to be made in, can be written to.
fn place(path: &Path) -> io::Result<PathBuf> {
    if path.as_os_str().is_empty() || path.components().any(|part| part == Component::ParentDir) {
        return Err(io::Error::other("its path has no name, or `..` in it"));
    }
    let path = absolute(path)?;
    let mut there = path.as_path();
    let about = loop {
        match (fs::metadata(there), there.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => there = parent,
            (about, _) => break about?,
        }
    };
    if !about.is_dir() {
        return Err(io::Error::other("there is something else that is no folder"));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK)?;
    let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
    // Joining nothing would end it with a slash.
    Ok(fs::canonicalize(there)?.components().chain(rest.components()).collect())
}
