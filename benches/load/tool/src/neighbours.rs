//! Whether others had work for the machine meanwhile: then figures say little.

use std::{fs, io, process};

use crate::account;

/// What others may take of the machine before it is called busy.
const QUIET: f64 = 0.05;

/// Since when, by what the machine and we had used by then.
pub struct Neighbours {
    machine: Ticks,
    ours: f64,
}

/// Of all cores, in the kernel's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    used: u64,
    all: u64,
}

impl Neighbours {
    pub fn watch() -> io::Result<Self> {
        Ok(Self { machine: Ticks::read()?, ours: ours()? })
    }

    /// Which part of the machine's time others have taken since then.
    pub fn share(&self) -> io::Result<f64> {
        let now = Ticks::read()?;
        let (used, all) = (now.used - self.machine.used, now.all - self.machine.all);
        let others = used as f64 - (ours()? - self.ours);
        Ok(others.max(0.0) / all.max(1) as f64)
    }
}

/// What it means for the figures.
pub fn told(share: f64) -> String {
    let verdict = if share < QUIET { "it was quiet" } else { "it was BUSY, and these figures say little" };
    format!("Others took {:.0}% of the machine meanwhile: {verdict}.\n", share * 100.0)
}

/// What this process and all it has started have used.
fn ours() -> io::Result<f64> {
    let used = account::cpu_time(process::id())?.in_ticks();
    Ok((used.user + used.system).as_secs_f64() * rustix::param::clock_ticks_per_second() as f64)
}

impl Ticks {
    fn read() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        Self::parse(&text).ok_or_else(|| io::Error::other("no account of all cores in /proc/stat"))
    }

    /// proc(5): user, nice, system, idle, iowait, irq, softirq, steal. What interrupts take is nobody's, and may be ours.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|ticks| ticks.parse().ok()).take(8).collect();
        let [user, nice, system, _, _, _, _, stolen] = *ticks.first_chunk::<8>()?;
        Some(Self { used: user + nice + system + stolen, all: ticks.iter().sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_has_done_is_read_from_its_own_account() {
        let text = "cpu  10 2 30 400 5 6 7 8 90 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";

        assert_eq!(Ticks::parse(text), Some(Ticks { used: 50, all: 468 }));
        assert_eq!(Ticks::parse("cpu0 1 2 3\n"), None);
        assert_eq!(Ticks::parse("cpu  1 2 3\n"), None);
    }

    #[test]
    fn a_machine_with_other_work_is_called_busy() {
        assert!(told(0.02).contains("quiet"));
        assert!(told(0.3).contains("30% of the machine") && told(0.3).contains("BUSY"));
    }

    #[test]
    fn shares_are_parts_of_a_whole() {
        let share = Neighbours::watch().unwrap().share().unwrap();
        assert!((0.0..=1.0).contains(&share), "{share}");
    }
}
