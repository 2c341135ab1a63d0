//! Clients by the names they give themselves.

mod names;

use std::path::{Path, PathBuf};

use self::names::{Framed, Names};
use super::AgentSettings;
use crate::{
    exchange::Exchange,
    filters::lists,
    http::header,
    settings::{Problem, Problems},
};

/// Who may come, and who may not.
pub struct Agents {
    deny: Names,
    allow: Option<Names>,
}

/// MiB of a list: a hundred thousand names of eighty letters.
const LONGEST_FILE: u64 = 8;

impl Agents {
    /// `None` if nothing is said of anybody, or what is said is wrong.
    pub fn new(settings: &AgentSettings, problems: &mut Problems) -> Option<Self> {
        if *settings == AgentSettings::default() {
            return None;
        }
        let AgentSettings { deny, allow, deny_files, allow_files } = settings;
        let is_closed = !allow.is_empty() || !allow_files.is_empty();
        let deny = list("deny", deny, "deny_files", deny_files, problems);
        let allow = list("allow", allow, "allow_files", allow_files, problems);
        Some(Self { deny: deny?, allow: if is_closed { Some(allow?) } else { None } })
    }

    pub fn may_come(&self, exchange: &Exchange) -> bool {
        let mut names = exchange.headers.get_all(header::USER_AGENT).peekable();
        if names.peek().is_none() {
            return self.allow.is_none();
        }
        names.all(|name| {
            let name = Framed::new(name.as_bytes());
            !self.deny.has(&name) && self.allow.as_ref().is_none_or(|allow| allow.has(&name))
        })
    }
}

/// What is written, and what is in files.
fn list(
    key: &str,
    written: &[String],
    key_of_files: &str,
    files: &[PathBuf],
    problems: &mut Problems,
) -> Option<Names> {
    let before = problems.0.len();
    let mut patterns = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate() {
        match checked(text) {
            Ok(text) => patterns.push(text.to_owned()),
            Err(what) => {
                problems.push(Problem::at(["user_agents", key, &index.to_string()], what).help(A_NAME));
            }
        }
    }
    for (index, path) in files.iter().enumerate() {
        match read(path) {
            Ok(more) => patterns.extend(more),
            Err(what) => {
                problems.push(Problem::at(["user_agents", key_of_files, &index.to_string()], what).help(A_NAME));
            }
        }
    }
    if problems.0.len() > before {
        return None;
    }
    let made = Names::of(&patterns);
    made.map_err(|what| problems.push(Problem::at(["user_agents", key], what).help("fewer or shorter names"))).ok()
}

const A_NAME: &str = "one name a line, such as `*bot*` or `curl/*`; `#` begins a line for people";

fn read(path: &Path) -> Result<Vec<String>, String> {
    lists::read(path, LONGEST_FILE, |line| {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        checked(line).map(|name| Some(name.to_owned())).map_err(str::to_owned)
    })
}

/// No field could have others.
fn checked(name: &str) -> Result<&str, &'static str> {
    if name.chars().any(|letter| letter.is_control() && letter != '\t') {
        Err("a control character is in no name")
    } else {
        Ok(name)
    }
}
