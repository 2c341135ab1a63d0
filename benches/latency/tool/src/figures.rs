//! What was measured.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fmt, fs, io};

use serde::{Deserialize, Serialize};

/// Each answer's time, and how many there was none of.
#[derive(Clone, Default)]
pub struct Samples {
    times: Vec<Duration>,
    failed: usize,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Figures {
    /// In milliseconds, of what was answered.
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub requests: usize,
    pub failed: usize,
}

#[derive(Serialize, Deserialize)]
pub struct Results {
    pub rows: Vec<(String, Figures)>,
    pub rounds: usize,
    pub seconds: u64,
    pub rate: u32,
    pub machine: String,
}

impl Samples {
    /// One request more; `None` if it was not answered as it should be.
    pub fn note(&mut self, took: Option<Duration>) {
        match took {
            Some(took) => self.times.push(took),
            None => self.failed += 1,
        }
    }

    pub fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.failed += other.failed;
    }
}

impl Figures {
    pub fn of(samples: &mut Samples) -> Self {
        samples.times.sort_unstable();
        let at = |part: f64| {
            let place = (samples.times.len() as f64 * part).ceil() as usize;
            samples.times.get(place.saturating_sub(1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        let requests = samples.times.len() + samples.failed;
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), requests, failed: samples.failed }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, p999, requests, failed } = self;
        write!(f, "p50 {p50:>7.1} ms  p99 {p99:>7.1} ms  p99.9 {p999:>7.1} ms  {failed} of {requests} failed")
    }
}

impl Results {
    pub fn load(file: &Path) -> io::Result<Self> {
        serde_json::from_slice(&fs::read(file)?).map_err(io::Error::other)
    }

    pub fn save(&self, file: &Path) -> io::Result<()> {
        fs::write(file, serde_json::to_string_pretty(self).map_err(io::Error::other)? + "\n")
    }

    /// The row of this name.
    pub fn of(&self, name: &str) -> Option<&Figures> {
        self.rows.iter().find(|(of, _)| of == name).map(|(_, figures)| figures)
    }
}

/// What it was measured on, and with.
pub fn machine(aqueduct: &Path) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let said = |program: &Path, flag: &str| {
        let output = Command::new(program).arg(flag).output().ok()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let number = |word: &str| word.rsplit('/').next().filter(|it| it.contains('.')).map(str::to_owned);
        said.split_ascii_whitespace().filter(|word| word.contains(|it: char| it.is_ascii_digit())).find_map(number)
    };
    let versions = [
        ("nginx", "-v", Path::new("nginx")),
        ("HAProxy", "-v", Path::new("haproxy")),
        ("Aqueduct", "--version", aqueduct),
    ];
    let versions: BTreeSet<String> = versions
        .into_iter()
        .filter_map(|(name, flag, program)| Some(format!("{name} {}", said(program, flag)?)))
        .collect();
    let versions: Vec<String> = versions.into_iter().collect();
    format!("{}, {cores} cores; {}", model.unwrap_or("unknown CPU"), versions.join(", "))
}
