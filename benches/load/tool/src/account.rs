//! What a process and its descendants have used, by the kernel's own accounts in `/proc`.

use std::collections::HashMap;
use std::time::Duration;
use std::{fs, io};

#[derive(Clone, Copy, Default)]
pub struct CpuTime {
    pub user: Duration,
    pub system: Duration,
}

impl CpuTime {
    pub fn since(self, earlier: Self) -> Self {
        Self { user: self.user.saturating_sub(earlier.user), system: self.system.saturating_sub(earlier.system) }
    }
}

/// All threads of all processes of the tree, with the children that have ended.
pub fn cpu_time(root: u32) -> io::Result<CpuTime> {
    let mut ticks = (0, 0);
    for stat in tree(root)? {
        ticks = (ticks.0 + stat.user_ticks, ticks.1 + stat.system_ticks);
    }
    let tick = Duration::from_secs(1) / rustix::param::clock_ticks_per_second() as u32;
    Ok(CpuTime { user: tick * ticks.0, system: tick * ticks.1 })
}

/// Proportional set size of the tree in KiB: pages shared by n processes count 1/n for each.
pub fn memory(root: u32) -> io::Result<u64> {
    let mut sum = 0;
    for stat in tree(root)? {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.process))?;
        sum += pss(&rollup).ok_or_else(|| io::Error::other("no Pss in smaps_rollup"))?;
    }
    Ok(sum)
}

/// The process and all its descendants.
pub fn family(root: u32) -> io::Result<Vec<u32>> {
    Ok(tree(root)?.iter().map(|stat| stat.process).collect())
}

struct Stat {
    process: u32,
    parent: u32,
    user_ticks: u32,
    system_ticks: u32,
}

fn tree(root: u32) -> io::Result<Vec<Stat>> {
    let mut children: HashMap<u32, Vec<Stat>> = HashMap::new();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
        let Some(stat) = Stat::parse(&text) else { continue };
        if stat.process == root {
            found.push(stat);
        } else {
            children.entry(stat.parent).or_default().push(stat);
        }
    }
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|stat| stat.process) {
        found.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    match found.is_empty() {
        true => Err(io::Error::other(format!("process {root} has ended"))),
        false => Ok(found),
    }
}

impl Stat {
    /// proc(5): pid (comm) state ppid .. utime is field 14, stime 15, cutime 16, cstime 17.
    fn parse(text: &str) -> Option<Self> {
        let (process, _) = text.split_once(' ')?;
        // The name may hold spaces and parentheses.
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
        Some(Self {
            process: process.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            user_ticks: ticks(14)? + ticks(16)?,
            system_ticks: ticks(15)? + ticks(17)?,
        })
    }
}

fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name_holds() {
        let text = "42 (a (b) c) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 3 4 20 0 2 0 99 0 0";

        let stat = Stat::parse(text).unwrap();

        assert_eq!((stat.process, stat.parent), (42, 7));
        assert_eq!((stat.user_ticks, stat.system_ticks), (14, 26));
    }

    #[test]
    fn a_cut_stat_line_is_no_stat() {
        assert!(Stat::parse("42 (name) S 7 42").is_none());
    }

    #[test]
    fn the_proportional_size_is_found_among_the_others() {
        let rollup = "7f00-7fff ---p 0 00:00 0 [rollup]\nRss: 900 kB\nPss:   345 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(pss(rollup), Some(345));
        assert_eq!(pss("Rss: 900 kB"), None);
    }

    #[test]
    fn this_process_has_an_account() {
        let own = std::process::id();
        assert!(family(own).unwrap().contains(&own));
        assert!(memory(own).unwrap() > 0);
    }
}
