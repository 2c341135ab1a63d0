//! What a process and its descendants have used, by the kernel's own accounts in `/proc`.

use std::collections::HashMap;
use std::time::Duration;
use std::{fs, io};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    pub user: Duration,
    pub system: Duration,
}

/// What all threads of a tree of processes have used until then.
#[derive(Clone)]
pub struct Reading {
    /// With those of threads and children that have ended, to the tick of the kernel's clock.
    ticks: CpuTime,
    /// Who runs.
    threads: Vec<u32>,
    /// What they have used, to the nanosecond; nothing where the kernel does not say.
    ran: Option<Duration>,
}

impl Reading {
    /// Ticks are a hundredth of a second, much in a short time: where the same threads run as then, the sum is exact, and ticks say
    /// how it is divided.
    pub fn since(&self, earlier: &Self) -> CpuTime {
        let ticks = CpuTime {
            user: self.ticks.user.saturating_sub(earlier.ticks.user),
            system: self.ticks.system.saturating_sub(earlier.ticks.system),
        };
        match (self.ran, earlier.ran) {
            (Some(ran), Some(before)) if self.threads == earlier.threads => ticks.in_sum(ran.saturating_sub(before)),
            _ => ticks,
        }
    }

    pub fn in_ticks(&self) -> CpuTime {
        self.ticks
    }
}

impl CpuTime {
    /// Divided as before, and in sum this.
    fn in_sum(self, sum: Duration) -> Self {
        let counted = self.user + self.system;
        if counted.is_zero() {
            return Self { user: Duration::ZERO, system: sum };
        }
        let user = sum.mul_f64(self.user.div_duration_f64(counted));
        Self { user, system: sum.saturating_sub(user) }
    }
}

/// All threads of all processes of the tree, with the children that have ended.
pub fn cpu_time(root: u32) -> io::Result<Reading> {
    let mut ticks = (0, 0);
    let (mut threads, mut ran) = (Vec::new(), Some(Duration::ZERO));
    for stat in tree(root)? {
        ticks = (ticks.0 + stat.user_ticks, ticks.1 + stat.system_ticks);
        for task in fs::read_dir(format!("/proc/{}/task", stat.process))? {
            let task = task?;
            threads.extend(task.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
            // One that has ended meanwhile is missing at the other reading.
            let of_task = fs::read_to_string(task.path().join("schedstat")).ok().and_then(|text| scheduled(&text));
            ran = ran.and_then(|sum| Some(sum + of_task?));
        }
    }
    threads.sort_unstable();
    let tick = Duration::from_secs(1) / rustix::param::clock_ticks_per_second() as u32;
    Ok(Reading { ticks: CpuTime { user: tick * ticks.0, system: tick * ticks.1 }, threads, ran })
}

/// Of a thread's `schedstat`: the time that it ran, that it waited, and how often it ran.
pub fn scheduled(text: &str) -> Option<Duration> {
    text.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
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
    fn a_sum_is_exact_where_the_same_threads_run_and_divided_as_ticks_say() {
        let reading = |user, system, threads: &[u32], ran| Reading {
            ticks: CpuTime { user: Duration::from_millis(user), system: Duration::from_millis(system) },
            threads: threads.to_vec(),
            ran,
        };
        let micros = Duration::from_micros;
        let before = reading(100, 200, &[1, 2], Some(micros(304_000)));
        let used = |user, system| CpuTime { user: micros(user), system: micros(system) };

        let exact = reading(110, 230, &[1, 2], Some(micros(340_000))).since(&before);
        let one_has_ended = reading(110, 230, &[1], Some(micros(200_000))).since(&before);
        let untold = reading(110, 230, &[1, 2], None).since(&before);
        let within_a_tick = reading(100, 200, &[1, 2], Some(micros(305_000))).since(&before);

        assert_eq!(exact, used(9_000, 27_000));
        assert_eq!(one_has_ended, used(10_000, 30_000));
        assert_eq!(untold, used(10_000, 30_000));
        assert_eq!(within_a_tick, used(0, 1_000));
    }

    #[test]
    fn the_time_that_a_thread_ran_is_the_first_of_its_schedule() {
        assert_eq!(scheduled("1500000 20 3\n"), Some(Duration::from_micros(1_500)));
        assert_eq!(scheduled(""), None);
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
