//! Files of users, as Apache's `htpasswd` writes them: `NAME:HASH`, one a line.

use std::{collections::HashMap, fs, path::Path};

use super::hash::Hash;
use crate::settings::{Problem, Problems};

const HELP: &str = "`htpasswd -B FILE NAME` writes one with bcrypt; argon2 and sha-crypt ($5$, $6$) will do, too";
/// As long as everything that names or proves somebody may be.
pub const LONGEST: usize = 512;

/// Everybody who may come in, and how it is proved.
pub struct Users(HashMap<String, Hash>);

impl Users {
    /// Reads the file.
    ///
    /// # Errors
    /// Each line that will not do. None is shown, only what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let file = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| Problem::at(["users"], format!("cannot read {file}: {error}")).help(HELP))?;
        let (mut users, mut problems) = (HashMap::new(), Problems::default());
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end())) {
            if line.trim_start().is_empty() || line.starts_with('#') {
                continue;
            }
            match parse(line) {
                Ok((name, _)) if users.contains_key(name) => {
                    problems.push(problem(path, number, &format!("`{}` is there twice", name.escape_debug())));
                }
                Ok((name, hash)) => drop(users.insert(name.to_owned(), hash)),
                Err(what) => problems.push(problem(path, number, &what)),
            }
        }
        if users.is_empty() && problems.is_empty() {
            problems.push(Problem::at(["users"], format!("{file} names nobody")).help(HELP));
        }
        problems.none_or(Self(users))
    }

    /// The hash of this user's password.
    pub fn hash(&self, name: &str) -> Option<&Hash> {
        self.0.get(name)
    }

    /// One of all hashes, the same for the same number.
    pub fn any(&self, number: usize) -> Option<&Hash> {
        self.0.values().nth(number % self.0.len())
    }
}

fn problem(path: &Path, line: usize, what: &str) -> Problem {
    Problem::at(["users"], format!("{}:{line}: {what}", path.display())).help(HELP)
}

fn parse(line: &str) -> Result<(&str, Hash), String> {
    let Some((name, hash)) = line.split_once(':') else { return Err("has no `:` between name and hash".into()) };
    if name.is_empty() || name.len() > LONGEST || name.contains(char::is_control) {
        return Err("the name is empty, too long or has control characters".into());
    }
    let hash = Hash::parse(hash).map_err(|what| format!("the hash of `{}` {what}", name.escape_debug()))?;
    Ok((name, hash))
}
