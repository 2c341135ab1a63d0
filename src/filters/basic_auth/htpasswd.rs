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

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm";
    const OTHER: &str = "$5$saltstring$9JBjAeLRHX/Lm/1Njo98nbLiUsNRFEuARumLKkxJMm7";

    fn read(text: impl AsRef<[u8]>) -> Result<Users, Problems> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("a file");
        Users::read(file.path())
    }

    /// The numbers of its lines that will not do, and why.
    fn told(text: &str) -> Vec<String> {
        let Err(Problems(problems)) = read(text) else { panic!("{text:?} is taken") };
        let told = problems.into_iter().map(|problem| {
            assert_eq!(problem.key, ["users"]);
            let (_file, line) = problem.what.split_once(':').expect("the file and the line");
            line.to_owned()
        });
        told.collect()
    }

    #[test]
    fn a_file_is_read_as_people_and_htpasswd_write_it() {
        let file = [
            "# staff",
            "",
            &format!("alice:{HASH}"),
            "   ",
            "#bob:not yet",
            &format!("carol:{OTHER}\r"),
            &format!("zo\u{eb}:{HASH}  "),
            &format!("dave and erin:{HASH}\t"),
            &format!(" frank:{HASH}"),
            &format!("grace:{HASH}"),
        ]
        .join("\n");

        let users = read(file).unwrap_or_else(|problems| panic!("{problems}"));

        for name in ["alice", "carol", "zo\u{eb}", "dave and erin", " frank", "grace"] {
            let hash = users.hash(name).unwrap_or_else(|| panic!("{name} is not known"));
            assert!(hash.is_of(b"hunter2"), "{name}");
        }
        for name in ["", "bob", "#bob", "# staff", "Alice", "frank", "zoe", "carol\r"] {
            assert!(users.hash(name).is_none(), "{name} is known");
        }
    }

    #[test]
    fn what_will_not_do_is_told_by_its_line() {
        let file = format!(
            "alice:{HASH}\nhunter2\n:{HASH}\nbob\u{1}:{HASH}\n{}:{HASH}\nalice:{OTHER}\ncarol:{{SHA}}x\ndave:\nerin:a:{HASH}\n",
            "x".repeat(LONGEST + 1)
        );

        let told = told(&file);

        for (told, (line, expected)) in told.iter().zip([
            (2, "no `:`"),
            (3, "the name is empty"),
            (4, "control characters"),
            (5, "too long"),
            (6, "`alice` is there twice"),
            (7, "`carol` is SHA-1"),
            (8, "`dave` is no hash"),
            // A name has no colon: what stands behind the first one is the hash.
            (9, "`erin` is no hash"),
        ]) {
            assert!(told.starts_with(&format!("{line}: ")) && told.contains(expected), "{line} {expected}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        assert_eq!(told.len(), 8);
    }

    #[test]
    fn a_file_of_nobody_is_a_mistake() {
        for (text, expected) in [("", "names nobody"), ("# nobody yet\n\n", "names nobody")] {
            let Err(Problems(problems)) = read(text) else { panic!("{text:?} is taken") };
            assert!(problems[0].what.contains(expected), "{}", problems[0].what);
        }
        assert!(read(b"alice:\xff\n").is_err(), "names are in UTF-8");
        assert!(Users::read(Path::new("no/such.htpasswd")).is_err());
    }
}
