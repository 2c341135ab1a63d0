//! The machine, in one line a reader needs to judge the figures.

use std::process::Command;
use std::{fs, thread};

use crate::peers::{Peer, Programs};
use crate::results::Machine;

impl Machine {
    pub fn describe(peers: &[Peer], programs: &Programs, private_network: bool) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let congestion = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
        let network = if private_network { "private network" } else { "shared loopback" };
        Self {
            date: said_by("date", "+%Y-%m-%d"),
            processor: processor(&cpuinfo).unwrap_or(std::env::consts::ARCH).into(),
            cores: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count()
                .max(thread::available_parallelism().map_or(1, usize::from)),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".into(), |release| release.trim().into()),
            network: format!("{network}, {}", congestion.as_deref().unwrap_or("unknown").trim()),
            versions: peers.iter().filter_map(|peer| peer.version(programs)).collect(),
        }
    }

    pub fn line(&self) -> String {
        format!(
            "{}, {} cores, kernel {}, {}; {}; {}",
            self.processor,
            self.cores,
            self.kernel,
            self.network,
            self.versions.join(", "),
            self.date,
        )
    }
}

fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn said_by(program: &str, word: &str) -> String {
    let output = Command::new(program).arg(word).output();
    output.map_or_else(|_| "unknown".into(), |it| String::from_utf8_lossy(&it.stdout).trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_a_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t: a\n";
        assert_eq!(processor(cpuinfo), Some("Some CPU @ 2 GHz"));
        assert_eq!(processor("processor\t: 0\n"), None);
    }
}
