//! What an exchange took when somebody last looked, and what it may take now.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::report::amount;

/// So many percent more may it be: what moves a figure without anybody having meant to.
const SLACK: u64 = 3;

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Recorded {
    /// With other ones the same source takes another number of instructions.
    pub made_with: BTreeMap<String, String>,
    /// By kind of exchange.
    pub instructions: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Held,
    More,
    Less,
    /// Nothing is recorded.
    New,
}

impl Recorded {
    pub fn load(file: &Path) -> io::Result<Self> {
        let text =
            fs::read_to_string(file).map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
        Ok(serde_json::from_str(&text)?)
    }

    pub fn save(&self, file: &Path) -> io::Result<()> {
        fs::write(file, serde_json::to_string_pretty(self)? + "\n")
    }

    /// The newer figures in the place of the older; those made with other tools go.
    pub fn with(mut self, newer: Self) -> Self {
        if self.made_with != newer.made_with {
            return newer;
        }
        self.instructions.extend(newer.instructions);
        self
    }

    /// An error if an exchange takes more than it may.
    pub fn hold(&self, found: &Self) -> io::Result<()> {
        if !self.can_be_held_against(found) {
            return Ok(());
        }
        let more = found.instructions.iter().filter(|(kind, now)| self.verdict(kind, **now) == Verdict::More);
        let kinds: Vec<&str> = more.map(|(kind, _)| kind.as_str()).collect();
        match kinds.is_empty() {
            true => Ok(()),
            false => Err(io::Error::other(format!("slower than recorded: {}", kinds.join(", ")))),
        }
    }

    fn can_be_held_against(&self, found: &Self) -> bool {
        self.made_with == found.made_with
    }

    fn verdict(&self, kind: &str, now: u64) -> Verdict {
        match self.instructions.get(kind) {
            None => Verdict::New,
            Some(before) if now * 100 > before * (100 + SLACK) => Verdict::More,
            Some(before) if now * 100 < before * (100 - SLACK) => Verdict::Less,
            Some(_) => Verdict::Held,
        }
    }
}

fn change(before: u64, now: u64) -> f64 {
    now as f64 / before.max(1) as f64 - 1.0
}

/// For a person, with what is to be done.
pub fn table(recorded: &Recorded, found: &Recorded) -> String {
    let mut text = format!("{:<12}{:>10}{:>10}{:>10}\n", "exchange", "recorded", "now", "change");
    let mut verdicts = Vec::new();
    for (kind, &now) in &found.instructions {
        let before = recorded.instructions.get(kind).copied();
        let shown = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let verdict = recorded.verdict(kind, now);
        let line = format!(
            "{kind:<12}{:>10}{:>10}{:>10}  {}",
            shown(before.map(|before| amount(before as f64))),
            amount(now as f64),
            shown(before.map(|before| format!("{:+.1}%", change(before, now) * 100.0))),
            match verdict {
                Verdict::Held => "",
                Verdict::More => "MORE",
                Verdict::Less => "less",
                Verdict::New => "new",
            },
        );
        text.push_str(line.trim_end());
        text.push('\n');
        verdicts.push(verdict);
    }
    text.push_str(&advice(recorded, found, &verdicts));
    text
}

fn advice(recorded: &Recorded, found: &Recorded, verdicts: &[Verdict]) -> String {
    if !recorded.can_be_held_against(found) {
        let told = |tools: &BTreeMap<String, String>| {
            tools.iter().map(|(name, version)| format!("{name}: {version}")).collect::<Vec<_>>().join("; ")
        };
        return format!(
            "NOT HELD: these are instructions of other tools, which say nothing of the source.\n  recorded with {}\n  here     with {}\n",
            told(&recorded.made_with),
            told(&found.made_with),
        );
    }
    let mut text = String::new();
    if verdicts.contains(&Verdict::More) {
        text.push_str(
            "An exchange takes over 3% more than recorded. `callgrind_annotate target/instructions/KIND.callgrind` shows where.\n\
             If it is worth it, say so in the commit, with `benches/instructions/run --record`.\n",
        );
    }
    if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Less | Verdict::New)) {
        text.push_str("What was gained is kept only if it is recorded: `benches/instructions/run --record`.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rustc: &str, instructions: &[(&str, u64)]) -> Recorded {
        Recorded {
            made_with: [("rustc".to_owned(), rustc.to_owned())].into(),
            instructions: instructions.iter().map(|&(kind, count)| (kind.to_owned(), count)).collect(),
        }
    }

    #[test]
    fn more_than_three_percent_more_is_refused_by_name_and_nothing_else_is() {
        let recorded = of("1", &[("128b", 20_000), ("10k", 30_000)]);

        for (now, outcome) in [
            ([("128b", 20_600), ("10k", 30_000)], None),
            ([("128b", 20_601), ("10k", 30_000)], Some("slower than recorded: 128b")),
            ([("128b", 99_999), ("10k", 99_999)], Some("slower than recorded: 10k, 128b")),
            ([("128b", 1), ("10k", 29_000)], None),
            ([("128b", 20_000), ("fresh", 99_999)], None),
        ] {
            let held = recorded.hold(&of("1", &now)).map_err(|error| error.to_string());
            assert_eq!(held.err().as_deref(), outcome, "{now:?}");
        }
    }

    #[test]
    fn figures_of_another_compiler_are_shown_and_not_held() {
        let (recorded, found) = (of("1", &[("128b", 20_000)]), of("2", &[("128b", 40_000)]));

        assert!(recorded.hold(&found).is_ok());
        let told = table(&recorded, &found);
        assert!(told.contains("+100.0%") && told.contains("NOT HELD"), "{told}");
    }

    #[test]
    fn who_has_gained_is_told_to_keep_it_and_who_has_lost_where_to_look() {
        let recorded = of("1", &[("128b", 20_000)]);

        let advice = |now: u64| table(&recorded, &of("1", &[("128b", now)])).lines().skip(2).collect::<String>();

        assert_eq!(advice(20_100), "");
        assert!(advice(19_000).contains("--record"));
        assert!(advice(22_000).contains("callgrind_annotate"));
    }

    #[test]
    fn what_is_recorded_anew_takes_the_place_of_what_was_and_leaves_the_rest() {
        let older = of("1", &[("128b", 1), ("10k", 2)]);

        assert_eq!(
            older.clone().with(of("1", &[("128b", 3)])).instructions,
            of("1", &[("128b", 3), ("10k", 2)]).instructions
        );
        assert_eq!(older.with(of("2", &[("128b", 3)])).instructions, of("2", &[("128b", 3)]).instructions);
    }
}
