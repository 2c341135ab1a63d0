//! Valgrind's tool that counts instructions, and says of each function how many were its.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::cases::Case;

pub struct Callgrind {
    accounts: PathBuf,
}

impl Callgrind {
    pub fn keeping_accounts_in(accounts: &Path) -> io::Result<Self> {
        fs::create_dir_all(accounts)?;
        Ok(Self { accounts: accounts.canonicalize()? })
    }

    pub fn account_of(&self, kind: &Case) -> PathBuf {
        self.accounts.join(format!("{}.callgrind", kind.name))
    }

    /// The same command under it.
    pub fn counts(&self, command: &Command, account: &Path) -> Command {
        let mut file = OsString::from("--callgrind-out-file=");
        file.push(account);
        let mut counted = Command::new("valgrind");
        counted.args(["--quiet", "--tool=callgrind"]).arg(file).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => counted.env(name, value),
                None => counted.env_remove(name),
            };
        }
        counted
    }
}

/// All instructions of all threads.
pub fn total(account: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(account)?;
    let nothing = || io::Error::other(format!("{} has no total", account.display()));
    sum(&text).ok_or_else(nothing)
}

fn sum(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_stands_at_the_end_of_an_account() {
        assert_eq!(sum("events: Ir\nfn=(1) main\n12 345\n\ntotals: 67890\n"), Some(67_890));
        assert_eq!(sum("events: Ir\n12 345\n"), None);
    }

    #[test]
    fn a_counted_command_keeps_its_words_and_surroundings() {
        let callgrind = Callgrind { accounts: "/a".into() };
        let mut command = Command::new("/aqueduct");
        command.arg("run").env("A", "b").env_remove("AQUEDUCT__X");

        let counted = callgrind.counts(&command, Path::new("/a/128b.callgrind"));

        let words: Vec<_> = counted.get_args().collect();
        assert_eq!(words[2..], ["--callgrind-out-file=/a/128b.callgrind", "/aqueduct", "run"]);
        assert!(counted.get_envs().eq(command.get_envs()));
    }
}
